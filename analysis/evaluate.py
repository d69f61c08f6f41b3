"""python -m analysis.evaluate RUN: evaluate the trained networks of a run. Research use only."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analysis.command_line import new_app, start
from trainables.errors import InputError, unknown_name

if TYPE_CHECKING:
    from rich.console import Console

    from analysis.runs.run_folder import EvaluationFolder, RunFolder
    from analysis.trial_evaluation.trial import EvaluationOptions, TrialEvaluation
    from trainables.data.arrays import Data

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
    from rich.console import Console

    from analysis.evaluation.gate import read_thresholds
    from analysis.runs.find import find_runs, refuse_unused_storage
    from analysis.trial_evaluation.trial import EvaluationOptions
    from trainables.data.arrays import SPLITS

    if split not in SPLITS:
        raise InputError(unknown_name("split", split, SPLITS))
    if compare and trial != "all":
        trial = _all_to_compare(trial)
    refuse_unused_storage(context, runs)
    thresholds = read_thresholds(gate) if gate else None
    options = EvaluationOptions(split, data_root, thresholds, groups, cost, draws)
    found = find_runs(runs, storage)
    _run(Console(stderr=json_), found, trial, options, figures, compare, json_, trust_code)


def _all_to_compare(trial: str) -> str:
    if trial != "best":
        raise InputError(f"--compare ranks all trials: leave out --trial {trial}")
    return "all"


def _run(
    console: Console,
    runs: list[RunFolder],
    trial: str,
    options: EvaluationOptions,
    figures: bool | None,
    compare: bool,
    json_: bool,
    trust_code: bool,
) -> None:
    from analysis.runs.run_code import trust_code_of
    from analysis.trial_evaluation.files import metrics_document
    from trainables.json_values import as_json_value

    evaluations: list[TrialEvaluation] = []
    for run in runs:
        if trust_code:
            trust_code_of(run)
        evaluations += evaluate_run(console, run, trial, options, figures)
    document: dict[str, Any] = {"trials": [metrics_document(one) for one in evaluations]}
    if compare:
        document |= _compare(console, evaluations)
    if json_:
        print(json.dumps(as_json_value(document)))
    if options.thresholds and any(one.gate and one.gate.verdict != "pass" for one in evaluations):
        sys.exit(1)


def evaluate_run(
    console: Console, run: RunFolder, trial: str, options: EvaluationOptions, figures: bool | None = None
) -> list[TrialEvaluation]:
    """Evaluate trials of a run and write their files; one trial is printed whole. Raises `InputError`."""
    from analysis.runs.lease import hold
    from analysis.runs.sync import push_back
    from analysis.trial_evaluation.files import write_evaluation
    from analysis.trial_evaluation.select_trials import choose_trials
    from analysis.trial_evaluation.terminal import figures_line, print_evaluation
    from analysis.trial_evaluation.trial import Shared, data_key, evaluate_trial

    chosen = choose_trials(run, trial)
    best = _best_id(run) if trial == "all" and figures is None else None
    shared = Shared()
    done = []
    with hold(run, instead="try again then"):
        for one in chosen:
            evaluation = evaluate_trial(one, options, shared)
            folder = run.evaluation_of(one.trial_id)
            write_evaluation(evaluation, folder, options.thresholds)
            if figures if figures is not None else best in (None, one.trial_id):
                _draw(evaluation, folder, shared.data[data_key(evaluation)])
            done.append(evaluation)
            if len(chosen) == 1:
                print_evaluation(console, evaluation)
            else:
                console.print(figures_line(evaluation), highlight=False, soft_wrap=True, markup=False)
        push_back(run)
    where = run.evaluation_of(chosen[0].trial_id).path if len(chosen) == 1 else run.evaluation
    console.print(f"files in {where}", highlight=False, soft_wrap=True, markup=False)
    return done


def _best_id(run: RunFolder) -> str:
    """Return the best trial's id, empty where none was trained to its end: of all trials, it alone gets pictures."""
    from analysis.trial_evaluation.select_trials import choose_trials

    try:
        return choose_trials(run, "best")[0].trial_id
    except InputError:
        return ""


def _draw(evaluation: TrialEvaluation, folder: EvaluationFolder, data: Data) -> None:
    from analysis.figures.evaluation import evaluation_figures
    from analysis.figures.style import save

    for name, figure in evaluation_figures(evaluation, data):
        save(figure, folder.figure(name))


def _compare(console: Console, evaluations: list[TrialEvaluation]) -> dict[str, Any]:
    from analysis.trial_evaluation.ranking import compare_evaluations
    from analysis.trial_evaluation.terminal import print_rankings

    ranking = compare_evaluations(evaluations)
    print_rankings(console, ranking)
    return {"comparison": ranking}


if __name__ == "__main__":
    start(app)
