"""Measures of a trained model on the validation split: activations by layer, and how sharp the minimum is.

Unlike the measures of weights, these need the model and the data, and run only where they are asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from analysis.behaviour.forward_pass import Hook, watch
from analysis.measures.jensen_shannon import shannon
from analysis.weights.files import Reader, read_tensors
from trainables.data.arrays import Data, DataInfo
from trainables.data.batches import DeviceSplit, to_device
from trainables.network.trained import build_trained, check_same_data, load_data_of, with_data_at
from trainables.training.evaluation import evaluate

Row = dict[str, Any]
BINS = 100
DIRECTIONS, RADIUS = 5, 0.05


@dataclass
class _Seen:
    """Sums over all images of a layer's outputs. total: of magnitudes. active: units that were ever other than zero."""

    kind: str
    units: int = 0
    values: int = 0
    zeros: int = 0
    total: float = 0.0
    squares: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    active: Tensor | None = None
    counts: np.ndarray = field(default_factory=lambda: np.zeros(BINS, np.int64))


def measure_behaviour(
    path: Path, data_root: Path | None = None, dataset: str | None = None
) -> tuple[list[Row], dict[str, float]]:
    """Return the rows of a weights file's layers on the validation split, and its model-level columns.

    dataset: where its data lie now, if not where the file says.
    The file says with which config, normalisation and dataset it was trained. Raises `InputError` where it does not, or
    where the data is another.
    """
    # One process runs on each processor.
    torch.set_num_threads(1)
    model, split, info = with_validation_split(path, data_root, dataset=dataset)
    rows = activations(model, split)
    return rows, {**_means(rows), **sharpness(model, split, info)}


def with_validation_split(
    path: Path,
    data_root: Path | None = None,
    data: Data | None = None,
    read: Reader = read_tensors,
    dataset: str | None = None,
) -> tuple[nn.Module, DeviceSplit, DataInfo]:
    """Return a trained model in evaluation mode, and its validation split.

    data: if it is loaded. read: as `read_learned` has it. dataset: where the data lie now, if not where the file says.
    Raises `InputError`.
    """
    tensors, metadata = read(path)
    learned = {name: torch.from_numpy(array) for name, array in tensors.items()}
    trained = with_data_at(build_trained(path, learned, metadata), dataset)
    if data is None:
        data = load_data_of(trained, data_root)
    check_same_data(trained, data)
    return trained.model, to_device(data, trained.normalization, torch.device("cpu"))["val"], data.info


@torch.no_grad()
def activations(model: nn.Module, split: DeviceSplit) -> list[Row]:
    """Return one row for each module without parts, in the order of their first call: its outputs' statistics.

    activation_entropy: entropy of the values in 100 equal bins of their range, over ln 100; activation_sparsity: share
    that is exactly zero; activation_hoyer: (sqrt(n) - l1 / l2) / (sqrt(n) - 1), 0 for all alike and 1 for a single one
    (Hoyer 2004, J. Mach. Learn. Res. 5, 1457); activation_dead: share of units, channels for images, that are zero for
    every image. Undefined is NaN.
    """
    seen: dict[str, _Seen] = {}
    _pass(model, split, lambda name, module, out: _first_look(seen, name, module, out))
    _pass(model, split, lambda name, module, out: _count(seen[name], out))
    return [_row(position, name, sums) for position, (name, sums) in enumerate(seen.items())]


def _pass(model: nn.Module, split: DeviceSplit, look: Callable[[str, nn.Module, Tensor], None]) -> None:
    """Show every output of every module without parts for all images."""

    def hook_of(name: str) -> Hook:
        def hook(module: nn.Module, _: Any, out: Any) -> None:
            if isinstance(out, Tensor) and out.is_floating_point():
                look(name, module, out)

        return hook

    leaves = [(name, module) for name, module in model.named_modules() if not list(module.children())]
    watch(model, split, [(module, hook_of(name)) for name, module in leaves])


