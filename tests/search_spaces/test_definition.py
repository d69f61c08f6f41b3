"""Limits are in the objects: no rule, searcher, sweep or resource out of its range can be made."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.definition import Asha, Median, Optuna, Pbt, Resources, Sweep
from sweeps.schedulers.asha import bracket_weights, milestones
from trainables.errors import InputError

ODD = [None, 0, -1, math.inf, -math.inf, math.nan, "", "3", True, [], (), 2.5, 10**400, object()]


@pytest.mark.parametrize(
    ("make", "field", "legal"),
    [
        (Asha, "grace", []), (Asha, "reduction", [2.5]), (Asha, "brackets", [None]), (Asha, "stratify", [None, ()]),
        (Median, "grace", []), (Median, "min_peers", []), (Median, "stratify", [None, ()]),
        (Pbt, "interval", []), (Pbt, "quantile", []), (Pbt, "resample", [0]), (Pbt, "explore", []),
        (Optuna, "sampler", []), (Optuna, "metrics", [()]),
        (Resources, "cpus", [2.5]), (Resources, "gpus", [None, 0]),
    ],
)  # fmt: skip
def test_values_out_of_their_limits_are_refused_in_one_line(make: Any, field: str, legal: list[Any]) -> None:
    for value in ODD:
        if any(type(value) is type(known) and value == known for known in legal):
            assert getattr(make(**{field: value}), field) == value
            continue
        with pytest.raises(InputError, match=field) as raised:
            make(**{field: value})
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "field", ["seeds", "samples", "replicates", "scheduler", "searcher", "resources", "scientific"]
)
def test_a_sweep_checks_its_own_fields(field: str) -> None:
    for value in (None, 0, -1, math.nan, "asha", (), (0, 0), (-1,), ("a",)):
        with pytest.raises(InputError):
            Sweep(**{"question": "?", "scientific": {}, field: value})


@pytest.mark.parametrize(("metric", "mode"), [("val_auc", "max"), ("val_acc", "max"), ("val_loss", "min")])
def test_the_mode_follows_from_the_metric(metric: str, mode: str) -> None:
    other: Any = {"max": "min", "min": "max"}[mode]
    assert Sweep("?", {}, metric=metric).mode == mode
    with pytest.raises(InputError, match="leave mode"):
        Sweep("?", {}, metric=metric, mode=other)
    with pytest.raises(InputError, match="leave mode"):
        replace(Sweep("?", {}, metric=metric), mode=other)


@settings(deadline=None, max_examples=200)
@given(
    grace=st.integers(1, 10**6), reduction=st.floats(1.1, 1e308), brackets=st.none() | st.integers(1, 10**6),
    epochs=st.integers(1, 3000),
)  # fmt: skip
def test_every_legal_rule_has_rungs_that_ascend_below_the_last_epoch(
    grace: int, reduction: float, brackets: int | None, epochs: int
) -> None:
    asha = Asha(grace, reduction, None, brackets)
    rungs = milestones(asha, epochs)
    assert rungs == sorted(set(rungs))
    assert all(grace <= rung < epochs for rung in rungs)
    assert bool(rungs) == (grace < epochs)
    weights = bracket_weights(asha, epochs)
    assert 1 <= len(weights) <= (brackets or len(rungs) + 1)
    assert [milestones(asha, epochs, b) for b in range(len(weights))] == [rungs[b:] for b in range(len(weights))]


@pytest.mark.parametrize(
    ("resources", "cpus", "gpus", "slots"),
    [(Resources(), 4, 0, 4), (Resources(2), 5, 0, 2), (Resources(1, 0.25), 16, 2, 8), (Resources(1, 0.5), 1, 4, 1)],
)
def test_trials_at_a_time(resources: Resources, cpus: float, gpus: float, slots: int) -> None:
    assert resources.slots(cpus, gpus) == slots
