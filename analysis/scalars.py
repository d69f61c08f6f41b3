"""python -m analysis.scalars RUN|LOGDIR: TensorBoard's scalars as one table, of our runs or of any log folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from analysis.command_line import new_app, refuse_unused, start
from analysis.runs.find import find_run, refuse_unused_storage
from analysis.terminal.plain_text import visible
from trainables.errors import InputError
from trainables.json_values import as_json_value

if TYPE_CHECKING:
    import pyarrow as pa

app = new_app()
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
    import pyarrow as pa

    files = sorted(path for path in folder.rglob("*tfevents*") if path.is_file())
    if not files:
        raise InputError(f"no TensorBoard event file (*tfevents*) under {folder}: name a run or a log folder")
    rows: list[tuple[str, str, int, float, float]] = []
    cut_off, damaged = [], []
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
    with path.open("rb") as file:
        while at + 12 <= size:
            file.seek(at)
            at += 16 + int.from_bytes(file.read(8), "little")
            count += at <= size
    return count, at == size


def _load_events(path: Path) -> Iterator[Any]:
    """Yield the events of a file, up to the first that is damaged or cut off."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    yield from EventFileLoader(str(path)).Load()


def _scalars_of(events: Iterable[Any], run: str) -> Iterator[tuple[str, str, int, float, float]]:
    from tensorboard.util.tensor_util import make_ndarray

    # A writer names the plugin of a tag with its first value alone.
    plugins: dict[str, str] = {}
    for event in events:
        for value in event.summary.value:
            plugins.setdefault(value.tag, value.metadata.plugin_data.plugin_name)
            if plugins[value.tag] == "scalars":
                yield run, value.tag, event.step, float(make_ndarray(value.tensor)), event.wall_time


def write_scalars(content: pa.Table, folder: Path) -> list[Path]:
    """Write `tensorboard_scalars.csv` and `.parquet`. Raises `InputError` where the folder cannot be written."""
    import pyarrow.csv

    from analysis.table import write_arrow

    files = [folder / f"{NAME}.csv", folder / f"{NAME}.parquet"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pyarrow.csv.write_csv(content, files[0], pyarrow.csv.WriteOptions(quoting_style="needed"))
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}): choose another --output") from None
    write_arrow(files[1], content)
    return files


def folders_of(target: str, storage: str | Path) -> tuple[Path, Path]:
    """Return the folder of event files that a name means, and the folder of the tables. Raises `InputError`."""
    if Path(target).is_dir() and not (Path(target) / "run.json").is_file():
        return Path(target), Path(target)
    run = find_run(target, storage)
    return run.tensorboard, run.path


@app.command(epilog="Examples: python -m analysis.scalars latest    python -m analysis.scalars ~/logs --output .")
def scalars(
    context: typer.Context,
    target: Annotated[str, typer.Argument(metavar="RUN|LOGDIR", help="A run, or any folder with event files.")],
    output: Annotated[Path | None, typer.Option(help="Folder of the two files (default: that of the run).")] = None,
    storage: Annotated[str, typer.Option(help="Folder or URI of the results.")] = "results",
    json_: Annotated[bool, typer.Option("--json", help="One JSON document on stdout: a row a scalar.")] = False,
) -> None:
    """Write tensorboard_scalars.csv and .parquet with columns run, tag, step, value and wall_time.

    Ends with code 1 where an event file is damaged; what could be read of it and all others are written.
    """
    if Path(target).is_dir():
        refuse_unused(context, ("storage",), "it is for the name of a run")
    refuse_unused_storage(context, [target])
    folder, own = folders_of(target, storage)
    content = read_files(folder)
    files = write_scalars(content.table, output or own)
    for text in (*content.cut_off, *content.damaged):
        print(f"{'problem' if text in content.damaged else 'note'}: {visible(text)}", file=sys.stderr)
    if json_:
        print(json.dumps(as_json_value(content.table.to_pylist(), infinite_as_text=True)))
    else:
        runs, tags = (len(content.table[name].unique()) for name in ("run", "tag"))
        print(f"{len(content.table)} values of {tags} scalars in {runs} runs, in {files[0]} and {files[1].name}")
    if content.damaged:
        sys.exit(1)


if __name__ == "__main__":
    start(app)
