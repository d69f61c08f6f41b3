"""Rows of `weights.parquet`, one for each tensor, and the means over a model that stand in `trials.parquet`."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analysis import table
from analysis.measures import MEASURES, measure_tensor
from analysis.runs.run_folder import RunFolder
from analysis.weights.files import Tensors, read_learned, read_tensors

Row = dict[str, Any]
STAGES = ("initial", "best", "final")
EPOCH = re.compile(r"epoch_(\d+)")
KEPT = 4096  # results that a process remembers: replicates of one seed begin with the same weights in every trial
_known: dict[tuple[Any, ...], dict[str, float]] = {}


def stage_files(folder: Path, every: int = 0) -> dict[str, Path]:
    """The weights of a replicate that were saved: initial, best and final, and with `every` those along training.

    every: epochs from one file `epoch_0005_model.safetensors` to the next that is taken.
    """
    files = {stage: folder / f"{stage}_model.safetensors" for stage in STAGES}
    for path in sorted(folder.glob("epoch_*_model.safetensors")) if every else ():
        stage = path.name.removesuffix("_model.safetensors")
        if (found := EPOCH.fullmatch(stage)) and int(found[1]) % every == 0:
            files[stage] = path
    return {stage: path for stage, path in files.items() if path.is_file()}


def measure_file(
    path: Path, measures: Sequence[str] | None = None, initial: Mapping[str, np.ndarray] | None = None
) -> Iterator[Row]:
    """One row per learned tensor of a weights file: where it stands and all its measures. Raises `InputError`."""
    tensors, types, epoch = read_learned(path)
    for position, (name, weights) in enumerate(tensors.items()):
        yield {
            "epoch": epoch,
            "tensor": name,
            "position": position,
            "module_type": types[name],
            "shape": list(weights.shape),
            **_measured(weights, measures, (initial or {}).get(name)),
        }


def _measured(weights: np.ndarray, measures: Sequence[str] | None, initial: np.ndarray | None) -> dict[str, float]:
    """`measure_tensor`, once for equal content."""
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
    folder: Path, measures: Sequence[str] | None = None, files: Mapping[str, Path] | None = None
) -> list[Row]:
    """The rows of one replicate's weights at each stage, of the default measures or of those named."""
    found = stage_files(folder)
    initial: Tensors = read_tensors(found["initial"])[0] if "initial" in found else {}
    return [
        {"stage": stage, **row}
        for stage, path in (found if files is None else files).items()
        for row in measure_file(path, measures, initial)
    ]


def model_means(rows: Sequence[Row]) -> dict[str, float | None]:
    """Model-level measures: means over weight matrices (2 axes or more), weighted by size.

    Tensors of which a measure is undefined are left out; NaN where it is undefined of all, None where it was not taken.
    """
    matrices = [row for row in rows if len(row["shape"]) >= 2]
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


def write_complexity(run: RunFolder, rows: Sequence[Row], about: Mapping[str, Any]) -> None:
    """Write `weights.parquet`, then the model-level columns of `trials.parquet`."""
    table.write(run.weights_table, "weights", rows, about)
    trials = _with_behaviour(run, pq.read_table(run.trials_table))
    means = {key: model_means(part) for key, part in _by_replicate(rows).items()}
    keys = list(zip(trials["trial_id"].to_pylist(), trials["seed"].to_pylist(), strict=True))
    for name, field in zip(table.model_measures(), _model_fields(), strict=True):
        missing = None if field.nullable else math.nan
        values = [missing if (found := means.get(key, {}).get(name)) is None else found for key in keys]
        trials = _set_column(trials, field, pa.array(values, pa.float64()))
    table.write_arrow(run.trials_table, trials)


def write_behaviour(run: RunFolder, rows: Sequence[Row], about: Mapping[str, Any]) -> None:
    """Write `activations.parquet`, then its columns of `trials.parquet`."""
    table.write(run.activations_table, "activations", rows, about)
    table.write_arrow(run.trials_table, _with_behaviour(run, pq.read_table(run.trials_table)))


def _with_behaviour(run: RunFolder, trials: pa.Table) -> pa.Table:
    """The trials with what `activations.parquet` says of whole models, where there is one."""
    if not run.activations_table.exists():
        return trials
    rows = table.read_arrow(run.activations_table, "activations").to_pylist()
    models = {(row["trial_id"], row["seed"]): row for row in rows if row["layer"] == ""}
    keys = list(zip(trials["trial_id"].to_pylist(), trials["seed"].to_pylist(), strict=True))
    for name in table.OF_MODELS:
        values = [models.get(key, {}).get(name) for key in keys]
        trials = _set_column(trials, table.schema("trials", {}).field(name), pa.array(values, pa.float64()))
    return trials


def _model_fields() -> list[pa.Field]:
    schema = table.schema("trials", {})
    return [schema.field(name) for name in table.model_measures()]


def _set_column(trials: pa.Table, field: pa.Field, values: pa.Array) -> pa.Table:
    """A table of an earlier version may lack the column."""
    index = trials.schema.get_field_index(field.name)
    return trials.append_column(field, values) if index < 0 else trials.set_column(index, field, values)


def _by_replicate(rows: Sequence[Row]) -> dict[tuple[str, int], list[Row]]:
    """The rows of the best weights of each replicate; of the final ones where none were best (a diverged trial)."""
    stages: dict[tuple[str, int], dict[str, list[Row]]] = {}
    for row in rows:
        stages.setdefault((row["trial_id"], row["seed"]), {}).setdefault(row["stage"], []).append(row)
    return {key: parts.get("best") or parts.get("final") or [] for key, parts in stages.items()}


def known_rows(run: RunFolder) -> list[Row]:
    rows: list[Row] = table.read_arrow(run.weights_table, "weights").to_pylist() if run.weights_table.exists() else []
    return rows


def forget(run: RunFolder, keys: Collection[str]) -> None:
    """Take the rows of trials that will be trained on out of `weights.parquet`, so that they are measured again."""
    rows = known_rows(run)
    kept = [row for row in rows if row["trial_key"] not in keys]
    if len(kept) < len(rows):
        about = {**run.read_description(), "sweep": run.sweep, "run_id": run.run_id}
        table.write(run.weights_table, "weights", kept, about)
