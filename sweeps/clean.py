"""python -m sweeps.clean RUN: remove checkpoints of ended trials, or a whole run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analysis.command_line import new_app, start

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
    run: Annotated[str, typer.Argument(help="latest, a sweep's name (its newest run), a run id, a path, or a URI.")],
    storage: Annotated[str, typer.Option(help="Folder or URI of the results.")] = "results",
    whole: Annotated[bool, typer.Option("--run", help="Remove the whole run, its tables and weights too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Free space. Checkpoints only serve a resume; weights, tables and figures stay unless --run is given."""
    from analysis.runs.find import find_run
    from analysis.runs.remote import reaching
    from analysis.runs.sync import remote_of, where
    from sweeps.screen.runs import size_of

    folder = find_run(run, storage)
    places = [folder.path] if whole else list(checkpoints(folder))
    if not places:
        print(f"{folder.path} has no checkpoints of ended trials: nothing to remove")
        return
    what = "the whole run" if whole else f"the checkpoints of {len(places)} ended trials"
    if not yes:
        typer.confirm(f"Remove {what} in {folder.path} ({size_of(*places)})?", abort=True)
    remote = remote_of(folder)
    for place in places:
        if remote:
            with reaching(remote):
                remote.delete_folder(place.relative_to(folder.path).as_posix())
        shutil.rmtree(place)
    print(f"removed {what} in {where(folder)}")


def checkpoints(folder: RunFolder) -> Iterator[Path]:
    """The checkpoint folders of trials that have ended; those of unfinished ones are what a resume goes on from."""
    from sweeps.record.ledger import read_ledger
    from sweeps.record.state import fold

    for trial in fold(read_ledger(folder.ledger)).trials.values():
        place = folder.trial(trial.folder).checkpoint
        if trial.ended and place.is_dir():
            yield place


if __name__ == "__main__":
    start(app)
