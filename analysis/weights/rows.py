"""Rows of `weights.parquet`, one for each tensor, and their means over a model."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from analysis import table
from analysis.measures import MEASURES, measure_tensor
from analysis.weights.files import Reader, Tensors, read_learned, read_tensors
from analysis.weights.matrices import is_matrix, with_multiplied

Row = dict[str, Any]
STAGES = ("initial", "best", "final")
EPOCH = re.compile(r"epoch_(\d+)")
# Results that a process remembers: replicates of one seed begin with the same weights in every trial.
KEPT = 4096
_known: dict[tuple[Any, ...], dict[str, float]] = {}


def stage_files(folder: Path, every: int = 0) -> dict[str, Path]:
    """Return the saved weights of a replicate: initial, best and final, and with `every` those along training.

    every: epochs from one file `epoch_0005_model.safetensors` to the next that is taken.
    """
    files = {stage: folder / f"{stage}_model.safetensors" for stage in STAGES}
    for path in sorted(folder.glob("epoch_*_model.safetensors")) if every else ():
        stage = path.name.removesuffix("_model.safetensors")
        if (match := EPOCH.fullmatch(stage)) and int(match[1]) % every == 0:
            files[stage] = path
    return {stage: path for stage, path in files.items() if path.is_file()}


def measure_file(
    path: Path,
    measures: Sequence[str] | None = None,
    initial: Mapping[str, np.ndarray] | None = None,
    read: Reader = read_tensors,
) -> Iterator[Row]:
    """Yield one row per learned tensor of a weights file: its name, position and measures. Raises `InputError`."""
    tensors, types, epoch = read_weights(path, read)
    for position, (name, weights) in enumerate(tensors.items()):
        yield {
            "epoch": epoch,
            "tensor": name,
            "position": position,
            "module_type": types[name],
            "shape": list(weights.shape),
            **_measured(weights, measures, (initial or {}).get(name)),
        }


def read_weights(path: Path, read: Reader = read_tensors) -> tuple[Tensors, dict[str, str], int | None]:
    """Read the learned tensors of a file as the model multiplies by them, their types, the epoch.

    Raises `InputError`.
    """
    tensors, types, epoch = read_learned(path, read)
    return *with_multiplied(path, tensors, types), epoch


def _measured(weights: np.ndarray, measures: Sequence[str] | None, initial: np.ndarray | None) -> dict[str, float]:
    """Call `measure_tensor`, once for equal content."""
    names = None if measures is None else tuple(measures)
    used = initial if any(MEASURES[name].initial for name in names or MEASURES) else None
    key = (names, *_identity(weights), *(() if used is None else _identity(used)))
    if key not in _known:
        if len(_known) >= KEPT:
            _known.clear()
        _known[key] = measure_tensor(weights, names, used)
    return _known[key]


def _identity(weights: np.ndarray) -> tuple[bytes, tuple[int, ...], str]:
    return blake2b(np.ascontiguousarray(weights).data, digest_size=16).digest(), weights.shape, weights.dtype.str


def measure_replicate(
    folder: Path,
    measures: Sequence[str] | None = None,
    files: Mapping[str, Path] | None = None,
    read: Reader = read_tensors,
) -> list[Row]:
    """Return the rows of one replicate's weights at each stage, of the default measures or of those named."""
    saved = stage_files(folder)
    initial: Tensors = read_weights(saved["initial"], read)[0] if "initial" in saved else {}
    return [
        {"stage": stage, **row}
        for stage, path in (saved if files is None else files).items()
        for row in measure_file(path, measures, initial, read)
    ]


def model_means(rows: Sequence[Row]) -> dict[str, float | None]:
    """Return the model-level measures: means over the weight matrices that multiply, weighted by size.

    Tensors with an undefined measure are left out; NaN where all are, None where it was not taken.
    """
    matrices = [row for row in rows if is_matrix(row["tensor"], row["shape"], row["module_type"])]
    return {
        name: _weighted_mean([(row.get(name), math.prod(row["shape"])) for row in matrices])
        for name in table.model_measures()
    }


def _weighted_mean(pairs: Sequence[tuple[float | None, int]]) -> float | None:
    taken = [(value, weight) for value, weight in pairs if value is not None]
    defined = [(value, weight) for value, weight in taken if math.isfinite(value)]
    total = sum(weight for _, weight in defined)
    if not total:
        return math.nan if taken or not pairs else None
    return sum(value * weight for value, weight in defined) / total
