"""The one writer of `trials.parquet`: it puts measures of each model after training beside its results."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analysis import table
from analysis.runs.run_folder import RunFolder
from analysis.weights.matrices import is_matrix
from analysis.weights.own_measures import unknown_measures
from trainables.errors import InputError

# Stages that a model's means are of: the final weights where none were best.
KEPT = ("best", "final")
LAST = ("final",)
# The column of a measure of a user's own, in a process that does not know it.
OWN_MEASURE = pa.field("", pa.float64(), True, {"unit": "1", "direction": "", "meaning": "a measure of one's own"})
Keys = list[tuple[str, int]]


@dataclass(frozen=True)
class ModelColumns:
    """Columns that hold one value for each model. rows: the index of each (trial_id, seed) in them."""

    rows: dict[tuple[str, int], int]
    columns: dict[str, pa.Array]


def write_trials(run: RunFolder, trials: pa.Table) -> None:
    """Write the table of a run's trials; `weights.parquet` and `activations.parquet` say what was measured of them."""
    table.write_arrow(run.trials_table, with_measured(run, trials))


def refill_trials(run: RunFolder) -> None:
    """Write `trials.parquet` again, after more was measured."""
    with table.readable(run.trials_table):
        trials = pq.ParquetFile(run.trials_table).read()
    write_trials(run, trials)


def with_measured(run: RunFolder, trials: pa.Table) -> pa.Table:
    """Add the model-level columns of the run's other tables to the trials."""
    keys = list(zip(trials["trial_id"].to_pylist(), trials["seed"].to_pylist(), strict=True))
    schema = table.schema("trials", {})
    # a user's own field or metric may have the name of a measure
    there = set(trials.column_names)
    taken = {*table.own_fields(table.read_metadata(trials)), *(name for name in there if f"final_{name}" in there)}
    for path, names, read in _sources(run):
        measured = read(path, _stamp(path)) if path.exists() else ModelColumns({}, {})
        indices = np.array([measured.rows.get(key, -1) for key in keys], np.int64)
        for name in (name for name in names if name not in taken):
            trials = _set_column(trials, schema.field(name), _at(measured.columns.get(name), indices))
        for name in sorted(measured.columns.keys() - set(names)):
            own = trials.schema.field(name) if name in trials.column_names else OWN_MEASURE.with_name(name)
            trials = _set_column(trials, own, _at(measured.columns[name], indices))
    return trials


def last_means(run: RunFolder) -> ModelColumns:
    """Return the means of each model's weights after its last epoch; nothing where they were not measured."""
    if not run.weights_table.exists():
        return ModelColumns({}, {})
    return model_means_of(_weights(run.weights_table, LAST))


def _sources(run: RunFolder) -> list[tuple[Path, tuple[str, ...], Callable[[Path, tuple[int, int]], ModelColumns]]]:
    """Return the tables of what was measured, the columns that models have of each, and what reads them."""
    return [
        (run.weights_table, tuple(table.model_measures()), _means),
        (run.activations_table, table.OF_MODELS, _behaviour),
    ]


def put_aside_damaged(run: RunFolder) -> list[str]:
    """Rename the tables of what was measured that cannot be read. Returns a note for each."""
    notes = []
    for path, _, read in _sources(run):
        try:
            if path.exists():
                read(path, _stamp(path))
        except InputError as error:
            numbered = (path.with_name(f"{path.name}.damaged-{number}") for number in count(1))
            aside = next(name for name in numbered if not name.exists())
            path.rename(aside)
            why = str(error).rpartition(": ")[0]
            notes.append(f"{why}: it is kept as {aside.name}, and what it held can be measured again")
    return notes


def _at(column: pa.Array | None, indices: np.ndarray) -> pa.Array:
    if column is None:
        return pa.nulls(len(indices), pa.float64())
    return column.take(pa.array(indices, mask=indices < 0))


