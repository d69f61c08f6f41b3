"""python -m sweeps.pull URI: copy a run that is kept at a URI into the results folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.command_line import new_app, start
from analysis.runs import sync
from analysis.runs.find import find_run
from analysis.runs.remote import is_uri
from analysis.runs.run_folder import RunFolder
from analysis.terminal.plain_text import visible
from trainables.errors import InputError

app = new_app()
EXAMPLES = """
[bold]Examples[/bold]

  python -m sweeps.pull s3://bucket/results/activations/first

  python -m sweeps.pull activations --storage s3://bucket/results --into results
"""


@app.command(epilog=EXAMPLES)
def pull(
    run: Annotated[str, typer.Argument(help="The URI of a run; with --storage also its name, or latest.")],
    storage: Annotated[str | None, typer.Option(help="URI of the results.")] = None,
    into: Annotated[Path, typer.Option(help="Folder of the results here.")] = Path("results"),
) -> None:
    """Copy a run, or what is new of it, into a folder of results. What is newer here stays."""
    if not is_uri(run) and not is_uri(storage or ""):
        raise InputError(f"{run} lies here already: give the URI of a run, or --storage URI")
    if is_uri(run) and storage is not None:
        raise InputError(f"--storage has no effect with {run}, which says where it is: leave it out")
    found = find_run(run, storage or "results", whole=False)
    remote = sync.remote_of(found)
    assert remote is not None
    copy = RunFolder(into / found.sweep / found.run_id)
    sync.pull(copy, remote, whole=True)
    print(visible(f"{sync.where(found)} is in {copy.path}"))


if __name__ == "__main__":
    start(app)
