"""Gradients of a training step: their norms by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn

# A norm of all gradients above it is worth a note.
EXPLODING = 100.0


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
