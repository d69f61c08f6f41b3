"""Evaluates trials of runs for `analysis.evaluate`: files, figures, tables, comparison and gate."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console

from analysis.figures.evaluation import evaluation_figures
from analysis.figures.style import save
from analysis.runs.lease import hold
from analysis.runs.run_code import trust_code_of
from analysis.runs.run_folder import EvaluationFolder, RunFolder
from analysis.runs.sync import push_back
from analysis.terminal import plain_text
from analysis.trial_evaluation.files import metrics_document, replaced_note, write_evaluation
from analysis.trial_evaluation.ranking import compare_evaluations
from analysis.trial_evaluation.select_trials import choose_trials
from analysis.trial_evaluation.terminal import figures_line, print_evaluation, print_rankings
from analysis.trial_evaluation.trial import EvaluationOptions, Shared, TrialEvaluation, data_key, evaluate_trial
from trainables.data.arrays import Data
from trainables.errors import InputError
from trainables.json_values import as_json_value


def evaluate_runs(
    console: Console,
    runs: list[RunFolder],
    trial: str,
    options: EvaluationOptions,
    figures: bool | None,
    compare: bool,
    json_: bool,
    trust_code: bool,
) -> None:
    """Evaluate trials of runs, and end with code 1 where the gate is not passed."""
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
    chosen = choose_trials(run, trial)
    best = _best_id(run) if trial == "all" and figures is None else None
    shared = Shared()
    done = []
    with hold(run, instead="try again then"):
        for one in chosen:
            evaluation = evaluate_trial(one, options, shared)
            folder = run.evaluation_of(one.trial_id)
            if said := replaced_note(folder, evaluation):
                plain_text.say(console, f"trial {one.trial_id}: {said}", label="note:")
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
    try:
        return choose_trials(run, "best")[0].trial_id
    except InputError:
        return ""


def _draw(evaluation: TrialEvaluation, folder: EvaluationFolder, data: Data) -> None:
    for name, figure in evaluation_figures(evaluation, data):
        save(figure, folder.figure(name))


def _compare(console: Console, evaluations: list[TrialEvaluation]) -> dict[str, Any]:
    ranking = compare_evaluations(evaluations)
    print_rankings(console, ranking)
    return {"comparison": ranking}
