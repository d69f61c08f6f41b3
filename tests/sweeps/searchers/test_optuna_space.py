"""Proposals by Optuna: a function of the history, with equal budgets, that finds what is to be found."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime

import pytest
from ray import tune

from search_spaces.definition import Asha, Optuna, Sweep
from sweeps.planning.plan import make_plan
from sweeps.record.state import RunState
from sweeps.running.optuna_search import Proposals
from trainables.errors import InputError

SWEEP = Sweep(
    "?",
    {"activation": tune.grid_search(["relu", "tanh"])},
    {"lr": tune.loguniform(1e-4, 1e-1)},
    {"model": "mlp", "epochs": 2},
    seeds=(0,),
    samples=14,
    scheduler=Asha(1, 3),
    searcher=Optuna("tpe"),
)


def search(sweep: Sweep, state: RunState) -> Iterator[float]:
    """Play a run: every trial ends at once, best at lr = 1e-2. Yields the rates as they are proposed."""
    assert isinstance(sweep.searcher, Optuna)
    plan = make_plan(sweep, None, datetime(2026, 1, 1))
    proposals = Proposals(sweep, sweep.searcher, plan.planner, state, plan.proposed // len(plan.examples))
    while proposal := proposals.next():
        about = {"row": proposal.row, "params": proposal.params, "attributes": proposal.attributes}
        trial = proposal.trial
        config = trial.config.model_dump(mode="json")
        state.apply({"event": "planned", **asdict(replace(trial)), "config": config, "proposal": about})
        value = 1 - abs(math.log10(trial.config.lr) + 2) / 4
        mean = {"val_auc": value, "val_loss": 1 - value}
        for epoch in (1, 2):
            report = {"attempt": 1, "epoch": epoch, "memory_mb": 1.0, "replicates": [{}], "mean": mean}
            state.apply({"event": "epoch", "trial_id": trial.trial_id, **report})
        state.apply({"event": "completed", "trial_id": trial.trial_id, "reason": ""})
        yield trial.config.lr


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2"])
def test_an_interrupted_search_goes_on_as_it_would_have(sampler: str) -> None:
    sweep = replace(SWEEP, searcher=Optuna(sampler), samples=6)  # type: ignore[arg-type]
    whole = list(search(sweep, RunState()))
    state = RunState()
    part = search(sweep, state)
    before = [next(part) for _ in range(5)]
    part.close()
    assert [*before, *search(sweep, state)] == whole


def test_every_compared_value_gets_the_same_number_of_trials_and_the_search_learns() -> None:
    state = RunState()
    rates = list(search(SWEEP, state))
    found = [trial.config["activation"] for trial in state.trials.values()]
    assert (found.count("relu"), found.count("tanh")) == (14, 14)
    distances = [abs(math.log10(rate) + 2) for rate in rates]
    assert sum(distances[-8:]) / 8 < sum(distances[:8]) / 8


def test_a_small_space_is_exhausted_and_no_setting_runs_twice() -> None:
    sweep = replace(SWEEP, nuisance={"lr": tune.grid_search([0.1, 0.01, 0.001])}, samples=9)
    state = RunState()
    assert sorted(search(sweep, state)) == [0.001, 0.001, 0.01, 0.01, 0.1, 0.1]


@pytest.mark.parametrize(
    ("nuisance", "message"),
    [
        ({}, "nothing to search"),
        ({"lr": 0.1}, "nothing to search"),
        ({"normalization": tune.choice(["half", "dataset"])}, "normalization cannot be searched"),
        ({"lr": tune.randn(0, 1)}, "lr: Optuna cannot search"),
    ],
)
def test_what_optuna_cannot_search_is_refused(nuisance: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_plan(replace(SWEEP, nuisance=nuisance), None, datetime(2026, 1, 1))
