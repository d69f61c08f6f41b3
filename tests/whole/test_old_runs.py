"""Run folders that version 0.1.0 wrote are listed, shown, compared, reported and resumed as if they were of today."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from analysis import table
from analysis.runs.run_folder import RunFolder
from sweeps.record.ledger import read_ledger
from tests.conftest import ROOT

OLD = ROOT / "tests" / "support" / "runs_of_0_1_0"
"""`finished`: 2 trials of 1 seed. `interrupted`: of 6 trials of 2 seeds one completed, one stopped, one was cut off."""


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OLD, tmp_path / "results"))


def said(*words: str, code: int = 0) -> str:
    """Standard output of a command."""
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_old_runs_are_listed_and_shown(storage: Path) -> None:
    listed = said("sweeps.list", "runs", "--storage", str(storage))
    assert [line.split()[1:4] for line in listed.splitlines() if "smoke" in line] == [
        ["interrupted", "interrupted", "2/6"],
        ["finished", "finished", "2/2"],
    ]
    shown = said("sweeps.show", "finished", "--storage", str(storage))
    assert "2/2 trials ended (2 completed)" in shown
    assert "0.9261" in shown


def test_showing_a_run_imports_nothing_that_takes_long(storage: Path) -> None:
    heavy = {"torch", "ray", "pandas", "sklearn", "matplotlib"}
    show = "from sweeps.show import app; app(['finished', '--storage', sys.argv[1]], standalone_mode=False)"
    code = f"import sys; {show}; print({heavy} & set(sys.modules))"
    shown = subprocess.run(
        [sys.executable, "-c", code, str(storage)], cwd=ROOT, capture_output=True, text=True, timeout=500, check=True
    ).stdout
    assert "0.9261" in shown
    assert shown.splitlines()[-1] == "set()"


def test_old_runs_are_compared(storage: Path) -> None:
    assert "0.9261" in said("analysis.compare", str(storage / "smoke" / "finished"))
    assert "0.9884" in said("analysis.compare", str(storage / "smoke" / "interrupted"))


def test_old_tables_read_as_one(storage: Path) -> None:
    trials = table.read(storage)
    assert sorted(trials["run_id"].unique()) == ["finished", "interrupted"]
    assert len(trials) == 2 + 3 * 2 or len(trials) == 2 + 6 * 2


def test_an_old_run_is_reported(storage: Path) -> None:
    run = storage / "smoke" / "finished"
    said("analysis.report", str(run))
    assert "0.9261" in (run / "report.html").read_text()


@pytest.mark.slow
def test_an_old_run_is_resumed_and_its_ended_trials_are_kept(storage: Path) -> None:
    run = storage / "smoke" / "interrupted"
    before = list(read_ledger(RunFolder(run).ledger))
    said(
        "sweeps.run", "smoke", "--set", "model=mlp", "--set", "hidden_dims=8", "--set", "activation=relu,tanh,gelu",
        "--set", "lr=0.01,0.001", "--epochs", "8", "--seeds", "2", "--scheduler", "asha", "--max-concurrent", "2",
        "--no-report", "--storage", str(storage), "--resume", str(run),
    )  # fmt: skip
    events = list(read_ledger(RunFolder(run).ledger))
    assert events[: len(before)] == before
    ended = [e["trial_id"] for e in events if e["event"] in ("completed", "stopped", "diverged", "failed")]
    assert sorted(ended) == ["0001", "0002", "0003", "0004", "0005", "0006"]
    first_after = next(e["epoch"] for e in events[len(before) :] if e["event"] == "epoch" and e["trial_id"] == "0003")
    assert first_after in (2, 3), "trial 0003 went on from its checkpoint of epoch 2"
