"""The one writer of `weights.parquet`: rows are merged a row group at a time, so that no run is too large for it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analysis import table
from analysis.arrays import flag_array, text_array
from analysis.runs.run_folder import RunFolder
from analysis.weights.matrices import STOCHASTIC
from analysis.weights.model_columns import refill_trials
from analysis.weights.own_measures import unknown_measures
from analysis.weights.rows import STAGES, Row
from trainables.atomic_files import remove_leftovers, replaced
from trainables.errors import InputError

# Rows of a row group, at least.
GROUP = 16_384
ORDER = ("trial_id", "replicate", "stage", "position", "tensor")
Key = tuple[Any, ...]


def write_complexity(run: RunFolder, rows: Sequence[Row], metadata: Mapping[str, Any]) -> None:
    """Put rows into `weights.parquet`, then the means of each model into `trials.parquet`.

    A row that is there already keeps the measures that the new one does not have. Raises `InputError` where the disk
    refuses.
    """
    add_weights(run, pa.Table.from_pylist(list(rows), schema=table.schema("weights", metadata)))


def add_weights(run: RunFolder, rows: pa.Table) -> None:
    """Write rows that are a table already, as `write_complexity` does."""
    rows = _with_own_measures(run, rows)
    _rewrite(run, rows.schema, _merged(_without_free_values(_groups(run, rows.schema), rows), rows))
    refill_trials(run)


def _with_own_measures(run: RunFolder, rows: pa.Table) -> pa.Table:
    """Return the rows with a column for each measure of a user's own that the run has, and that they lack."""
    for field in unknown_measures(_schema(run)):
        if field.name not in rows.column_names:
            rows = rows.append_column(field, pa.nulls(len(rows), field.type))
    return rows


def _without_free_values(groups: Iterable[pa.Table], new: pa.Table) -> Iterator[pa.Table]:
    """Leave out the free values of stochastic matrices (version 0.1.0 measured these) whose weights are among the new.

    A stochastic matrix multiplies by its weight, which is made of them.
    """
    weights = new.filter(pc.is_in(new["module_type"], text_array(STOCHASTIC)))
    given_way = {(*key, tensor.removesuffix("weight") + "logits") for *key, tensor in _tensors(weights)}
    for group in groups:
        kept = [tensor not in given_way for tensor in _tensors(group)] if given_way else [True]
        yield group if all(kept) else group.filter(flag_array(kept))


def _schema(run: RunFolder) -> pa.Schema:
    if not run.weights_table.exists():
        return pa.schema([])
    with table.readable(run.weights_table):
        return pq.read_schema(run.weights_table)


def _tensors(rows: pa.Table) -> Iterator[Key]:
    """Yield trial, replicate, stage and tensor of each row."""
    return zip(*(rows[name].to_pylist() for name in ("trial_id", "replicate", "stage", "tensor")), strict=True)


def forget(run: RunFolder, keys: Collection[str]) -> None:
    """Remove the rows of trials that will be trained on from `weights.parquet`, so that they are measured again."""
    if not set(keys) & known_trials(run):
        return
    schema = _schema(run)
    wanted = pa.array(list(keys), pa.string())
    _rewrite(run, schema, (part.filter(~pc.field("trial_key").isin(wanted)) for part in _groups(run, schema)))


def known_trials(run: RunFolder) -> set[str]:
    """Return the keys of the trials that have rows in `weights.parquet`."""
    if not run.weights_table.exists():
        return set()
    with table.readable(run.weights_table):
        return set(pc.unique(pq.ParquetFile(run.weights_table).read(["trial_key"])["trial_key"]).to_pylist())


def _groups(run: RunFolder, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the row groups that are there, with all columns of the schema."""
    if not run.weights_table.exists():
        return
    with table.readable(run.weights_table), pq.ParquetFile(run.weights_table) as file:
        for number in range(file.num_row_groups):
            part = file.read_row_group(number)
            columns = [
                part[field.name] if field.name in part.column_names else pa.nulls(part.num_rows, field.type)
                for field in schema
            ]
            yield pa.Table.from_arrays(columns, schema=schema)


def _rewrite(run: RunFolder, schema: pa.Schema, parts: Iterable[pa.Table]) -> None:
    """Write the parts beside the table and rename: a reader never sees half of it."""
    path = run.weights_table
    remove_leftovers(path)
    try:
        with (
            replaced(path) as beside,
            pq.ParquetWriter(beside, schema, use_dictionary=table.texts(schema)) as writer,
        ):
            for part in _of_size(parts):
                writer.write_table(part)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error}): free space or choose another --storage") from None


def _of_size(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield the parts, small ones put together."""
    held: list[pa.Table] = []
    for part in parts:
        held.append(part)
        if sum(map(len, held)) >= GROUP:
            yield pa.concat_tables(held).combine_chunks()
            held = []
    if held:
        yield pa.concat_tables(held).combine_chunks()


def _merged(groups: Iterable[pa.Table], new: pa.Table) -> Iterator[pa.Table]:
    """Merge new rows into groups of rows in order. Groups that no new row belongs to stay unchanged."""
    keys = _keys(new)
    order = sorted(range(len(keys)), key=keys.__getitem__)
    new, keys = new.take(pa.array(order, pa.int64())), [keys[number] for number in order]
    done = 0
    for group in groups:
        last = _keys(group.slice(len(group) - 1))[0] if len(group) else ()
        end = next((number for number in range(done, len(keys)) if keys[number] > last), len(keys))
        yield _upsert(group, new.slice(done, end - done), keys[done:end]) if end > done else group
        done = end
    yield new.slice(done)


def _keys(rows: pa.Table) -> list[Key]:
    """Return the sort keys of rows: trial, replicate, stage (initial, best, final, others), position."""
    stages = {stage: number for number, stage in enumerate(STAGES)}
    columns = [rows[name].to_pylist() for name in ORDER]
    return [
        (trial, number, stages.get(stage, len(STAGES)), stage, position, tensor)
        for trial, number, stage, position, tensor in zip(*columns, strict=True)
    ]


def _upsert(group: pa.Table, new: pa.Table, keys: Sequence[Key]) -> pa.Table:
    known = {key: number for number, key in enumerate(_keys(group))}
    changes = {known[key]: number for number, key in enumerate(keys) if key in known}
    if changes:
        taken = pa.array([changes.get(number) for number in range(len(group))], pa.int64())
        beside = new.take(taken)
        columns = [pc.coalesce(beside[name], group[name]) for name in group.column_names if name != "shape"]
        columns.insert(group.column_names.index("shape"), group["shape"])
        group = pa.Table.from_arrays(columns, schema=group.schema)
    added = pa.array([number for number, key in enumerate(keys) if key not in known], pa.int64())
    joined = pa.concat_tables([group, new.take(added)])
    if not len(added):
        return joined
    all_keys = [*known, *(key for key in keys if key not in known)]
    return joined.take(pa.array(np.array(sorted(range(len(all_keys)), key=all_keys.__getitem__), np.int64)))
