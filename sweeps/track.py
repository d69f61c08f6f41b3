"""python -m sweeps.track RUN --to mlflow: send a run to a tracker."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from analysis.command_line import new_app, start
from analysis.runs.find import find_run, refuse_unused_storage

app = new_app()
EXAMPLES = """
[bold]Examples[/bold]

  python -m sweeps.track latest --to mlflow

  python -m sweeps.track activations --to mlflow=http://127.0.0.1:5000 --files report,figures,weights

  python -m sweeps.track latest --to wandb=offline

  python -m sweeps.track latest --to my_tracker.py:Mine
"""


@app.command(epilog=EXAMPLES)
def track(
    context: typer.Context,
    run: Annotated[
        str, typer.Argument(help="latest, a sweep's name (its newest run), a run id, a path, or a URI.")
    ] = "latest",
    to: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="TRACKER", help="mlflow[=URI], wandb[=PROJECT], FILE.py:CLASS."),
    ] = None,
    files: Annotated[
        str, typer.Option(metavar="KIND[,KIND...]", help="Files that go along: report, figures, weights; or none.")
    ] = "report,figures",
    storage: Annotated[str, typer.Option(help="Folder or URI of the results.")] = "results",
    follow: Annotated[bool, typer.Option("--follow", hidden=True)] = False,
) -> None:
    """Send a run to MLflow, Weights & Biases or a tracker of your own: what it lacks, each thing once.

    A command that was interrupted goes on where it was. A finished run that was evaluated or exported since may be sent
    again: its tags then say where.
    """
    refuse_unused_storage(context, [run])
    from sweeps.tracking.send import follow_run, send_run

    folder = find_run(run, storage)
    if follow:
        follow_run(folder, (to or ["mlflow"])[0], files)
    else:
        send_run(Console(), folder, to or (), files)


if __name__ == "__main__":
    start(app)
