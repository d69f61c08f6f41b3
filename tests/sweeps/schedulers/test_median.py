"""The median stopping rule against Ray Tune's, and the brackets of Hyperband."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
from ray.tune.schedulers import MedianStoppingRule

from search_spaces.definition import Asha, Median
from sweeps.schedulers.asha import bracket_weights, milestones, next_bracket
from sweeps.schedulers.median import RunningMeans


class Trial:
    """What Tune's rule reads of a trial."""

    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id


TRIALS, EPOCHS = 12, 9
RNG = np.random.default_rng(3)
CURVES = RNG.random((TRIALS, 1)) + 0.2 * RNG.random((TRIALS, EPOCHS))


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("grace", [1, 4])
def test_decides_as_ray_tunes_rule_does(mode: str, grace: int) -> None:
    ours = RunningMeans(Median(grace, min_peers=3), mode == "max", EPOCHS + 1)
    # Tune's rule needs `min_samples_required` peers, and is silent before `grace_period`
    theirs = MedianStoppingRule(time_attr="epoch", metric="v", mode=mode, grace_period=grace, min_samples_required=3)
    trials = [Trial(str(n)) for n in range(TRIALS)]
    controller: Any = MagicMock()
    decisions: list[tuple[bool, bool]] = []
    alive = set(range(TRIALS))
    for epoch in range(1, EPOCHS + 1):
        for n in sorted(alive):
            value = float(CURVES[n, epoch - 1])
            verdict = theirs.on_trial_result(controller, trials[n], {"epoch": epoch, "v": value})  # type: ignore[arg-type]
            decision = ours.judge(str(n), "", epoch, value)
            decisions.append((decision is not None and decision.stop, verdict == "STOP"))
            if decision is not None and decision.stop:
                alive.discard(n)
    assert any(ours for ours, _ in decisions)
    assert all(ours == theirs for ours, theirs in decisions)


def test_strata_do_not_meet_and_a_value_that_is_not_finite_ends_a_trial() -> None:
    rule = RunningMeans(Median(1, min_peers=2), True, 10)
    for name, value in (("a", 0.9), ("b", 0.8), ("c", 0.7)):
        assert not getattr(rule.judge(name, "easy", 1, value), "stop", False) or name == "c"
    late = rule.judge("d", "hard", 1, 0.1)
    assert late is not None
    assert not late.stop
    broken = rule.judge("e", "hard", 1, float("nan"))
    assert broken is not None
    assert broken.stop


def test_brackets_share_trials_as_hyperband_does() -> None:
    """Li et al. 2018, table 1: R = 81, eta = 3 gives 81, 34, 15, 8, 5 configurations in brackets s = 4 ... 0."""
    asha = Asha(1, 3, brackets=None)
    assert [milestones(asha, 81, b) for b in range(5)] == [[1, 3, 9, 27], [3, 9, 27], [9, 27], [27], []]
    weights = bracket_weights(asha, 81)
    assert [round(weight * 5) for weight in weights] == [81, 34, 15, 8, 5]
    taken: dict[int, int] = {}
    for _ in range(143):
        bracket = next_bracket(taken, weights)
        taken[bracket] = taken.get(bracket, 0) + 1
    assert [abs(taken[b] - n) <= 1 for b, n in enumerate([81, 34, 15, 8, 5])] == [True] * 5


def test_one_bracket_is_plain_asha() -> None:
    assert len(bracket_weights(Asha(2, 3), 18)) == 1
