"""The choice of one trial of one run, as the commands take it."""

from __future__ import annotations

from analysis.runs.find import find_runs
from analysis.runs.run_code import trust_code_of
from analysis.trial_evaluation.select_trials import ALL, ChosenTrial, choose_trials
from trainables.errors import InputError


def choose_one(run: str, trial: str, storage: str, trust_code: bool = False) -> ChosenTrial:
    """Find a trial of a run, by its id or the best by validation. Raises `InputError`.

    trust_code: the user's own code that the run keeps may run.
    """
    if trial == ALL:
        raise InputError("--trial all: one trial is taken at a time; give its id, or best")
    runs = find_runs([run], storage)
    if len(runs) != 1:
        raise InputError(f"{run} holds {len(runs)} runs: name one of them")
    if trust_code:
        trust_code_of(runs[0])
    (chosen,) = choose_trials(runs[0], trial)
    return chosen
