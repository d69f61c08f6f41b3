"""A study that is kept answers as one that is made anew, whatever ends when."""

from __future__ import annotations

import random
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from search_spaces.definition import Optuna
from sweeps.record.history import Means
from sweeps.record.state import TrialState
from sweeps.searchers.optuna_study import RowStudy, best_value

SPACE = {"lr": FloatDistribution(1e-4, 1e-1, log=True), "width": CategoricalDistribution((0, 1, 2))}
TWO = ("val_auc", "val_loss")


def end(trial: TrialState, chance: random.Random) -> None:
    """End a trial: most complete, some are stopped by a rule or by their own patience, some fail."""
    value = 1 - abs(trial.config["lr"] - 0.01) - 0.1 * trial.config["width"]
    trial.means = Means([{"val_auc": value, "val_loss": chance.random()}, {"val_auc": None, "val_loss": None}])
    trial.status = chance.choice(["completed"] * 6 + ["stopped", "stopped", "failed", "diverged"])
    trial.pruned = trial.status == "stopped" and chance.random() < 0.5


@pytest.mark.parametrize(
    ("sampler", "metrics", "trials"),
    [("tpe", ("val_auc",), 40), ("tpe", TWO, 30), ("gp", ("val_auc",), 14), ("nsga2", TWO, 90)],
)
def test_a_kept_study_answers_as_a_new_one(sampler: Any, metrics: tuple[str, ...], trials: int) -> None:
    chance, searcher, history = random.Random(0), Optuna(sampler, metrics), []
    kept = RowStudy(searcher, metrics, SPACE)
    for number in range(trials):
        params, attributes = kept.ask(history, seed=number)
        if number % 3 == 0:  # an answer that the run had already: the next question is of the same trials
            params, attributes = kept.ask(history, seed=1000 + number)
        if number % 7 == 0 or number > trials - 4:
            seed = 1000 + number if number % 3 == 0 else number
            assert RowStudy(searcher, metrics, SPACE).ask(history, seed) == (params, attributes)
        proposal = {"row": 0, "params": params, "attributes": attributes}
        history.append(TrialState(f"{number:04d}", "", "", dict(params), 1, 1, proposal=proposal))
        waiting = [trial for trial in history if not trial.ended]
        while len(waiting) > 4:
            end(waiting.pop(chance.randrange(len(waiting))), chance)


def test_each_end_is_told_as_optuna_knows_it() -> None:
    kept = RowStudy(Optuna(), ("val_loss",), SPACE)
    ends = {"completed": False, "stopped": True, "diverged": False, "running": False}
    history = [
        TrialState(
            name, "", "", {}, 1, 1, proposal={"params": {"lr": 0.01, "width": 1}, "attributes": {}}, status=name,
            pruned=pruned, means=Means([{"val_loss": 0.5}, {"val_loss": 0.25}, {"val_loss": None}]),
        )
        for name, pruned in ends.items()
    ]  # fmt: skip
    kept.ask(history, 0)
    states = optuna.trial.TrialState
    found = [(trial.state, trial.values, trial.intermediate_values) for trial in kept.study.trials[:4]]
    assert found == [
        (states.COMPLETE, [0.25], {}),
        (states.PRUNED, None, {1: 0.5, 2: 0.25}),
        (states.FAIL, None, {}),
        (states.RUNNING, None, {}),
    ]
    assert best_value(history[0], "val_loss", "min") == 0.25


@pytest.mark.parametrize(("epochs", "state"), [(2, optuna.trial.TrialState.PRUNED), (0, optuna.trial.TrialState.FAIL)])
def test_a_trial_that_was_stopped_by_hand_is_no_complete_one(epochs: int, state: optuna.trial.TrialState) -> None:
    kept = RowStudy(Optuna(), ("val_loss",), SPACE)
    trial = TrialState(
        "0001", "", "", {}, 1, 1, proposal={"params": {"lr": 0.01, "width": 1}, "attributes": {}}, status="stopped",
        stop_reason=f"stopped by request after epoch {epochs}",
        means=Means([{"val_loss": 0.5}, {"val_loss": 0.25}][:epochs]),
    )  # fmt: skip
    kept.ask([trial], 0)
    assert kept.study.trials[0].state == state
