"""One note says why nothing runs; a run in which trials run, or which has ended, gets none."""

from __future__ import annotations

import psutil
import pytest

from analysis.parallel.ray_private import memory_in_use
from sweeps.record.state import RunState, TrialState
from sweeps.running import reasons
from sweeps.running.reasons import PATIENCE, THRESHOLD, IdleNote, idle_reason


def state(status: str) -> RunState:
    return RunState({"0001": TrialState("0001", "", "", {}, 1, 1, status=status)})


def notes(status: str, seconds: float, address: str | None = None) -> list[str]:
    """Collect what is said in so many seconds, looked at ten times."""
    said: list[str] = []
    clock = iter(seconds * n / 9 for n in range(10))
    note = IdleNote(state(status), address, said.append, now=lambda: next(clock))
    for _ in range(10):
        note.check()
    return said


def test_a_run_in_which_nothing_runs_gets_one_note() -> None:
    (note,) = notes("planned", 3 * PATIENCE)
    assert note.startswith("no trial has run for 30 s: ")
    assert notes("planned", PATIENCE - 1) == notes("running", 3 * PATIENCE) == notes("completed", 3 * PATIENCE) == []


def test_time_in_which_a_trial_ran_does_not_count() -> None:
    said: list[str] = []
    note = IdleNote(state("planned"), None, said.append, now=iter([0.0, PATIENCE - 1, PATIENCE + 1]).__next__)
    note.check()
    note.state = state("running")
    note.check()
    note.state = state("planned")
    note.check()
    note.check()
    assert said == []


def test_the_reason_names_the_memory_that_keeps_ray_from_starting_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reasons, "memory_in_use", lambda: (9 * 2**30, 10 * 2**30))
    monkeypatch.delenv(THRESHOLD, raising=False)
    assert "the load is" in idle_reason(None)
    monkeypatch.setenv(THRESHOLD, "0.85")
    expected = "9.0 of 10.0 GiB of memory are in use (90%), and Ray keeps no worker above 85% "
    assert idle_reason(None) == expected + "(RAY_memory_usage_threshold): end other programs"
    assert "ray status" in idle_reason("auto")


def test_memory_is_counted_as_the_system_does() -> None:
    used, total = memory_in_use()
    assert 0 < used < total <= psutil.virtual_memory().total
