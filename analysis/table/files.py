"""Reads and writes the results tables; a reader never sees half a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analysis.arrays import text_array
from analysis.table.definitions import IDENTITY, TENSOR, TEXT, Kind, columns
from analysis.table.run_columns import columns_of, schema
from trainables.atomic_files import check_regular, files_below, remove_leftovers, replaced
from trainables.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

NEEDED: dict[Kind, tuple[str, ...]] = {
    "trials": (*IDENTITY, "status", "epochs_trained"),
    "epochs": (*IDENTITY, "epoch"),
    "weights": (*IDENTITY, *(name for name in TENSOR if name != "epoch")),
    "activations": (*IDENTITY, "layer", "position"),
    "quantization": ("trial_id", "seed", "file", "bytes", "agreement"),
    "predictions": ("trial_id", "model", "split", "index", "probabilities", "correct", "uncertainty"),
    "hardware": ("time", "seconds", "node"),
}


def write(path: Path, kind: Kind, rows: Iterable[Mapping[str, Any]], metadata: Mapping[str, Any]) -> None:
    """Write the whole table beside its old version and rename: a reader never sees half a table.

    metadata: of the file (question, roles, provenance). Raises `InputError` where the disk refuses.
    """
    write_arrow(path, pa.Table.from_pylist([dict(row) for row in rows], schema=schema(kind, metadata)))


def write_arrow(path: Path, content: pa.Table) -> None:
    """Write a table that is built already, as `write` does."""
    remove_leftovers(path)
    try:
        with replaced(path) as beside:
            pq.write_table(content, beside, use_dictionary=texts(content.schema))
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error}): free space or choose another --storage") from None


def texts(schema: pa.Schema) -> list[str]:
    """Return the columns of text: a dictionary of their values is short, one of measured numbers costs time alone."""
    return [field.name for field in schema if field.type == TEXT]


def read_arrow(
    path: Path | str, kind: Kind = "trials", names: Sequence[str] | None = None, stages: Sequence[str] | None = None
) -> pa.Table:
    """Read one table, or those of every run under a folder as one, columns that a version lacks filled with null.

    names: the columns to read (None: all that are there). stages: of `weights`, those to read, with their column.
    Raises `InputError` where there is none, and for a file that is damaged or that is no such table.
    """
    location = Path(path)
    files = [location] if location.is_file() else _tables_below(location, kind)
    if not files:
        raise InputError(f"no {kind}.parquet under {location}: name a run's folder, a results folder or a file")
    tables = [_read_file(file, kind, names, stages) for file in files]
    return tables[0] if len(tables) == 1 else joined(tables)


def _tables_below(folder: Path, kind: Kind) -> list[Path]:
    with readable(folder):
        return [path for path in files_below(folder) if path.name == f"{kind}.parquet"]


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Make what a damaged table raises an `InputError`; a column that it lacks is damage, too."""
    try:
        check_regular(path)
        yield
    except KeyError as error:
        raise InputError(f"{path} lacks the column {error}: restore it, or move it away") from None
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({str(error).strip()}): restore it, or move it away") from None


def _read_file(file: Path, kind: Kind, names: Sequence[str] | None, stages: Sequence[str] | None) -> pa.Table:
    with readable(file):
        # `read_table` would import pandas and datasets.
        source = pq.ParquetFile(file)
        there = source.schema_arrow.names
        wanted = set(there if names is None else (*names, *(["stage"] if stages else [])))
        content = _content(source, [name for name in there if name in wanted], stages)
    if len(set(there)) < len(there):
        raise InputError(f"{file} is not a table of {kind} (two columns have one name): restore it, or move it away")
    read = set(content.column_names)
    if lacking := [n for n in NEEDED[kind] if n not in there or (n in read and content[n].null_count)]:
        raise InputError(
            f"{file} is not a table of {kind} (rows lack {', '.join(lacking)}): restore it, or move it away"
        )
    for name in names or ():
        if name not in there:
            known = columns(kind).get(name)
            content = content.append_column(name, pa.nulls(len(content), known.type if known else pa.float64()))
    return _cast(content, file, kind)


