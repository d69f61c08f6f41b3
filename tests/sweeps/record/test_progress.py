"""A tally that looks now and then says what one says that looks at everything at once."""

from __future__ import annotations

from io import StringIO
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from analysis.trial_status import BY_REQUEST, ENDED
from sweeps.record.progress import STATUSES, Tally
from sweeps.record.state import RunState
from sweeps.screen.live import make_view

KINDS = ("started", "epoch", "epoch", "epoch", "waiting", "completed", "stopped", "failed", "interrupted", "requeued")


def event(kind: str, number: int, epoch: int, value: float | None) -> dict[str, Any]:
    common = {
        "event": kind,
        "time": "2026-01-01T00:00:00+00:00",
        "trial_id": f"{number:04d}",
        "reason": f"cause {epoch % 2}",
    }
    if kind == "epoch":
        common |= {"attempt": 1, "epoch": epoch, "memory_mb": 1.0, "replicates": [{}], "mean": {"val_auc": value}}
    return common | ({"rung": 1} if kind == "stopped" and epoch % 2 else {})


def planned(number: int) -> dict[str, Any]:
    config = {"epochs": 3 + number % 2, "seeds": [0], "activation": ["relu", "tanh"][number % 2]}
    return {
        "event": "planned", "trial_id": f"{number:04d}", "key": f"k{number}", "folder": f"f{number}", "config": config,
        "parameters": 1, "macs": 1, "stratum": f"s{number % 3}",
    }  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(KINDS), st.integers(0, 5), st.none() | st.floats(0, 1), st.booleans()), max_size=60
    )
)
def test_looking_often_is_looking_once(steps: list[tuple[str, int, float | None, bool]]) -> None:
    state = RunState(expected=7)
    for number in range(4):
        state.apply(planned(number))
    often = Tally(state, "val_auc", "max", ["activation"])
    for number in (4, 5):
        state.apply(planned(number))
    for kind, number, value, look in steps:
        state.apply(event(kind, number, state.trials[f"{number:04d}"].epoch + 1, value))
        if look:
            often.update()
    often.update()
    once = Tally(state, "val_auc", "max", ["activation"])
    assert often.progress(10.0, since_start=True) == once.progress(10.0, since_start=True)
    assert [best.value for best in often.best()] == [best.value for best in once.best()]
    assert {(best.name, best.ended, best.trials) for best in often.best()} == {
        (best.name, best.ended, best.trials) for best in once.best()
    }
    assert sorted(often.strata(), key=str) == sorted(once.strata(), key=str)
    assert dict(often.failures()) == dict(once.failures())
    assert {trial.trial_id for trial in often.running(9)} == {
        trial.trial_id for trial in state.trials.values() if trial.status == "running"
    }
    counts = {status: sum(trial.status == status for trial in state.trials.values()) for status in STATUSES}
    assert {status: state.count(status) for status in STATUSES} == counts
    assert state.ended == (counts["planned"] == 0 and sum(counts[status] for status in ENDED) == 7)


def test_time_left_after_a_resume_is_at_this_drivers_pace() -> None:
    state = RunState()
    for number in range(4):
        state.apply(planned(2 * number))
    for number in (0, 2):
        for epoch in (1, 2, 3):
            state.apply(event("epoch", number, epoch, 0.5))
        state.apply(event("completed", number, 3, None))
    tally = Tally(state, "val_auc", "max")
    state.apply(event("epoch", 4, 1, 0.5))
    tally.update()
    # one epoch in 10 seconds, and five of three-epoch trials to come
    assert tally.progress(10.0).seconds_left == 50.0
    assert tally.progress(70.0, since_start=True).seconds_left == 50.0


def test_a_trial_that_was_stopped_by_hand_says_nothing_of_the_time_left() -> None:
    state = RunState()
    for number in range(3):
        state.apply(planned(number))
        state.apply(event("started", number, 0, None))
        state.apply(event("epoch", number, 1, 0.5))
    by_hand = event("stopped", 0, 1, None)
    state.apply({**by_hand, "reason": f"{BY_REQUEST} after epoch 1"})
    progress = Tally(state, "val_auc", "max").progress(30.0, since_start=True)
    # each has trained one epoch, of one, four and three
    assert progress.share == 3 / (1 + 4 + 3)
    assert progress.seconds_left is None


def test_a_trial_that_outlived_the_others_trains_to_its_end() -> None:
    state = RunState()
    for number in range(2):
        state.apply(planned(number))
        state.apply(event("started", number, 0, None))
        state.apply(event("epoch", number, 1, 0.5))
    state.apply({**event("stopped", 0, 1, None), "reason": "asha", "rung": 1})
    state.apply(event("epoch", 1, 2, 0.5))
    planned_epochs = state.trials["0001"].config["epochs"]
    # three epochs in 30 seconds
    left = Tally(state, "val_auc", "max").progress(30.0, since_start=True).seconds_left
    assert left == 10.0 * (planned_epochs - 2)


def test_no_time_is_left_where_the_driver_has_interrupted_what_trained() -> None:
    state = RunState()
    for number in range(3):
        state.apply(planned(number))
        state.apply(event("started", number, 0, None))
        state.apply(event("epoch", number, 1, 0.5))
    state.apply(event("completed", 0, 1, None))
    state.apply(event("interrupted", 1, 1, None))
    assert Tally(state, "val_auc", "max").progress(30.0, since_start=True).seconds_left is not None
    state.apply(event("interrupted", 2, 1, None))
    assert Tally(state, "val_auc", "max").progress(30.0, since_start=True).seconds_left is None


def test_rows_of_running_trials_keep_their_places() -> None:
    state = RunState()
    for number in range(3):
        state.apply(planned(number))
        state.apply(event("started", number, 0, None))
    tally = Tally(state, "val_auc", "max")
    state.apply(event("epoch", 0, 1, 0.5))
    tally.update()
    assert [trial.trial_id for trial in tally.running(2)] == ["0000", "0001"]


def test_a_view_shows_the_state_that_it_is_given() -> None:
    text = StringIO()
    state = RunState()
    state.apply(planned(0))
    view = make_view(state, "val_auc", "max", ("activation",), Console(file=text, width=120), False)
    again = RunState()
    again.apply(planned(0))
    again.apply(event("completed", 0, 1, None))
    view.follow(again)
    view.update(final=True)
    assert text.getvalue().startswith("1/1 trials ended (1 completed)")
