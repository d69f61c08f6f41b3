"""python -m analysis.evaluate RUN: evaluate the trained networks of a run. Research use only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from analysis.command_line import new_app, start
from analysis.runs.find import find_runs, refuse_unused_storage
from trainables.errors import InputError, unknown_name
from trainables.metric_names import SPLITS

app = new_app()
EXAMPLES = """Examples:

  python -m analysis.evaluate latest

  python -m analysis.evaluate latest --gate clinical

  python -m analysis.evaluate latest --trial all --compare
"""


@app.command(epilog=EXAMPLES)
def evaluate(
    context: typer.Context,
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="latest, a sweep's name, a run id, a path, a results folder.")
    ],
    trial: Annotated[
        str, typer.Option(help="best (by validation), a trial's id, or all.")
    ] = "best",
    split: Annotated[str, typer.Option(help="test, val or train.")] = "test",
    compare: Annotated[
        bool, typer.Option("--compare", help="Rank the trials by val, test them in pairs; takes --trial all.")
    ] = False,
    gate: Annotated[
        str | None, typer.Option(metavar="clinical|FILE", help="Judge by thresholds; exit code 1 unless all pass.")
    ] = None,
    groups: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Groups of images: a column file or index, and others.")
    ] = None,
    cost: Annotated[bool, typer.Option("--cost/--no-cost", help="Time predictions on this machine.")] = True,
    figures: Annotated[
        bool | None,
        typer.Option("--figures/--no-figures", help="Draw pictures (default: of one trial, and of the best of all)."),
    ] = None,
    draws: Annotated[int, typer.Option(min=100, max=100_000, help="Bootstrap draws of the images.")] = 1000,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the data files.")] = None,
    storage: Annotated[str, typer.Option(help="Folder or URI of the results.")] = "results",
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="Run the copies of your own code that the run keeps.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:  # fmt: skip
    """Evaluate trained networks: figures with intervals, classes, calibration, cost and a gate. Research use only.

    Files go to evaluation/TRIAL/ in the run's folder. The best trial is chosen by validation; test is only reported.
    """
    from analysis.commands.evaluate import evaluate_runs
    from analysis.evaluation.gate import read_thresholds
    from analysis.evaluation.group_table import read_group_table
    from analysis.trial_evaluation.trial import EvaluationOptions

    if split not in SPLITS:
        raise InputError(unknown_name("split", split, SPLITS))
    if compare and trial != "all":
        trial = _all_to_compare(trial)
    refuse_unused_storage(context, runs)
    thresholds = None if gate is None else read_thresholds(gate)
    table = None if groups is None else read_group_table(groups, split)
    options = EvaluationOptions(split, data_root, thresholds, table, cost, draws)
    found = find_runs(runs, storage)
    evaluate_runs(Console(stderr=json_), found, trial, options, figures, compare, json_, trust_code)


def _all_to_compare(trial: str) -> str:
    if trial != "best":
        raise InputError(f"--compare ranks all trials: leave out --trial {trial}")
    return "all"


if __name__ == "__main__":
    start(app)