def _content(source: pq.ParquetFile, names: Sequence[str], stages: Sequence[str] | None) -> pa.Table:
    """Read columns; of some stages a row group after another, so that the rest is never in memory."""
    if stages is None or "stage" not in names:
        # without its stages it is no table of weights, which is said later
        return source.read(names)
    wanted = text_array(stages)
    parts = (source.read_row_group(number, names) for number in range(source.num_row_groups))
    kept = [part.filter(pc.is_in(part["stage"], wanted)) for part in parts]
    return pa.concat_tables(kept) if kept else source.read(names)


def _cast(content: pa.Table, file: Path, kind: Kind) -> pa.Table:
    """Cast the known columns to the types that they have in this version."""
    expected = columns_of(kind, read_metadata(content))
    for index, field in enumerate(content.schema):
        known = expected.get(field.name)
        if known is None or field.type == known.type:
            continue
        try:
            values = content.column(index).cast(known.type)
        except pa.ArrowException:
            raise InputError(
                f"{file}: column {field.name} is {field.type} and not {known.type}: restore the file, or move it away"
            ) from None
        content = content.set_column(index, field.with_type(known.type), values)
    return content


def complete(tables: Iterable[pa.Table], kind: Kind) -> pa.Table:
    """Join several tables, with all columns of this version in their order; what a table lacks is null."""
    # `Schema.empty_table` would import pandas
    nothing = pa.table({name: pa.nulls(0, column.type) for name, column in columns(kind).items()})
    return joined([nothing, *tables])


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """Join tables of unlike runs: what a table lacks is null; a column of unlike kinds (numbers and texts) is text."""
    kinds: dict[str, set[str]] = {}
    lists: dict[str, pa.DataType] = {}
    for content in tables:
        for field in content.schema:
            kinds.setdefault(field.name, set()).add(_kind(field.type))
            if pa.types.is_list(field.type):
                lists.setdefault(field.name, field.type)
    wanted = {**lists, **{name: TEXT for name, several in kinds.items() if len(several - {"null"}) > 1}}
    return pa.concat_tables([_with_types(each, wanted) for each in tables], promote_options="permissive")


def _kind(of: pa.DataType) -> str:
    return "number" if pa.types.is_integer(of) or pa.types.is_floating(of) else str(of).partition("<")[0]


def _with_types(content: pa.Table, wanted: Mapping[str, pa.DataType]) -> pa.Table:
    for index, field in enumerate(content.schema):
        kind = wanted.get(field.name, field.type)
        if field.type != kind:
            values = content.column(index)
            if pa.types.is_list(field.type) and kind == TEXT:
                values = pa.chunked_array(
                    [[None if value is None else str(value) for value in values.to_pylist()]], TEXT
                )
            content = content.set_column(index, pa.field(field.name, kind), values.cast(kind))
    return content


def metadata(content: pa.Table, file: Path) -> dict[str, Any]:
    """Return the metadata of a run's table, its JSON read. Raises `InputError` where roles or metric are not said."""
    result = read_metadata(content)
    roles = result.get("roles")
    if not (isinstance(roles, dict) and all(isinstance(part, dict) for part in roles.values())):
        raise InputError(f"{file} does not say what was compared (no roles in its metadata): restore it from the run")
    if not isinstance(result.get("metric"), str):
        raise InputError(f"{file} does not say which metric selects: restore it from the run")
    return result


def read_metadata(content: pa.Table) -> dict[str, Any]:
    """Return the metadata of a table, its JSON read."""
    result: dict[str, Any] = {}
    for key, value in (content.schema.metadata or {}).items():
        text = value.decode(errors="replace")
        try:
            result[key.decode(errors="replace")] = json.loads(text)
        except (ValueError, RecursionError):
            result[key.decode(errors="replace")] = text
    return result


def read(
    path: Path | str, kind: Kind = "trials", names: Sequence[str] | None = None, stages: Sequence[str] | None = None
) -> pd.DataFrame:
    """Read tables as `read_arrow` does, as a pandas frame; the metadata of a single file is in `frame.attrs`."""
    content = read_arrow(path, kind, names, stages)
    frame = content.to_pandas()
    frame.attrs = {
        key.decode(): value.decode(errors="replace")
        for key, value in (content.schema.metadata or {}).items()
        if key != b"pandas"
    }
    return frame
