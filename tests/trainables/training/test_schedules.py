"""Schedules: every step of every curve against torch's own scheduler, and a resume in the middle of each."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import nn, optim
from torch.optim import lr_scheduler as theirs

from tests.support.short_training import CPU, digits, go_on, small_config, splits, started
from trainables.data.batches import DeviceSplit, batches
from trainables.training.checkpoint import load_checkpoint, save_checkpoint
from trainables.training.loop import steps_of, train
from trainables.training.schedules import SCHEDULES, Plateau, Schedule, curve

SIZES = [(20, 5), (100, 3), (8, 13), (30, 1)]  # epochs, steps per epoch
Make = Callable[[optim.Optimizer, int, int], theirs.LRScheduler]  # optimiser, epochs, steps per epoch


def warm_up_then_cosine(optimizer: optim.Optimizer, epochs: int, steps: int) -> theirs.LRScheduler:
    total, warm_up = epochs * steps, max(2, round(0.1 * epochs * steps))
    line = theirs.LinearLR(optimizer, 1 / warm_up, 1.0, warm_up - 1)
    return theirs.SequentialLR(optimizer, [line, theirs.CosineAnnealingLR(optimizer, total - warm_up)], [warm_up])


def cyclic(optimizer: optim.Optimizer, epochs: int, steps: int) -> theirs.LRScheduler:
    half = max(1, round(epochs * steps / 8))
    return theirs.CyclicLR(optimizer, 0.1, 1.0, half, mode="triangular", cycle_momentum=False)


BY_STEP: dict[str, Make] = {
    "linear": lambda o, e, s: theirs.LinearLR(o, 1.0, 0.0, e * s),
    "polynomial": lambda o, e, s: theirs.PolynomialLR(o, e * s, power=2),
    "cosine": lambda o, e, s: theirs.CosineAnnealingLR(o, e * s),
    "cosine_warm_up": warm_up_then_cosine,
    "warm_restarts": lambda o, e, s: theirs.CosineAnnealingWarmRestarts(o, math.ceil(e * s / 7), 2),
    "one_cycle": lambda o, e, s: theirs.OneCycleLR(o, 1.0, e * s, pct_start=0.1, cycle_momentum=False),
    "cyclic": cyclic,
}
BY_EPOCH: dict[str, Make] = {
    "constant": lambda o, e, s: theirs.ConstantLR(o, 1.0, 0),
    "step": lambda o, e, s: theirs.StepLR(o, math.ceil(e / 3)),
    "multistep": lambda o, e, s: theirs.MultiStepLR(o, [e // 2, e * 3 // 4]),
    "exponential": lambda o, e, s: theirs.ExponentialLR(o, 0.01 ** (1 / e)),
}


def optimizer_of(rate: float = 1.0) -> optim.Optimizer:
    return optim.SGD([nn.Parameter(torch.zeros(1))], rate)


def torchs(make: Make, epochs: int, steps: int, every: int) -> list[float]:
    optimizer = optimizer_of()
    scheduler, rates = make(optimizer, epochs, steps), []
    for step in range(epochs * steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if (step + 1) % every == 0:
            scheduler.step()
    return rates


def ours(name: str, epochs: int, steps: int) -> list[float]:
    optimizer = optimizer_of()
    schedule, rates = Schedule(name, optimizer, epochs), []
    for step in range(epochs * steps):
        schedule.set(step, steps)
        rates.append(float(optimizer.param_groups[0]["lr"]))
    return rates


def test_each_schedule_is_compared_with_torch() -> None:
    assert {*BY_STEP, *BY_EPOCH, "plateau"} == set(SCHEDULES)


@pytest.mark.filterwarnings("ignore:The epoch parameter in")  # SequentialLR's own
@pytest.mark.parametrize(("epochs", "steps"), SIZES)
@pytest.mark.parametrize("name", [*BY_STEP, *BY_EPOCH])
def test_every_step_is_torchs(name: str, epochs: int, steps: int) -> None:
    make, every = (BY_STEP[name], 1) if name in BY_STEP else (BY_EPOCH[name], steps)
    expected = torchs(make, epochs, steps, every)
    assert ours(name, epochs, steps) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert curve(name, epochs, steps) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(("epochs", "steps"), [(1, 1), (1, 2), (2, 1), (3, 4), (7, 1)])
def test_short_runs_have_rates_too(name: str, epochs: int, steps: int) -> None:
    rates = curve(name, epochs, steps)
    assert len(rates) == epochs * steps
    assert all(0 < rate <= 1 for rate in rates)


def test_one_cycle_peaks_after_a_tenth() -> None:
    rates = curve("one_cycle", 50, 10)
    assert rates[0] == pytest.approx(1 / 25)
    assert rates.index(max(rates)) == 49
    assert rates[-1] == pytest.approx(1 / 250_000)


@pytest.mark.parametrize("seed", range(4))
def test_plateau_is_torchs(seed: int) -> None:
    rng = random.Random(seed)
    losses = [2 / (1 + i / 8) + rng.uniform(-0.3, 0.3) for i in range(60)]
    losses[20] = losses[19] * (1 - 5e-5)  # less than the threshold
    optimizer, mine = optimizer_of(), Plateau(epochs=40)
    scheduler = theirs.ReduceLROnPlateau(optimizer, factor=0.1, patience=4, eps=0)
    for loss in losses:
        scheduler.step(loss)
        mine.see(loss)
        assert mine.factor == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
    assert mine.drops > 1


def test_plateau_waits_on_after_a_resume() -> None:
    optimizer = optimizer_of()
    one, other = Schedule("plateau", optimizer, 30), Schedule("plateau", optimizer, 30)
    for loss in (1.0, 0.9, 0.95, 0.95, 0.95):
        one.end_epoch(loss)
    other.load_state_dict(one.state_dict())
    rates = []
    for schedule in (one, other):
        schedule.end_epoch(0.95)
        schedule.set(12, 2)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.1, 0.1])


def test_plateau_curve_drops_where_nothing_improves() -> None:
    assert curve("plateau", 40, 2)[:2] == [1.0, 1.0]
    assert curve("plateau", 40, 2)[2 * 6 :][0] == pytest.approx(0.1)  # the first epoch improved, then five did not


def test_each_group_keeps_its_own_peak() -> None:
    weights = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = optim.SGD([{"params": weights[:1], "lr": 1.0}, {"params": weights[1:], "lr": 0.1}])
    schedule = Schedule("linear", optimizer, 4)
    schedule.set(5, 2)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([3 / 8, 0.1 * 3 / 8])


@pytest.mark.parametrize("images", [1, 2, 31, 32, 33, 64, 65, 66])
@pytest.mark.parametrize("batch_size", [2, 32])
def test_steps_are_counted_as_the_batches_come(images: int, batch_size: int) -> None:
    pixels, labels = torch.zeros(images, 2, 2, 1, dtype=torch.uint8), torch.zeros(images).long()
    split = DeviceSplit(pixels, labels, torch.ones(1), torch.zeros(1))
    assert steps_of(images, batch_size) == len(list(batches(split, batch_size, torch.Generator())))


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_resumed_run_meets_the_same_rates(name: str, tmp_path: Path) -> None:
    config = small_config(schedule=name, epochs=4, lr=3e-2, batch_size=256)
    whole = go_on(config, (state := started(config)))
    half = started(config)
    interrupted = list(islice(train(config, digits().info, splits(), half), 2))
    save_checkpoint(tmp_path / "checkpoint.pt", [half])
    resumed = load_checkpoint(tmp_path / "checkpoint.pt", config, digits(), CPU)[0]
    both = interrupted + go_on(config, resumed)
    assert [m.lr for m in both] == [m.lr for m in whole]
    steps = steps_of(len(splits()["train"]), 256)
    if name != "plateau":
        assert [m.lr for m in whole] == pytest.approx([3e-2 * rate for rate in curve(name, 4, steps)[::steps]])
    for now, then in zip(resumed.model.parameters(), state.model.parameters(), strict=True):
        assert torch.equal(now, then)
