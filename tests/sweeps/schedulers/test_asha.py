"""Our ASHA against Ray Tune's own bracket, and what it does beyond it."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from ray.tune.schedulers.async_hyperband import _Bracket

from search_spaces.definition import Asha
from sweeps.schedulers.asha import Rungs, milestones

CURVES = np.random.default_rng(7).random((60, 27)).cumsum(axis=1)


def events(seed: int) -> list[tuple[int, int]]:
    """(trial, epoch) in a random order in which every trial's epochs ascend."""
    order = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(CURVES)), CURVES.shape[1]))
    seen: dict[int, int] = {}
    result = []
    for trial in order.tolist():
        seen[trial] = seen.get(trial, 0) + 1
        result.append((trial, seen[trial]))
    return result


@pytest.mark.parametrize("higher", [True, False])
@pytest.mark.parametrize("reduction", [1.5, 2.0, 2.5, 3.0, 4.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_stratum_decides_as_ray_tune_does(higher: bool, reduction: float, seed: int) -> None:
    sign = 1 if higher else -1
    rungs = Rungs(Asha(1, reduction), higher, 27)
    # Tune's bracket adds no rung at max_t only if max_t is not a power: our last epoch is no rung, so give it 26
    bracket = _Bracket(1, 26, reduction, 0)
    alive = set(range(len(CURVES)))
    for trial, epoch in events(seed):
        if trial not in alive:
            continue
        value = float(sign * CURVES[trial, epoch - 1])
        ours = rungs.judge(str(trial), "", epoch, value)
        theirs = bracket.on_result(SimpleNamespace(trial_id=trial), epoch, sign * value)
        assert (ours is not None and ours.stop) == (theirs == "STOP"), (trial, epoch)
        if ours is not None and ours.stop:
            alive.discard(trial)
    assert 0 < len(alive) < len(CURVES)


def test_strata_compete_among_themselves() -> None:
    """A harder group, worse at every epoch, is not stopped as a whole: Tune's single bracket does that."""
    easy, hard = [0.90, 0.92, 0.94, 0.96], [0.50, 0.52, 0.54, 0.56]
    together, apart = Rungs(Asha(1, 2), True, 10), Rungs(Asha(1, 2), True, 10)
    stopped = {"together": 0, "apart": 0}
    for number, (a, b) in enumerate(zip(easy, hard, strict=True)):
        together.judge(f"easy{number}", "", 1, a)
        apart.judge(f"easy{number}", "easy", 1, a)
        stopped["together"] += bool(getattr(together.judge(f"hard{number}", "", 1, b), "stop", False))
        stopped["apart"] += bool(getattr(apart.judge(f"hard{number}", "hard", 1, b), "stop", False))
    assert stopped == {"together": 4, "apart": 0}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_stopped_and_not_filed(value: float) -> None:
    rungs = Rungs(Asha(1, 3), True, 10)
    first = rungs.judge("a", "", 1, value)
    assert first is not None
    assert first.stop
    second = rungs.judge("b", "", 1, 0.5)
    assert second is not None
    assert not second.stop
    assert second.peers == 0


def test_a_rung_is_judged_at_exactly_its_epoch_and_once() -> None:
    rungs = Rungs(Asha(2, 3), True, 18)
    assert milestones(rungs.asha, 18) == [2, 6]
    assert rungs.judge("a", "", 3, 0.5) is None
    assert rungs.judge("a", "", 2, 0.5) is not None
    assert rungs.judge("a", "", 2, 0.1) is None


def test_a_decision_names_its_reasons() -> None:
    rungs = Rungs(Asha(1, 2), True, 10)
    for number, value in enumerate([0.2, 0.4, 0.6]):
        rungs.judge(str(number), "", 1, value)
    decision = rungs.judge("late", "", 1, 0.3)
    assert decision is not None
    assert (decision.stop, decision.rung, decision.value, decision.cutoff, decision.peers) == (True, 1, 0.3, 0.4, 3)
