"""python -m analysis.scalars RUN|LOGDIR: TensorBoard's scalars as one table, of our runs or of any log folder."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from analysis.command_line import check_outputs, new_app, refuse_unused, start
from analysis.runs.find import find_run, refuse_unused_storage
from analysis.runs.lease import hold
from analysis.runs.run_folder import RunFolder
from analysis.terminal.plain_text import visible
from trainables.json_values import as_json_value

app = new_app()


def folder_of(target: str, storage: str | Path) -> tuple[Path, RunFolder | None]:
    """Return the folder of event files that a name means, and the run that they are of. Raises `InputError`."""
    if Path(target).is_dir() and not (Path(target) / "run.json").is_file():
        return Path(target), None
    run = find_run(target, storage)
    return run.tensorboard, run


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
    from analysis.table.tensorboard_scalars import read_files, write_scalars

    if Path(target).is_dir():
        refuse_unused(context, ("storage",), "it is for the name of a run")
    refuse_unused_storage(context, [target])
    check_outputs([], output)
    folder, run = folder_of(target, storage)
    content = read_files(folder)
    with hold(run, instead="write elsewhere with --output FOLDER") if run and not output else nullcontext():
        files = write_scalars(content.table, output or (run.path if run else folder))
    for text in (*content.cut_off, *content.damaged):
        print(f"{'problem' if text in content.damaged else 'note'}: {visible(text)}", file=sys.stderr)
    if json_:
        print(json.dumps(as_json_value(content.table.to_pylist(), infinite_as_text=True)))
    else:
        runs, tags = (len(content.table[name].unique()) for name in ("run", "tag"))
        print(
            f"{len(content.table)} values of {tags} scalars in {runs} runs, in {visible(files[0])} and {files[1].name}"
        )
    if content.damaged:
        sys.exit(1)


if __name__ == "__main__":
    start(app)
