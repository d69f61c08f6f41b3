"""Signals and limits that end a run, and the exit codes they give it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from analysis.runs.run_folder import RunFolder
from analysis.terminal.exit_codes import ExitCode
from sweeps.planning.settings import Settings
from sweeps.record.outcome import Halt, Outcome
from sweeps.record.state import RunState, TrialState
from sweeps.running import execution, interrupt
from sweeps.running.interrupt import FROM_THE_START, SIGNALS, Brake, Interrupt, time_left


def trial(number: int, status: str) -> TrialState:
    return TrialState(f"{number:04d}", "", "", {}, 1, 1, status=status)


def state(*statuses: str) -> RunState:
    return RunState({f"{n:04d}": trial(n, status) for n, status in enumerate(statuses)})


@pytest.fixture(autouse=True)
def hang_ups_are_heard() -> Iterator[None]:
    """Hear hang-ups, which are ignored where the tests are run under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    monkeypatch.setattr(interrupt, "end_process", lambda text, code: found.append((text, code)))
    return found


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_noted_and_the_second_ends_the_process(number: int, ended: list[tuple[str, int]]) -> None:
    before = signal.getsignal(number)
    with Interrupt() as taken:
        taken.hold()
        os.kill(os.getpid(), number)
        assert (taken.signal, ended) == (number, [])
        os.kill(os.getpid(), number)
        assert ended == [("", 128 + number)]
    assert signal.getsignal(number) is before


def test_a_signal_before_the_first_trial_says_how_to_go_on(ended: list[tuple[str, int]]) -> None:
    with Interrupt() as taken:
        os.kill(os.getpid(), signal.SIGTERM)
        taken.go_on = "python -m sweeps.run x --resume y"
        os.kill(os.getpid(), signal.SIGTERM)
    assert ended[0] == (FROM_THE_START, 143)
    assert "nothing is lost" not in ended[1][0]
    assert ended[1][0].endswith("python -m sweeps.run x --resume y")


def test_a_hang_up_that_is_ignored_stays_ignored(ended: list[tuple[str, int]]) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupt() as taken:
            taken.hold()
            os.kill(os.getpid(), signal.SIGHUP)
            assert taken.signal is None
    finally:
        signal.signal(signal.SIGHUP, before)


def brake(settings: Settings, known: RunState) -> Brake:
    return Brake(Interrupt(), settings, known, time.monotonic() - 10)


def test_failures_count_from_this_start_on() -> None:
    known = state("failed", "failed", "planned", "planned")
    limit = brake(Settings(max_errors=1), known)
    assert not limit()
    known.apply({"event": "failed", "trial_id": "0002", "reason": "", "time": "2026-01-01T00:00:00+00:00"})
    assert limit()
    assert limit.halt == Halt("failed trials: 1 (--max-errors 1)", ExitCode.FAILURES)


def test_a_used_up_time_budget_is_not_success() -> None:
    limit = brake(Settings(time_budget=5), state("completed", "planned"))
    assert limit()
    assert limit.halt is not None
    assert outcome("completed", "planned", halt=limit.halt).exit_code == 75


def outcome(*statuses: str, **values: Any) -> Outcome:
    return Outcome(RunFolder(Path("r")), state(*statuses), **{"signal": None, "seconds": 3.0, **values})


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (outcome("completed", "stopped", "diverged"), 0),
        (outcome("completed", "failed"), 1),
        (outcome("completed", problems=("not uploaded",)), 1),
        (outcome("completed", "planned"), 75),
        (outcome("completed", "interrupted", signal=signal.SIGINT), 130),
        (outcome("failed", "interrupted", signal=signal.SIGHUP), 129),
        (outcome("failed", "planned", halt=Halt("", ExitCode.UNFINISHED)), 75),
        (outcome("failed", "planned", halt=Halt("", ExitCode.FAILURES)), 1),
    ],
)
def test_exit_codes(found: Outcome, code: int) -> None:
    assert found.exit_code == code


def test_what_goes_on_at_once_has_what_is_left_of_its_budget() -> None:
    assert time_left(90, 3.0) == 87
    assert time_left(2, 3.0) == 1
    assert time_left(None, 3.0) is None


def test_an_interrupt_that_is_entered_twice_gives_the_signals_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interrupt() as outer:
        with outer as inner:
            assert inner is outer
        assert signal.getsignal(signal.SIGTERM) is before
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("number", SIGNALS)
def test_handlers_that_ray_set_when_it_started_give_way(number: int, ended: list[tuple[str, int]]) -> None:
    with Interrupt() as taken:
        signal.signal(number, signal.SIG_DFL)
        taken.hold()
        os.kill(os.getpid(), number)
        assert taken.signal == number
    assert ended == []


@pytest.mark.parametrize(("number", "code"), [(None, 75), (signal.SIGTERM, 143)])
def test_a_driver_that_is_stuck_ends_where_no_process_takes_its_place(
    number: int | None, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[tuple[str, int]] = []
    # counting a loss sets it, and programs of later tests would read it
    monkeypatch.setenv(interrupt.LOSSES, "0 -1")
    monkeypatch.setattr(execution, "end_process", lambda text, code: found.append((text, code)))
    taken, known = Interrupt(), state("running")
    taken.signal, taken.go_on = number, "python -m sweeps.run x --resume y"
    taken.restart = lambda halt, seconds: (_ for _ in ()).throw(OSError("no process"))
    unused: Any = None
    run = execution._Execution(
        unused, unused, RunFolder(Path("r")), Settings(), unused, taken, time.monotonic(), unused
    )  # fmt: skip
    with suppress(OSError):
        run._stuck(known, Brake(taken, Settings(), known, time.monotonic()), "raylet")
    ((text, given),) = found
    assert given == code
    assert text.startswith("Ray was lost: its raylet has ended;")
    assert text.endswith("x --resume y")
