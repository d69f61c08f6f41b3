"""python -m sweeps.clean RUN: remove checkpoints of ended trials, or a whole run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analysis.command_line import new_app, start
from analysis.runs.find import find_run, refuse_unused_storage
from analysis.runs.lease import hold
from analysis.runs.remote import storage_errors
from analysis.runs.sync import remote_of, where
from analysis.terminal.plain_text import visible
from trainables.errors import InputError

if TYPE_CHECKING:
    from analysis.runs.run_folder import RunFolder

app = new_app()
EXAMPLES = """
[bold]Examples[/bold]

  python -m sweeps.clean latest

  python -m sweeps.clean 20261122-073848-sharp-beacon --run --yes
"""


@app.command(epilog=EXAMPLES)
def clean(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="latest, a sweep's name (its newest run), a run id, a path, or a URI.")],
    storage: Annotated[str, typer.Option(help="Folder or URI of the results.")] = "results",
    whole: Annotated[bool, typer.Option("--run", help="Remove the whole run, its tables and weights too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Free space. Checkpoints only serve a resume; weights, tables and figures stay unless --run is given."""
    from sweeps.screen.runs import size_of

    refuse_unused_storage(context, [run])
    folder = find_run(run, storage)
    if whole and folder.path.is_symlink():
        there = f"{folder.path} is a link to {folder.path.resolve()}"
        raise InputError(f"{there}: remove the link by hand, or name the run that it leads to")
    with hold(folder, instead="clean it then"):
        doomed = [folder.path] if whole else list(checkpoints(folder))
        if not doomed:
            print(visible(f"{where(folder)} has no checkpoints of ended trials: nothing to remove"))
            return
        what = "the whole run" if whole else f"the checkpoints of {len(doomed)} ended trials"
        if not yes:
            typer.confirm(visible(f"Remove {what} in {where(folder)} ({size_of(*doomed)})?"), abort=True)
        for path in doomed:
            remove(folder, path)
        print(visible(f"removed {what} in {where(folder)}"))


def remove(run: RunFolder, folder: Path) -> None:
    """Remove a folder of a run, here and where the run is kept. Raises `InputError`."""
    if remote := remote_of(run):
        with storage_errors(remote):
            remote.delete_folder(folder.relative_to(run.path).as_posix())
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise InputError(
            f"{error.filename or folder} cannot be removed ({error.strerror or error}): check its owner"
        ) from None


def checkpoints(folder: RunFolder) -> Iterator[Path]:
    """Yield the checkpoint folders of trials that have ended; a resume goes on from those of the others."""
    from sweeps.record.state import read_state

    for trial in read_state(folder.ledger).trials.values():
        checkpoint = folder.trial(trial.folder).checkpoint
        if trial.ended and checkpoint.is_dir():
            yield checkpoint


if __name__ == "__main__":
    start(app)
