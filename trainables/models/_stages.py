"""Stages of models that are plain sequences, and of those whose stages are numbered children."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

Stages = list[tuple[str, ...]]


def by_layer(sequence: nn.Sequential, prefix: str = "") -> Stages:
    """Begin a new stage at each layer with a weight matrix: convolutions and linear layers, plain or stochastic."""
    stages: Stages = []
    for name, child in sequence.named_children():
        if not stages or any(parameter.dim() > 1 for parameter in child.parameters()):
            stages.append(())
        stages[-1] += (f"{prefix}{name}",)
    return stages


def children(model: nn.Module, path: str) -> Iterable[tuple[str]]:
    """Return one stage for each child of the module at `path`."""
    return [(f"{path}.{name}",) for name, _ in model.get_submodule(path).named_children()]