def _set_column(trials: pa.Table, field: pa.Field, values: pa.Array) -> pa.Table:
    """Set a column of a table, which an earlier version may lack. Null is NaN where it may not be null."""
    content = values if field.nullable else values.fill_null(np.nan)
    index = trials.schema.get_field_index(field.name)
    return trials.append_column(field, content) if index < 0 else trials.set_column(index, field, content)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=2)
def _means(path: Path, stamp: tuple[int, int]) -> ModelColumns:
    """Return the means of each model in `weights.parquet`.

    stamp: of the file that was read, so that a newer one is read.
    """
    return model_means_of(_weights(path))


def _weights(path: Path, stages: Sequence[str] = KEPT) -> pa.Table:
    """Read what means are made of, one row group after another: a table of all tensors may not fit in memory."""
    with table.readable(path):
        file = pq.ParquetFile(path)
        measures = _measures_in(file.schema_arrow)
        names = ["trial_id", "seed", "stage", "tensor", "shape", "module_type", *measures]
        parts = (file.read_row_group(number, names) for number in range(file.num_row_groups))
        kept = [part.filter(pc.is_in(part["stage"], pa.array(stages))) for part in parts]
        # a column that is lacking raises here
        return (pa.concat_tables(kept) if kept else file.schema_arrow.empty_table()).select(names)


def _measures_in(schema: pa.Schema) -> list[str]:
    """Return the measures that a table of weights has of models: ours, then a user's own."""
    own = [field.name for field in unknown_measures(schema)]
    return [*(name for name in table.model_measures() if name in schema.names), *own]


def model_means_of(weights: pa.Table) -> ModelColumns:
    """Return `model_means` of every model at once: of the best weights of each replicate, else of the final ones."""
    keys = list(zip(weights["trial_id"].to_pylist(), weights["seed"].to_pylist(), strict=True))
    rows = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    model = np.array([rows[key] for key in keys], np.int64)
    best = pc.equal(weights["stage"], "best").to_numpy()
    chosen = best | ~(np.bincount(model, best, len(rows)) > 0)[model]
    names, kinds = weights["tensor"].to_pylist(), weights["module_type"].to_pylist()
    shapes = map(tuple, weights["shape"].to_pylist())
    sizes = np.array(list(map(_size, names, shapes, kinds)), np.float64)
    chosen &= sizes > 0
    measures = _measures_in(weights.schema)
    return ModelColumns(
        rows, {name: _mean(weights[name], model[chosen], sizes[chosen], chosen, len(rows)) for name in measures}
    )


@lru_cache(maxsize=65536)
def _size(name: str, shape: tuple[int, ...], kind: str) -> int:
    """Return the weight of a tensor in the means: its size where it is a matrix, else 0."""
    return math.prod(shape) if is_matrix(name, shape, kind) else 0


def _mean(column: pa.ChunkedArray, model: np.ndarray, sizes: np.ndarray, chosen: np.ndarray, models: int) -> pa.Array:
    taken = ~column.is_null().to_numpy()[chosen]
    values = column.to_numpy()[chosen]
    defined = taken & np.isfinite(values)
    total = np.bincount(model[defined], sizes[defined], models)
    with np.errstate(invalid="ignore"):
        means = np.bincount(model[defined], (values * sizes)[defined], models) / total
    # Undefined for all matrices is NaN, as for a model without one; not taken is null.
    missing = (np.bincount(model[taken], minlength=models) == 0) & (np.bincount(model, minlength=models) > 0)
    return pa.array(means, pa.float64(), mask=missing)


@lru_cache(maxsize=2)
def _behaviour(path: Path, stamp: tuple[int, int]) -> ModelColumns:
    """Read the columns of whole models from `activations.parquet`."""
    names = ["trial_id", "seed", "layer", *table.OF_MODELS]
    with table.readable(path):
        models = pq.ParquetFile(path).read(names).select(names).filter(pc.field("layer") == "").combine_chunks()
    keys: Keys = list(zip(models["trial_id"].to_pylist(), models["seed"].to_pylist(), strict=True))
    columns = {name: models[name].combine_chunks() for name in table.OF_MODELS}
    return ModelColumns({key: number for number, key in enumerate(keys)}, columns)
