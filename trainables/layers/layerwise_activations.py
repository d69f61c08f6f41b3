"""Activations that look at all units of a layer together: what they give sums to a constant for every image.

"All units" are those of one image: dimensions 1 and up of the layer's tensor, whatever their order in memory, so that
an mlp's 256 units and a convolution's 16×28×28 are treated alike.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from trainables.layers.elementwise_activations import FixedJumpReLU, JumpReLU, require_positive
from trainables.layers.simplex import sparsemax

Decay = Literal["linear", "exponential", "cosine"]


class LayerSoftmax(nn.Module):
    """softmax(x / temperature) over all units."""

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        require_positive(temperature=temperature)
        self.temperature = temperature

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, ...) to shares that sum to 1 for each image."""
        return torch.softmax(x.flatten(1) / self.temperature, dim=1).view(x.shape)


class LayerSparsemax(nn.Module):
    """sparsemax(x / temperature) over all units: most are exactly 0 (Martins & Astudillo 2016)."""

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        require_positive(temperature=temperature)
        self.temperature = temperature

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, ...) to shares that sum to 1 for each image."""
        return sparsemax(x.flatten(1) / self.temperature, dim=1).view(x.shape)


class PowerNormalization(nn.Module):
    """max(x, 0)^alpha / Σ max(x, 0)^alpha; uniform where no unit is above 0."""

    def __init__(self, alpha: float = 0.5) -> None:
        super().__init__()
        require_positive(alpha=alpha)
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, ...) to shares that sum to 1 for each image."""
        powers = _powers(torch.relu(_wide(x.flatten(1))), self.alpha)
        return (powers / powers.sum(dim=1, keepdim=True)).to(x.dtype).view(x.shape)


class PowerSoftmax(nn.Module):
    """Power normalisation with a temperature: softmax(sign(x)·|x|^alpha / temperature).

    A temperature inside `PowerNormalization` would be a second name for alpha, since (x^alpha)^(1/T) = x^(alpha/T).
    """

    def __init__(self, alpha: float = 0.5, temperature: float = 1.0) -> None:
        super().__init__()
        require_positive(alpha=alpha, temperature=temperature)
        self.alpha = alpha
        self.temperature = temperature

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, ...) to shares that sum to 1 for each image."""
        flat = _wide(x.flatten(1))
        powers = flat.sign() * _powers(flat.abs(), self.alpha)
        return torch.softmax(powers / self.temperature, dim=1).to(x.dtype).view(x.shape)


def _wide(values: Tensor) -> Tensor:
    """Return the values in float32 at least: the sum of a layer's units is beyond float16."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _powers(values: Tensor, alpha: float) -> Tensor:
    """Return values^alpha of values ≥ 0, moved by 1e-6: at 0 the slope of a root is infinite."""
    return (values + 1e-6).pow(alpha)


class RescaledReLU(nn.Module):
    """total·max(x, 0) / Σ max(x, 0); 0 where no unit is above 0."""

    def __init__(self, total: float = 1.0) -> None:
        super().__init__()
        require_positive(total=total)
        self.total = total

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, ...) to values that sum to `total` for each image."""
        return rescaled(torch.relu(x), self.total)


class RescaledJumpReLU(JumpReLU):
    """total·JumpReLU(x) / Σ JumpReLU(x) with a learned threshold; 0 where no unit exceeds it."""

    def __init__(self, threshold: float = 0.1, window: float = 0.1, total: float = 1.0) -> None:
        super().__init__(threshold, window)
        require_positive(total=total)
        self.total = total

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, ...) to values that sum to `total` for each image."""
        return rescaled(super().forward(x), self.total)


class RescaledFixedJumpReLU(FixedJumpReLU):
    """total·JumpReLU(x) / Σ JumpReLU(x) with a threshold that stays where it is."""

    def __init__(self, threshold: float = 0.1, total: float = 1.0) -> None:
        super().__init__(threshold)
        require_positive(total=total)
        self.total = total

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, ...) to values that sum to `total` for each image."""
        return rescaled(super().forward(x), self.total)


class DecayingReLU(nn.Module):
    """A rescaled ReLU whose total falls from `first` in the first epoch to `last` in the last one.

    With f from 0 to 1 over the epochs: linear first + (last − first)·f; exponential first·(last/first)^f; cosine
    last + (first − last)·(1 + cos πf)/2. The total is saved with the weights, so that they are used as they were.
    """

    total: Tensor

    def __init__(self, decay: Decay, first: float = 100.0, last: float = 1.0) -> None:
        super().__init__()
        require_positive(first=first, last=last)
        self.decay = decay
        self.first = first
        self.last = last
        self.register_buffer("total", torch.tensor(first))

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Set the total of an epoch, counted from 1."""
        self.total.fill_(decayed(self.decay, self.first, self.last, (epoch - 1) / max(epochs - 1, 1)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, ...) to values that sum to the epoch's total for each image."""
        return rescaled(torch.relu(x), self.total)


def decayed(decay: Decay, first: float, last: float, share: float) -> float:
    """Return the value after a share (0 to 1) of the way from first to last."""
    if decay == "linear":
        return first + (last - first) * share
    if decay == "exponential":
        return float(first * (last / first) ** share)
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2


def rescaled(values: Tensor, total: float | Tensor) -> Tensor:
    """Scale values ≥ 0 (B, ...) so that those of each image sum to `total`; all zeros stay zeros."""
    flat = _wide(values.flatten(1))
    shares = flat / flat.sum(dim=1, keepdim=True).clamp_min(torch.finfo(flat.dtype).tiny)
    return (shares * total).to(values.dtype).view(values.shape)
