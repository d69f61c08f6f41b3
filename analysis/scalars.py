"""python -m analysis.scalars RUN|LOGDIR: TensorBoard's scalars as one table, of our runs or of any log folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analysis.command_line import new_app, start

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


def read_scalars(folder: Path) -> pa.Table:
    """Every scalar of every event file below a folder: run, tag, step, value, wall_time, as they were written.

    Reads both formats, TensorFlow 1's and PyTorch's plain values and TensorFlow 2's tensors. A file that was cut off
    while it was written is read up to there. Raises `InputError` where there is no event file.
    """
    import pyarrow as pa

    from trainables.errors import InputError

    files = sorted(path for path in folder.rglob("*tfevents*") if path.is_file())
    if not files:
        raise InputError(f"no TensorBoard event file (*tfevents*) under {folder}: name a run or a log folder")
    rows = [row for path in files for row in _scalars_of(path, path.parent.relative_to(folder).as_posix())]
    types = (pa.string(), pa.string(), pa.int64(), pa.float64(), pa.float64())
    fields = [
        pa.field(name, type_, metadata={"meaning": meaning})
        for (name, meaning), type_ in zip(COLUMNS.items(), types, strict=True)
    ]
    return pa.Table.from_pylist([dict(zip(COLUMNS, row, strict=True)) for row in rows], schema=pa.schema(fields))


def _scalars_of(path: Path, run: str) -> Iterator[tuple[str, str, int, float, float]]:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util.tensor_util import make_ndarray

    plugins: dict[str, str] = {}  # a writer names the plugin of a tag with its first value alone
    for event in EventFileLoader(str(path)).Load():
        for value in event.summary.value:
            plugins.setdefault(value.tag, value.metadata.plugin_data.plugin_name)
            if plugins[value.tag] == "scalars":
                yield run, value.tag, event.step, float(make_ndarray(value.tensor)), event.wall_time


def write_scalars(table: pa.Table, folder: Path) -> list[Path]:
    """`tensorboard_scalars.csv` and `.parquet`. Raises `InputError` where the folder cannot be written."""
    import pyarrow.csv

    from analysis.table import write_arrow
    from trainables.errors import InputError

    files = [folder / f"{NAME}.csv", folder / f"{NAME}.parquet"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pyarrow.csv.write_csv(table, files[0], pyarrow.csv.WriteOptions(quoting_style="needed"))
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}): choose another --output") from None
    write_arrow(files[1], table)
    return files


def place_of(target: str, storage: str | Path) -> tuple[Path, Path]:
    """The folder of event files that a name means, and where the tables go. Raises `InputError`."""
    from analysis.runs.find import find_run

    if Path(target).is_dir() and not (Path(target) / "run.json").is_file():
        return Path(target), Path(target)
    run = find_run(target, storage)
    return run.tensorboard, run.path


@app.command(epilog="Examples: python -m analysis.scalars latest    python -m analysis.scalars ~/logs --output .")
def scalars(
    target: Annotated[str, typer.Argument(metavar="RUN|LOGDIR", help="A run, or any folder with event files.")],
    output: Annotated[Path | None, typer.Option(help="Folder of the two files (default: that of the run).")] = None,
    storage: Annotated[str, typer.Option(help="Folder or URI of the results.")] = "results",
    json_: Annotated[bool, typer.Option("--json", help="One JSON document on stdout: a row a scalar.")] = False,
) -> None:
    """Write tensorboard_scalars.csv and .parquet with columns run, tag, step, value and wall_time."""
    import json

    folder, own = place_of(target, storage)
    table = read_scalars(folder)
    files = write_scalars(table, output or own)
    if json_:
        print(json.dumps([_plain(row) for row in table.to_pylist()]))
        return
    runs, tags = (len(table[name].unique()) for name in ("run", "tag"))
    print(f"{table.num_rows} values of {tags} scalars in {runs} runs, in {files[0]} and {files[1].name}")


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN and no infinity."""
    value = row["value"]
    return row if abs(value) < float("inf") else {**row, "value": None if value != value else str(value)}


if __name__ == "__main__":
    start(app)
