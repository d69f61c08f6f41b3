"""Gradients of a training step: their norms by layer; losses of steps and histograms, where they are asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

# A norm of all gradients above it is worth a note.
EXPLODING = 100.0
BINS = 30


@dataclass(frozen=True)
class Recording:
    """What is kept of an epoch beside its metrics: it changes no result, and so it is no part of a config.

    steps: the loss of each step. histograms: epochs from one set of histograms to the next; 0: none.
    """

    steps: bool = False
    histograms: int = 0


# Of this process: a worker trains one trial at a time.
_recording = Recording()


def record(what: Recording) -> None:
    """Keep this of every epoch from now on."""
    global _recording
    _recording = what


@dataclass
class Recorded:
    """What is kept of one epoch. Losses stay on their device until its end: reading each would make a GPU wait."""

    epoch: int
    losses: list[Tensor] = field(default_factory=list)
    histograms: dict[str, list[list[float]]] = field(default_factory=dict)

    def take_loss(self, loss: Tensor) -> None:
        """Keep the loss of a step, where losses are asked for."""
        if _recording.steps:
            self.losses.append(loss.detach())

    def take_histograms(self, model: nn.Module) -> None:
        """Keep histograms of weights and gradients after the last backward pass of an epoch that is due."""
        if not _recording.histograms or self.epoch % _recording.histograms:
            return
        for name, parameter in model.named_parameters():
            self._take(f"weights/{name}", parameter)
            self._take(f"gradients/{name}", parameter.grad)

    def _take(self, name: str, values: Tensor | None) -> None:
        if values is not None and (bins := histogram(values)):
            self.histograms[name] = bins

    @property
    def row(self) -> dict[str, Any]:
        """Return what the epoch's row holds of it; nothing where nothing was asked for."""
        found: dict[str, Any] = {}
        if self.losses:
            found["step_losses"] = [float(f"{loss:.5g}") for loss in torch.stack(self.losses).tolist()]
        if self.histograms:
            found["histograms"] = self.histograms
        return found


def histogram(values: Tensor) -> list[list[float]]:
    """Return (left, right, count) of each of 30 bins from the least to the largest finite value."""
    flat = values.detach().float().flatten()
    flat = flat[torch.isfinite(flat)]
    if not len(flat):
        return []
    low, high = flat.min().item(), flat.max().item()
    if low == high:
        return [[low, high, float(len(flat))]]
    counts = torch.histc(flat, BINS, low, high).tolist()
    width = (high - low) / BINS
    edges = [float(f"{low + width * number:.5g}") for number in range(BINS + 1)]
    return [[left, right, count] for left, right, count in zip(edges, edges[1:], counts, strict=False)]


def gradient_norms(model: nn.Module) -> dict[str, float]:
    """Return the norm of each module's own gradients (weight and bias together). One transfer from the device."""
    owners, gradients = [], []
    for path, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            if parameter.grad is not None:
                owners.append(path)
                gradients.append(parameter.grad)
    if not gradients:
        return {}
    # a private name, as of torch 2.15: one kernel for all norms
    squares = torch.stack(torch._foreach_norm(gradients)).square().tolist()
    norms: dict[str, float] = dict.fromkeys(owners, 0.0)
    for owner, square in zip(owners, squares, strict=True):
        norms[owner] += square
    return {owner: math.sqrt(square) for owner, square in norms.items()}


def total_norm(norms: Mapping[str, float]) -> float:
    """Return the norm of all gradients together; NaN where there are none."""
    return math.sqrt(sum(norm**2 for norm in norms.values())) if norms else math.nan


def gradient_notes(norm: float, epoch: int, clip_norm: float | None) -> tuple[str, ...]:
    """Warn where the norm of all gradients together is too large."""
    if not norm > EXPLODING and not math.isinf(norm):
        return ()
    remedy = "lower lr" if clip_norm else "lower lr, or set clip_norm=1"
    return (f"gradients explode: norm {norm:.3g} at the end of epoch {epoch}: {remedy}",)
