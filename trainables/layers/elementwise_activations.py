"""Activations that torch lacks and that look at one unit at a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from trainables.errors import InputError


class SquaredReLU(nn.Module):
    """max(x, 0)² (So et al. 2021, "Primer")."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply it elementwise."""
        return torch.relu(x).square()


class Sine(nn.Module):
    """sin(x) (Sitzmann et al. 2020, with ω₀ = 1)."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply it elementwise."""
        return torch.sin(x)


class Snake(nn.Module):
    """x + sin²(a·x) / a with a learned a, starting at 1 (Ziyin et al. 2020)."""

    def __init__(self, a: float = 1.0) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a))

    def forward(self, x: Tensor) -> Tensor:
        """Apply it elementwise."""
        return x + torch.sin(self.a * x).square() / self.a

    def learned_value(self) -> Tensor:
        """Return the frequency a."""
        return self.a


class Gaussian(nn.Module):
    """exp(-x² / 2) (Ramasinghe & Lucey 2022)."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply it elementwise."""
        return torch.exp(-0.5 * x.square())


class _Threshold(nn.Module):
    """x·σ(sharpness·(x − threshold)) in training, x where x > threshold and 0 elsewhere in evaluation."""

    threshold: Tensor | float

    def __init__(self, sharpness: float) -> None:
        super().__init__()
        require_positive(sharpness=sharpness)
        self.sharpness = sharpness

    def forward(self, x: Tensor) -> Tensor:
        """Mask softly in training, hard in evaluation."""
        if self.training:
            return x * torch.sigmoid(self.sharpness * (x - self.threshold))
        return torch.where(x > self.threshold, x, 0.0)


class LearnedThreshold(_Threshold):
    """A soft mask with a learned threshold in training, the hard mask in evaluation."""

    def __init__(self, threshold: float = 0.1, sharpness: float = 10.0) -> None:
        super().__init__(sharpness)
        self.threshold: Tensor = nn.Parameter(torch.tensor(threshold))

    def learned_value(self) -> Tensor:
        """Return the threshold."""
        return self.threshold


class FixedThreshold(_Threshold):
    """The masks of `LearnedThreshold` with a threshold that stays where it is."""

    def __init__(self, threshold: float = 0.1, sharpness: float = 10.0) -> None:
        super().__init__(sharpness)
        self.threshold = threshold


class FixedJumpReLU(nn.Module):
    """x where x > threshold, else 0, in training and in evaluation (Erichson et al. 2019)."""

    def __init__(self, threshold: float = 0.1) -> None:
        super().__init__()
        require_positive(threshold=threshold)
        self.threshold = threshold

    def forward(self, x: Tensor) -> Tensor:
        """Apply it elementwise."""
        return torch.where(x > self.threshold, x, 0.0)


class JumpReLU(nn.Module):
    """x where x > θ, else 0, with a learned θ > 0.

    The threshold's gradient is that of a straight-through estimator: −θ/ε where |x − θ| < ε/2, with the window ε
    (Rajamanoharan et al. 2024, "Jumping Ahead", eq. 11). θ is learned as exp(log θ), which keeps it positive.
    """

    def __init__(self, threshold: float = 0.1, window: float = 0.1) -> None:
        super().__init__()
        require_positive(threshold=threshold, window=window)
        self.window = window
        self.log_threshold = nn.Parameter(torch.tensor(math.log(threshold)))

    @property
    def threshold(self) -> Tensor:
        """Return θ = exp(log θ)."""
        return self.log_threshold.exp()

    def forward(self, x: Tensor) -> Tensor:
        """Apply it elementwise, with the straight-through gradient in training."""
        threshold = self.threshold
        passed = torch.where(x > threshold, x, 0.0)
        if not self.training:
            return passed
        fixed = threshold.detach()
        near = ((x.detach() - fixed).abs() < self.window / 2) * (fixed / self.window)
        # The second term is 0; only its gradient counts.
        return passed - near * (threshold - fixed)

    def learned_value(self) -> Tensor:
        """Return the threshold."""
        return self.threshold


def require_positive(**values: float) -> None:
    """Raise `InputError` for a value that is not above 0."""
    for name, value in values.items():
        if value <= 0:
            raise InputError(f"{name}={value:g}: must be greater than 0")