def _first_look(seen: dict[str, _Seen], name: str, module: nn.Module, out: Tensor) -> None:
    sums = seen.setdefault(name, _Seen(type(module).__name__))
    # The shapes are (B, units), (B, channels, ...) or (B, tokens, units).
    units = 1 if out.ndim in (2, 4, 5) else -1
    channels = out.movedim(units, 0).flatten(1)
    alive = (channels != 0).any(dim=1)
    sums.active = alive if sums.active is None or len(sums.active) != len(alive) else sums.active | alive
    sums.units = len(alive)
    sums.values += out.numel()
    sums.zeros += int((out == 0).sum())
    sums.total += float(out.abs().double().sum())
    sums.squares += float(out.double().square().sum())
    sums.low, sums.high = min(sums.low, float(out.min())), max(sums.high, float(out.max()))


def _count(sums: _Seen, out: Tensor) -> None:
    if math.isfinite(sums.low) and sums.low < sums.high < math.inf:
        sums.counts += np.histogram(out.numpy(), BINS, (sums.low, sums.high))[0]


def _row(position: int, name: str, sums: _Seen) -> Row:
    total = int(sums.counts.sum())
    root = math.sqrt(sums.values)
    peak = math.sqrt(sums.squares)
    return {
        "layer": name,
        "position": position,
        "module_type": sums.kind,
        "units": sums.units,
        "activation_entropy": shannon(sums.counts / total) / math.log(BINS) if total else math.nan,
        "activation_sparsity": sums.zeros / sums.values if sums.values else math.nan,
        "activation_hoyer": (root - sums.total / peak) / (root - 1) if peak > 0 and root > 1 else math.nan,
        "activation_dead": 1.0 - float(sums.active.double().mean()) if sums.active is not None else math.nan,
    }


def _means(rows: list[Row]) -> dict[str, float]:
    """Average over layers whose output is not that of an affine map alone: what comes after a non-linearity counts."""
    affine = ("Linear", "Conv1d", "Conv2d", "Conv3d", "Flatten", "Identity", "Dropout", "Dropout2d", "Dropout3d")
    chosen = [row for row in rows if row["module_type"] not in affine and "Norm" not in row["module_type"]] or rows
    return {
        name: float(np.nanmean([row[name] for row in chosen]))
        if any(not math.isnan(row[name]) for row in chosen)
        else math.nan
        for name in ("activation_entropy", "activation_sparsity")
    }


@torch.no_grad()
def sharpness(
    model: nn.Module, split: DeviceSplit, info: DataInfo, directions: int = DIRECTIONS, radius: float = RADIUS
) -> dict[str, float]:
    """Measure the rise of the loss a little way from the weights: mean and largest over random directions, in nats.

    Formula: mean and max over directions d of (L(w + r d) + L(w - r d)) / 2 - L(w). Each row of a weight matrix in d is
    Gaussian and as long as the row in w (filter normalisation); vectors do not move. Directions are always the same.
    Source: Li, Xu, Taylor, Studer, Goldstein (2018), Visualizing the Loss Landscape of Neural Nets, NeurIPS, sec. 4.
    """
    centre = evaluate(model, split, info).loss
    generator = torch.Generator().manual_seed(0)
    rises = []
    for _ in range(directions):
        direction = {name: _like(p, generator) for name, p in model.named_parameters() if p.ndim > 1}
        there = []
        for sign in (1.0, -1.0):
            with _moved(model, direction, sign * radius):
                there.append(evaluate(model, split, info).loss)
        rises.append(sum(there) / 2.0 - centre)
    return {"sharpness": float(np.mean(rises)), "sharpness_max": float(np.max(rises))}


def _like(weights: Tensor, generator: torch.Generator) -> Tensor:
    drawn = torch.randn(weights.shape, generator=generator)
    rows, own = drawn.flatten(1), weights.detach().flatten(1)
    return (rows / rows.norm(dim=1, keepdim=True) * own.norm(dim=1, keepdim=True)).view_as(weights)


@contextmanager
def _moved(model: nn.Module, direction: Mapping[str, Tensor], step: float) -> Iterator[None]:
    """Move a model's weights, and set them back to the last bit afterwards."""
    parameters = dict(model.named_parameters())
    kept = {name: parameters[name].detach().clone() for name in direction}
    try:
        for name, move in direction.items():
            parameters[name].add_(move, alpha=step)
        yield
    finally:
        for name, weights in kept.items():
            parameters[name].copy_(weights)
