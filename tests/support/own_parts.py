"""Parts of a user's own, as files that tests write."""

from __future__ import annotations

from pathlib import Path

NET = """
from torch import nn


class MyNet(nn.Module):
    def __init__(self, classes: int, channels: int, activation, width: int = 4, dropout: float = 0.0, kind: str = "a"):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride=2, padding=1), activation(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Dropout(dropout), nn.Linear(width, classes),
        )

    def forward(self, x):
        return self.net(x)


class NoActivation(nn.Module):
    def __init__(self, classes: int, channels: int, image_size: int, is_3d: bool):
        super().__init__()
        self.seen = (channels, image_size, is_3d)
        self.layer = nn.Linear(channels * image_size**2, classes)

    def forward(self, x):
        return self.layer(x.flatten(1))


def wrong_shape(classes: int):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes + 1))


def no_module(classes: int):
    return "a network"


class Raises(nn.Module):
    def __init__(self):
        super().__init__()
        raise ValueError("no such width")
"""

PARTS = '''
import torch
from torch import nn


class Squareplus(nn.Module):
    """Squareplus (Barron 2021)."""

    def __init__(self, beta: float = 4.0):
        super().__init__()
        self.beta = beta

    def forward(self, x):
        return (x + torch.sqrt(x * x + self.beta)) / 2


def squareplus(beta: float = 4.0):
    return Squareplus(beta)


def softcap(x, cap: float = 3.0):
    return cap * torch.tanh(x / cap)


def first_half(x):
    return x[:, : x.shape[1] // 2]


class SignSGD(torch.optim.Optimizer):
    """Steps by the sign of the gradient."""

    def __init__(self, params, lr: float = 0.01, weight_decay: float = 0.0, eps: float = 1e-8):
        super().__init__(params, dict(lr=lr, weight_decay=weight_decay, eps=eps))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(p.grad / (p.grad.abs() + group["eps"]), alpha=group["lr"])


class NoStep(torch.optim.Optimizer):
    def __init__(self, params, lr: float = 0.01):
        super().__init__(params, dict(lr=lr))


def rate_needed(params, lr):
    return torch.optim.SGD(params, lr=lr)


def triangle(progress, peak: float = 0.25):
    return min(progress / peak, (1 - progress) / (1 - peak))


def negative(progress):
    return progress - 0.5


def immense(progress):
    return 10**5000


def poly_loss(logits, targets, epsilon: float = 1.0):
    ce = nn.functional.cross_entropy(logits, targets, reduction="none")
    return (ce + epsilon * (1 - torch.exp(-ce))).mean()


class PolyLoss(nn.Module):
    def __init__(self, epsilon: float = 1.0):
        super().__init__()
        self.epsilon = epsilon

    def forward(self, logits, targets):
        return poly_loss(logits, targets, self.epsilon)


def by_image(logits, targets):
    return nn.functional.cross_entropy(logits, targets, reduction="none")


def roll(images, by: int = 1):
    return torch.roll(images, by, dims=-1)


def to_float(images):
    return images / 255


class Noise(nn.Module):
    def __init__(self, deviation: float = 0.1):
        super().__init__()
        self.deviation = deviation

    def forward(self, x):
        return x + self.deviation * torch.randn_like(x) if self.training else x


def frozen_first(model):
    next(model.parameters()).requires_grad_(False)
    return model
'''


def write_parts(folder: Path) -> tuple[str, str]:
    """Write `my_net.py` and `my_parts.py` into a folder; return their paths."""
    (folder / "my_net.py").write_text(NET)
    (folder / "my_parts.py").write_text(PARTS)
    return str(folder / "my_net.py"), str(folder / "my_parts.py")
