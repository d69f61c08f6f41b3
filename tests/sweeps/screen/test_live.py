"""What a run shows while it goes on: all that varies, its own clock, and no text that steers the terminal."""

from __future__ import annotations

import io
from datetime import datetime

import pytest
from rich.console import Console

from sweeps.messages import print_plan
from sweeps.planning.command import Command
from sweeps.planning.plan import make_plan
from sweeps.record.state import RunState, fold
from sweeps.screen.live import make_view, varying_fields
from trainables.config import make_config

HOSTILE = "[red]a[/b]\x1b[31m\n"


def planned(trial_id: str, stratum: str, **values: object) -> dict[str, object]:
    config = make_config(values).model_dump(mode="json")
    folder = f"2026_{trial_id}"
    return {
        "event": "planned", "time": "2026-11-27T00:00:00+00:00", "trial_id": trial_id, "key": trial_id,
        "folder": folder, "config": config, "parameters": 1, "macs": 1, "stratum": stratum, "bracket": 0,
    }  # fmt: skip


def state_of(*events: dict[str, object]) -> RunState:
    return fold(list(events))


def screen(state: RunState, width: int, gone: float = 0.0) -> str:
    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=40, color_system=None)
    view = make_view(state, "val_auc", "max", ("optimizer",), console, False, ("lr_scale",), gone)
    with view:
        view.update()
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [80, 140])
def test_what_is_tuned_is_shown_of_each_running_trial(width: int) -> None:
    trials = [
        planned(f"000{n}", "optimizer=adam", optimizer="adam", lr_scale=scale) for n, scale in ((1, 0.3), (2, 3.0))
    ]
    time_ = "2026-11-27T00:00:01+00:00"
    started = [{"event": "started", "time": time_, "trial_id": f"000{n}", "attempt": 0} for n in (1, 2)]
    state = state_of(*trials, *started)
    assert varying_fields(state, ("optimizer", "lr_scale")) == ["lr_scale"]
    shown = screen(state, width)
    assert "0001 lr_scale=0.3" in shown
    assert "0002 lr_scale=3" in shown


def test_a_field_is_shown_once_a_searcher_has_proposed_a_second_value() -> None:
    time_ = "2026-11-27T00:00:01+00:00"
    state = state_of(planned("0001", "", lr_scale=0.3))
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=40, color_system=None)
    with make_view(state, "val_auc", "max", (), console, False, ("lr_scale",)) as view:
        for event in (planned("0002", "", lr_scale=3.0), {"event": "started", "time": time_, "trial_id": "0002"}):
            state.apply(event)
        view.update()
    assert "0002 lr_scale=3" in console.file.getvalue()  # type: ignore[attr-defined]


def test_names_of_others_do_not_steer_the_terminal() -> None:
    state = state_of(planned("0001", HOSTILE, lr=0.1), planned("0002", "b", lr=0.2))
    shown = screen(state, 140)
    assert "[red]a[/b]\\x1b[31m\\n" in shown
    assert "\x1b[31m" not in shown


def test_a_run_that_is_watched_has_the_clock_of_the_run() -> None:
    shown = screen(state_of(planned("0001", "", lr=0.1)), 100, gone=3723.0)
    assert "1:02:03 gone" in shown or "1:02:04 gone" in shown


def test_another_state_of_the_run_is_followed() -> None:
    console = Console(file=io.StringIO(), width=100)
    view = make_view(state_of(planned("0001", "", lr=0.1)), "val_auc", "max", (), console, False)
    view.follow(state_of(planned("0001", "", lr=0.1), planned("0002", "", lr=0.2)))
    with view:
        pass
    assert "0/2 trials" in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [80, 140])
def test_a_plan_breaks_no_word_and_says_what_it_leaves_out(width: int) -> None:
    fields = ("weight_decay=0,0.1", "batch_size=32,64", "label_smoothing=0,0.1", "clip_norm=1,5", "momentum=0.8,0.9")
    command = Command(sweep="activations", tune=fields, set=("activation=relu,squared_relu", "optimizer=sgd", "lr=0.1"))
    _, sweep, _ = command.definition()
    console = Console(file=io.StringIO(), width=width)
    print_plan(console, sweep, make_plan(sweep, None, datetime.now()), command)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "squared_relu" in text
    if width == 80:
        assert "left out for want of width: " in text
        assert "MACs" in text.split("left out for want of width: ")[1]
    else:
        assert "label_smoothing" in text.replace("label smoothing", "label_smoothing")
