"""What a trial costs: measured on a few batches, and what follows for GPUs and for the estimate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from ray import tune

from search_spaces.definition import Asha, Sweep
from sweeps.planning.plan import make_plan
from sweeps.planning.settings import Settings
from sweeps.running.estimate import DRAWING, REPORT, WEIGHING, costliest, finishing, sample_by_cost, simulate
from sweeps.running.reasons import larger_share
from trainables.config import TrialConfig, make_config
from trainables.data.datasets import load
from trainables.data.normalization import normalization_of
from trainables.training.cost import Cost, measure, share_of_gpu

GIB = 2**30
SWEEP = Sweep(
    "?",
    {"activation": tune.grid_search(["relu", "tanh"])},
    {"lr": tune.grid_search([0.1, 0.03, 0.01, 0.003, 0.001])},
    {"model": "mlp", "epochs": 9},
    seeds=(0,),
    scheduler="fifo",
)


@pytest.mark.parametrize(
    ("peak", "total", "share"),
    [(0, 0, 1), (0, 16 * GIB, 1), (10 * GIB, 16 * GIB, 1), (6 * GIB, 16 * GIB, 1 / 2), (1, 80 * GIB, 1 / 8)],
)
def test_as_many_trials_share_a_gpu_as_fit(peak: int, total: int, share: float) -> None:
    assert share_of_gpu(peak, total) == share


@pytest.mark.parametrize(
    ("cause", "had", "gets"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", 0.25, 0.5),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", 0.75, 1.0),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", 1.0, None),
        ("the worker process died (killed, or out of memory)", 0.25, None),
        ("ValueError: no", 0.25, None),
        ("torch.OutOfMemoryError: CUDA out of memory.", 0.0, None),
    ],
)
def test_a_trial_that_ran_out_of_a_gpus_memory_gets_a_larger_share(cause: str, had: float, gets: float | None) -> None:
    assert larger_share(cause, had) == gets


def test_the_dearest_trials_have_the_largest_batches_and_the_most_parameters() -> None:
    grid = {"model": tune.grid_search(["cnn", "mlp"]), "batch_size": tune.grid_search([32, 256])}
    fixed = {"hidden_dims": (1024, 1024), "dataset": "digits", "epochs": 1}
    plan = make_plan(Sweep("?", grid, {}, fixed, seeds=(0,), scheduler="fifo"), None, datetime(2026, 1, 1))
    found = [trial.config for trial in costliest(plan)]
    assert {config.model for config in found} == {"mlp"}  # 1.1 M parameters, and as many MACs an image
    narrow = {**fixed, "hidden_dims": (64,)}
    plan = make_plan(Sweep("?", grid, {}, narrow, seeds=(0,), scheduler="fifo"), None, datetime(2026, 1, 1))
    first, *others = costliest(plan)
    assert (first.config.model, first.config.batch_size) == ("cnn", 256)
    assert all(other.parameters == max(trial.parameters for trial in plan.trials) for other in [first, *others])


def test_a_trial_is_measured_in_seconds_of_a_whole_epoch() -> None:
    data = load("digits")
    config = make_config({"dataset": "digits", "model": "mlp", "epochs": 50})
    cost = measure(config, data, normalization_of(config.normalization, data), 1)
    assert len(cost.epoch_seconds) == 2
    assert 0 < min(cost.epoch_seconds) <= max(cost.epoch_seconds) < 60


@pytest.mark.parametrize(("share", "every"), [(1.0, 1), (0.1, 1), (1.0, 4), (0.1, 4)])
def test_an_epoch_evaluates_the_share_of_train_that_is_used_as_often_as_asked(
    share: float, every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_second_each(config: TrialConfig, info: Any, data: Mapping[str, Any], state: Any) -> Iterator[Any]:
        evaluated.append(sum(map(len, data.values())))
        yield SimpleNamespace(train_seconds=0.0, eval_seconds=1.0)

    evaluated: list[int] = []
    monkeypatch.setattr("trainables.training.cost.train", one_second_each)
    data = load("digits")
    settings = {"dataset": "digits", "data_fraction": share, "eval_train_every": every}
    config = make_config(settings)
    cost = measure(config, data, normalization_of(config.normalization, data), 1)
    train, val, test = (len(data.splits[name].labels) for name in ("train", "val", "test"))
    assert cost.epoch_seconds[0] * evaluated[0] == pytest.approx(train * share / every + val + test)


def test_without_early_stopping_the_estimate_is_the_sum_over_the_slots() -> None:
    plan = make_plan(SWEEP, None, datetime(2026, 1, 1))
    costs = {trial.key: Cost((2.0, 2.0), 0, 0, 1.0) for trial in sample_by_cost(plan.trials, 2)}
    one, two = (simulate(SWEEP, plan, costs, slots, 0.0) for slots in (1, 2))
    assert one.seconds == pytest.approx(10 * 9 * 2)
    assert two.seconds == pytest.approx(10 * 9 * 2 / 2)
    assert one.low < one.seconds < one.high


def test_early_stopping_is_simulated_with_the_sweeps_own_rule() -> None:
    sweep = replace(SWEEP, scheduler=Asha(1, 3))
    plan = make_plan(sweep, None, datetime(2026, 1, 1))
    costs = {trial.key: Cost((2.0, 2.0), 0, 0, 1.0) for trial in sample_by_cost(plan.trials, 2)}
    found = simulate(sweep, plan, costs, 1, 0.0)
    assert 10 * 2 < found.seconds < 10 * 9 * 2 * 0.8


def test_what_is_left_out_takes_no_time() -> None:
    plan = make_plan(SWEEP, None, datetime(2026, 1, 1))
    weights = sum(trial.parameters for trial in plan.trials)
    whole = 3.0 + (10 * DRAWING + weights * WEIGHING) / 2 + REPORT
    assert finishing(plan, Settings(), 2, 3.0) == pytest.approx(whole)
    assert finishing(plan, Settings(report=False), 2, 3.0) == pytest.approx(whole - REPORT)
    assert finishing(plan, Settings(measure=False), 2, 3.0) == REPORT
