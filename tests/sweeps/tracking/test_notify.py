"""The user's own command: what it gets, that the run becomes no part of it, and that its failure costs nothing."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from analysis.runs.run_folder import RunFolder
from sweeps.planning.settings import Settings
from sweeps.record.outcome import Halt, Outcome
from sweeps.record.state import RunState, TrialState
from sweeps.tracking.notify import Notifier
from trainables.errors import InputError

HOSTILE = "$(touch hacked); `touch hacked` \"'; touch hacked #\n<b>"


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "s" / "run")
    made.path.mkdir(parents=True)
    about = {"metric": "val_auc", "mode": "max", "roles": {}, "question": HOSTILE}
    made.description.write_text(json.dumps(about))
    return made


def state(*statuses: str) -> RunState:
    trials = {}
    for number, status in enumerate(statuses):
        trial = TrialState(f"{number:04d}", "k", "f", {"seeds": [0], "epochs": 1}, 1, 1, status=status)
        trial.stop_reason = HOSTILE
        if status == "completed":
            trial.means.append({"val_auc": 0.5 + number / 10})
        trials[trial.trial_id] = trial
    return RunState(trials)


def keeping(file: Path) -> str:
    return f"cat >> {shlex.quote(str(file))}; echo >> {shlex.quote(str(file))}"


def told(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_the_end_is_told_with_what_the_run_reached(run: RunFolder, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    notifier = Notifier(keeping(tmp_path / "out"), run, said.append)
    notifier.ended(Outcome(run, state("completed", "completed"), None, 12.34, report="report.html"))
    notifier.ended(Outcome(run, state("completed", "running"), 2, 1.0))
    notifier.ended(Outcome(run, state("completed"), None, 1.0, halt=Halt("Ray was lost", 3, new_process=True)))  # type: ignore[arg-type]
    first, second = told(tmp_path / "out")
    assert (first["event"], first["exit_code"], first["best"], first["trials"]) == ("ended", 0, 0.6, {"completed": 2})
    assert first["question"] == HOSTILE
    assert first["text"] == "s/run ended: 2 completed; best val_auc 0.6000"
    assert (second["event"], second["exit_code"]) == ("interrupted", 130)
    assert not said
    assert not list(tmp_path.glob("**/hacked"))


def test_the_first_failure_is_told_once_and_not_waited_for(run: RunFolder, tmp_path: Path) -> None:
    notifier = Notifier(f"sleep 0.3; {keeping(tmp_path / 'out')}", run, print)
    found = state("completed", "failed", "failed")
    for _ in range(3):
        notifier.check(found)
    assert not (tmp_path / "out").exists()
    notifier.ended(Outcome(run, found, None, 1.0))
    first, last = told(tmp_path / "out")
    assert first["event"] == "trial failed"
    assert first["reason"] == f"trial 0001 failed: {HOSTILE}"
    assert last["event"] == "ended"


def test_an_error_of_the_run_is_told_and_raised(run: RunFolder, tmp_path: Path) -> None:
    notifier = Notifier(keeping(tmp_path / "out"), run, print)
    with pytest.raises(InputError), notifier.errors():
        raise InputError("the disk is full")
    (only,) = told(tmp_path / "out")
    assert (only["event"], only["reason"], only["exit_code"]) == ("error", "the disk is full", 2)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("echo no route >&2; exit 7", "ended with 7 (no route)"),
        ("sleep 60", "more than 0.2 s"),
        ("nothing_of_that", "127"),
    ],
)
def test_a_command_that_fails_is_said(run: RunFolder, command: str, said: str) -> None:
    lines: list[str] = []
    Notifier(command, run, lines.append, timeout=0.2 if "60" in command else 30).tell({"text": "x"})
    (line,) = lines
    assert said in line


def test_what_a_command_leaves_behind_does_not_hold_the_run(run: RunFolder, tmp_path: Path) -> None:
    lines: list[str] = []
    kept = tmp_path / "pid"
    began = time.monotonic()
    Notifier(f"setsid sleep 20 & echo $! > {kept}; sleep 20", run, lines.append, timeout=0.3).tell(
        {"text": "x" * 10**6}
    )
    assert time.monotonic() - began < 15
    assert "more than 0.3 s" in lines[0]
    os.kill(int(kept.read_text()), signal.SIGKILL)


def test_a_command_too_long_for_the_system_is_said(run: RunFolder) -> None:
    lines: list[str] = []
    Notifier("x" * 3_000_000, run, lines.append).tell({"text": "x"})
    assert "cannot be run" in lines[0]


def test_a_run_whose_description_is_gone_is_told_all_the_same(run: RunFolder, tmp_path: Path) -> None:
    notifier = Notifier(keeping(tmp_path / "out"), run, print)
    silent = Notifier(None, run, print)
    run.description.unlink()
    found = state("completed", "failed")
    for one in (notifier, silent):
        one.check(found)
        one.ended(Outcome(run, found, None, 1.0))
    assert [message["event"] for message in told(tmp_path / "out")] == ["trial failed", "ended"]


def test_a_command_may_leave_its_input_unread(run: RunFolder) -> None:
    lines: list[str] = []
    Notifier(f"{sys.executable} -c ''", run, lines.append).tell({"text": "x" * 10**6})
    assert lines == []


def test_verbose_and_quiet_are_refused_together() -> None:
    with pytest.raises(InputError, match="leave one out"):
        Settings(verbose=True, quiet=True)
