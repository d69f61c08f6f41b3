"""python -m sweeps.show RUN: the summary of a finished or running run."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer
from rich.console import Console

from analysis.command_line import new_app, refuse_unused, start
from analysis.runs.find import find_run, refuse_unused_storage
from trainables.errors import InputError

app = new_app()
EXAMPLES = """
[bold]Examples[/bold]

  python -m sweeps.show latest

  python -m sweeps.show activations --watch

  python -m sweeps.show latest --tensorboard
"""


@app.command(epilog=EXAMPLES)
def show(
    context: typer.Context,
    run: Annotated[
        str, typer.Argument(help="latest, a sweep's name (its newest run), a run id, a path, or a URI.")
    ] = "latest",
    storage: Annotated[str, typer.Option(help="Folder or URI of the results.")] = "results",
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow a running run until all its trials have ended.")
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Serve the run's curves, weights and pictures on this machine.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port of --tensorboard.", min=1, max=65535)] = 6006,
    json_: Annotated[
        bool, typer.Option("--json", help="One JSON document: the run, and a row per trial and replicate.")
    ] = False,
) -> None:
    """Show how a run stands. Reads its files alone, so it works while the run writes, also at a URI."""
    if json_ and watch:
        raise InputError("--json is one document and --watch follows: leave one out")
    if tensorboard and (json_ or watch):
        raise InputError("--tensorboard serves a page: leave --json and --watch out")
    if not tensorboard:
        refuse_unused(context, ("port",), "without --tensorboard")
    refuse_unused_storage(context, [run])
    from sweeps.show_run import document, print_run, watch_run

    folder = find_run(run, storage, whole=tensorboard)
    if tensorboard:
        from sweeps.trackers.tensorboard_server import serve

        sys.exit(serve(Console(), folder, port))
    if json_:
        print(json.dumps(document(folder)))
        return
    if watch:
        watch_run(Console(), folder)
    print_run(Console(), folder)


if __name__ == "__main__":
    start(app)
