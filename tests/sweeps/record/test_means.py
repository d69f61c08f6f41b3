"""Means in one array read as the list of dicts that they stand for."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.record.history import MOST_METRICS, Means
from sweeps.record.state import fold
from tests.sweeps.record.test_ledger import LIFE

VALUES = st.none() | st.floats(allow_nan=False) | st.integers(-(10**300), 10**300)


@given(st.lists(st.dictionaries(st.sampled_from("abcde"), VALUES, max_size=5), max_size=6), st.data())
def test_means_are_the_list_of_dicts_that_went_in(rows: list[dict[str, float | None]], data: st.DataObject) -> None:
    names = dict.fromkeys(name for row in rows for name in row)
    rows = [{name: None if value is None else float(value) for name, value in row.items()} for row in rows]
    whole = [{name: row.get(name) for name in names} for row in rows]
    means = Means(rows)
    assert (means, list(means), len(means), repr(means)) == (whole, whole, len(whole), repr(whole))
    first, last = (data.draw(st.integers(-8, 8)) for _ in range(2))
    assert means[first:last] == whole[first:last]
    after = data.draw(st.integers(0, len(whole)))
    for name in ("a", "z"):
        assert means.of(name, after) == [row.get(name) for row in whole[after:]]
    if -len(whole) <= first < len(whole):
        assert means[first] == whole[first]
    else:
        with pytest.raises(IndexError):
            means[first]


def test_names_are_bounded_as_those_of_the_tables_are() -> None:
    means = Means([{f"{epoch}_{number}": 1.0 for number in range(100)} for epoch in range(10)])
    assert (len(means), len(means[0]), means.of("0_7")[:2]) == (10, MOST_METRICS, [1.0, None])


@pytest.mark.parametrize("value", [10**400, -(10**400), True, "0.5", [0.5]])
def test_a_mean_that_no_float_holds_leaves_its_epoch_out(value: object) -> None:
    life = json.loads(json.dumps(LIFE))
    wrong = next(event for event in life if event["event"] == "epoch")
    wrong["mean"] = {"val_auc": value}
    state = fold(life)
    trial = state.trials["0001"]
    assert state.left_out == (0 if value is True else 1)
    assert trial.epoch * trial.history.replicates * len(trial.history.names) == len(trial.history.values)
    assert trial.means.of("val_auc")[0] == (1.0 if value is True else None)
