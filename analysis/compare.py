"""python -m analysis.compare RUN ...: scientific values side by side."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from analysis.command_line import new_app, start
from analysis.runs.find import find_runs, refuse_unused_storage
from trainables.json_values import as_json_value

app = new_app()
EXAMPLES = """Examples:

  python -m analysis.compare latest

  python -m analysis.compare results/activations --stopped equal-epochs

  python -m analysis.compare latest --against relu --json
"""


@app.command(epilog=EXAMPLES)
def compare(
    context: typer.Context,
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="latest, a sweep's name, a run id, a path, a results folder.")
    ],
    against: Annotated[str | None, typer.Option(help="The value others are compared with (default: best).")] = None,
    metric: Annotated[str | None, typer.Option(help="What selects: val_auc, val_acc or val_loss (default: the run's)."
    )] = None,
    stopped: Annotated[
        str, typer.Option(help="Trials that a scheduler stopped: left-out, or all trials at equal-epochs.")
    ] = "left-out",
    hold: Annotated[
        list[str] | None, typer.Option(metavar="FIELD", help="Field that correlations hold (default: nuisance).")
    ] = None,
    epoch: Annotated[
        str, typer.Option(help="The epoch that trials are judged at, with its weights: their best, or their last.")
    ] = "best",
    storage: Annotated[str, typer.Option(help="Folder or URI of the results.")] = "results",
    json_: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:  # fmt: skip
    """Compare scientific values, each at its best nuisance setting by validation, and complexity with performance."""
    from analysis.comparison.compare_runs import compare_runs
    from analysis.comparison.terminal import print_comparison

    refuse_unused_storage(context, runs)
    compared = compare_runs(find_runs(runs, storage), metric, against, stopped, hold, epoch)
    if json_:
        print(json.dumps(as_json_value(compared.document(stopped))))
    else:
        print_comparison(Console(), compared)


if __name__ == "__main__":
    start(app)
