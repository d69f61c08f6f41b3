"""Complexity of trained weights: every tensor of every trial, into `weights.parquet` and `trials.parquet`.

A flattened weight tensor is a series in an arbitrary order: measures marked `ordered` depend on that order.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analysis import table
from analysis.measures import measure_tensor
from analysis.measures.lmc import lmc
from analysis.measures.sample_entropy import sample_entropy
from analysis.run_folder import RunFolder
from trainables.errors import InputError

__all__ = ["lmc", "measure_file", "measure_replicate", "model_means", "sample_entropy", "write_complexity"]

STAGES = ("initial", "best", "final")
Row = dict[str, Any]


def read_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors and metadata of a safetensors file; 16-bit floats become float32. Raises `InputError`."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read ({error})") from None


def measure_file(path: Path, measures: Sequence[str] | None = None) -> Iterator[Row]:
    """One row per learned tensor of a weights file that training wrote: where it stands and all its measures."""
    tensors, metadata = read_tensors(path)
    types: Mapping[str, str] = json.loads(metadata["module_types"])
    for position, name in enumerate(name for name in types if name in tensors):
        weights = tensors[name]
        yield {
            "epoch": int(metadata["epoch"]),
            "tensor": name,
            "position": position,
            "module_type": types[name],
            "shape": list(weights.shape),
            **measure_tensor(weights, measures),
        }


def measure_replicate(folder: Path, stages: Sequence[str] = STAGES) -> list[Row]:
    """The rows of one replicate's weights at each stage that was saved; equal files are measured once."""
    rows: list[Row] = []
    measured: dict[int, list[Row]] = {}
    for stage in stages:
        path = folder / f"{stage}_model.safetensors"
        if not path.is_file():
            continue
        content = hash(path.read_bytes())
        if content not in measured:
            measured[content] = list(measure_file(path))
        rows += [{"stage": stage, **row} for row in measured[content]]
    return rows


def model_means(rows: Sequence[Row]) -> dict[str, float]:
    """Model-level measures: means over weight matrices (2 axes or more), weighted by size; undefined tensors left out."""
    matrices = [row for row in rows if len(row["shape"]) >= 2]
    return {
        name: _weighted_mean([(row[name], math.prod(row["shape"])) for row in matrices])
        for name in table.model_measures()
    }


def _weighted_mean(pairs: Sequence[tuple[float | None, int]]) -> float:
    defined = [(value, weight) for value, weight in pairs if value is not None and math.isfinite(value)]
    total = sum(weight for _, weight in defined)
    return sum(value * weight for value, weight in defined) / total if total else math.nan


def write_complexity(run: RunFolder, rows: Sequence[Row], about: Mapping[str, Any]) -> None:
    """Write `weights.parquet`, then the model-level columns of `trials.parquet`."""
    table.write(run.weights_table, "weights", rows, about)
    trials = pq.read_table(run.trials_table)
    means = {key: model_means(part) for key, part in _by_replicate(rows).items()}
    keys = list(zip(trials["trial_id"].to_pylist(), trials["seed"].to_pylist(), strict=True))
    for name in table.model_measures():
        values = [means.get(key, {}).get(name, math.nan) for key in keys]
        index = trials.schema.get_field_index(name)
        trials = trials.set_column(index, trials.schema.field(name), pa.array(values, pa.float64()))
    table.write_arrow(run.trials_table, trials)


def _by_replicate(rows: Sequence[Row]) -> dict[tuple[str, int], list[Row]]:
    """The rows of the best weights of each replicate; of the final ones where none were best (a diverged trial)."""
    stages: dict[tuple[str, int], dict[str, list[Row]]] = {}
    for row in rows:
        stages.setdefault((row["trial_id"], row["seed"]), {}).setdefault(row["stage"], []).append(row)
    return {key: parts.get("best") or parts.get("final") or [] for key, parts in stages.items()}
