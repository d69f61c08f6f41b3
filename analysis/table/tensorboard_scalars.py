"""Reads TensorBoard's scalars of our runs or of any log folder as one table, and writes it as CSV and Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.util.tensor_util import make_ndarray

from analysis.table.files import write_arrow
from trainables.atomic_files import files_below, open_regular, replaced
from trainables.errors import InputError

NAME = "tensorboard_scalars"
COLUMNS = {
    "run": "folder of the event file, below the one that was read",
    "tag": "name of the scalar",
    "step": "step that the writer gave, for our runs the epoch",
    "value": "the scalar, stored with 32 bits",
    "wall_time": "when it was written, in seconds since 1970",
}


@dataclass(frozen=True)
class Scalars:
    """A table with a row a scalar, and a line for each file that could not be read to its end.

    cut_off: files that end in the middle of a record, as one that is being written does. damaged: files of which
    something else was lost.
    """

    table: pa.Table
    cut_off: tuple[str, ...]
    damaged: tuple[str, ...]


def read_scalars(folder: Path) -> pa.Table:
    """Read every scalar of every event file below a folder: run, tag, step, value, wall_time, as they were written.

    Reads both formats, TensorFlow 1's and PyTorch's plain values and TensorFlow 2's tensors. A file that was cut off
    while it was written is read up to there. Raises `InputError` where there is no event file, or a damaged one.
    """
    scalars = read_files(folder)
    if scalars.damaged:
        raise InputError("; ".join(scalars.damaged))
    return scalars.table


def read_files(folder: Path) -> Scalars:
    """Read all scalars that can be read, and name the files that could not. Raises `InputError` without any file."""
    unreadable: list[OSError] = []
    files = [path for path in files_below(folder, unreadable.append) if "tfevents" in path.name and path.is_file()]
    damaged = [f"{error.filename} cannot be read ({error.strerror})" for error in unreadable]
    if not files:
        why = "; ".join(damaged) or f"no TensorBoard event file (*tfevents*) under {folder}"
        raise InputError(f"{why}: name a run or a log folder")
    rows: list[tuple[str, str, int, float, float]] = []
    cut_off = []
    for path in files:
        try:
            events = list(_load_events(path))
            rows += _scalars_of(events, path.parent.relative_to(folder).as_posix())
        except (OSError, ValueError, TypeError, DecodeError) as error:
            damaged.append(f"{path} cannot be read ({' '.join(str(error).split())})")
            continue
        framed, whole = count_records(path)
        if len(events) < framed or not framed:
            damaged.append(f"{path} is damaged after {len(events)} of its records; what follows is left out")
        elif not whole:
            cut_off.append(f"{path} ends in the middle of a record; it was read up to there")
    types = (pa.string(), pa.string(), pa.int64(), pa.float64(), pa.float64())
    fields = [
        pa.field(name, type_, metadata={"meaning": meaning})
        for (name, meaning), type_ in zip(COLUMNS.items(), types, strict=True)
    ]
    content = pa.Table.from_pylist([dict(zip(COLUMNS, row, strict=True)) for row in rows], schema=pa.schema(fields))
    return Scalars(content, tuple(cut_off), tuple(damaged))


def count_records(path: Path) -> tuple[int, bool]:
    """Count the records that a file's lengths frame, and tell whether the last of them is whole.

    A record is a length of 8 bytes, its checksum, the data and theirs, of 4 bytes each (TFRecord).
    """
    size, at, count = path.stat().st_size, 0, 0
    with open_regular(path) as file:
        while at + 12 <= size:
            file.seek(at)
            at += 16 + int.from_bytes(file.read(8), "little")
            count += at <= size
    return count, at == size


def _load_events(path: Path) -> Iterator[Any]:
    """Yield the events of a file, up to the first that is damaged or cut off."""
    yield from EventFileLoader(str(path)).Load()


def _scalars_of(events: Iterable[Any], run: str) -> Iterator[tuple[str, str, int, float, float]]:
    # A writer names the plugin of a tag with its first value alone.
    plugins: dict[str, str] = {}
    for event in events:
        for value in event.summary.value:
            plugins.setdefault(value.tag, value.metadata.plugin_data.plugin_name)
            if plugins[value.tag] == "scalars":
                yield run, value.tag, event.step, float(make_ndarray(value.tensor)), event.wall_time


def write_scalars(content: pa.Table, folder: Path) -> list[Path]:
    """Write `tensorboard_scalars.csv` and `.parquet`. Raises `InputError` where the folder cannot be written."""
    files = [folder / f"{NAME}.csv", folder / f"{NAME}.parquet"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replaced(files[0]) as beside:
            pyarrow.csv.write_csv(content, beside, pyarrow.csv.WriteOptions(quoting_style="needed"))
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}): choose another --output") from None
    write_arrow(files[1], content)
    return files
