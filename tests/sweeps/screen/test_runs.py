"""Progress, the list of runs, and freeing space, from files that a test wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.runs.find import find_run, runs_in
from analysis.runs.run_folder import RunFolder
from sweeps.clean import checkpoints
from sweeps.record.ledger import Ledger, read_ledger
from sweeps.record.progress import Tally, sparkline
from sweeps.record.state import fold
from sweeps.screen.live import clock, describe
from sweeps.screen.runs import size_of, summarize_run
from tests.conftest import ROOT
from trainables.errors import InputError


def make_run(storage: Path, run_id: str, ended: int, planned: int = 4) -> RunFolder:
    """A run of `planned` trials of 4 epochs, of which `ended` completed and one more has trained 2 epochs."""
    run = RunFolder(storage / "demo" / run_id)
    ledger = Ledger(run.ledger)
    for n in range(planned):
        config = {"epochs": 4, "activation": ["relu", "tanh"][n % 2], "lr": 0.1}
        ledger.append(
            "planned", trial_id=f"{n:04d}", key=f"k{n}", folder=f"f{n}", config=config, parameters=1, macs=1, stratum=""
        )
    for n in range(min(ended + 1, planned)):
        ledger.append("started", trial_id=f"{n:04d}")
        for epoch in range(1, 5 if n < ended else 3):
            value = 0.5 + n / 10 + epoch / 100
            ledger.append(
                "epoch", trial_id=f"{n:04d}", attempt=1, epoch=epoch, memory_mb=1.0, replicates=[{"seed": 0}],
                mean={"val_auc": value},
            )  # fmt: skip
        if n < ended:
            ledger.append("completed", trial_id=f"{n:04d}", reason="all")
    ledger.close()
    about = {"metric": "val_auc", "mode": "max", "roles": {"scientific": {"activation": []}, "nuisance": {}}}
    run.description.write_text(json.dumps(about))
    return run


def test_progress_counts_epochs(tmp_path: Path) -> None:
    state = fold(read_ledger(make_run(tmp_path, "a", ended=2).ledger))
    tally = Tally(state, "val_auc", "max", ["activation"])
    progress = tally.progress(100.0, since_start=True)
    assert (progress.planned, progress.ended) == (4, 2)
    assert progress.share == pytest.approx(10 / 16)
    assert progress.seconds_left == pytest.approx(60.0)  # 6 epochs to come at the pace of 10 in 100 seconds
    assert describe(progress) == "2/4 trials ended (1 running, 2 completed, 1 planned), 1:40 gone, about 1:00 left"
    assert [(b.name, b.epoch) for b in tally.best()] == [("activation=relu", 2), ("activation=tanh", 4)]


def test_runs_are_found_by_name_and_newest_first(tmp_path: Path) -> None:
    make_run(tmp_path, "20260101-000000-old-owl", ended=4)
    newest = make_run(tmp_path, "20260102-000000-new-owl", ended=1)
    assert [run.run_id[:8] for run in runs_in(tmp_path)] == ["20260102", "20260101"]
    for name in ("latest", "demo", "20260102-000000-new-owl", str(newest.path)):
        assert find_run(name, tmp_path).run_id == newest.run_id
    with pytest.raises(InputError, match="no run 'nothing'"):
        find_run("nothing", tmp_path)
    rows = [summarize_run(run) for run in runs_in(tmp_path)]
    assert [(row["state"], row["trials"]) for row in rows] == [("running", "1/4"), ("finished", "4/4")]


def test_clean_removes_checkpoints_of_ended_trials_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a", ended=1)
    for n in range(2):
        run.trial(f"f{n}").checkpoint.mkdir(parents=True)
        (run.trial(f"f{n}").checkpoint / "checkpoint.pt").write_bytes(b"x" * 2000)
    assert list(checkpoints(run)) == [run.trial("f0").checkpoint]
    assert size_of(run.trials) == "4 kB"
    command = [sys.executable, "-m", "sweeps.clean", str(run.path)]
    refused = subprocess.run(command, cwd=ROOT, input="n\n", capture_output=True, text=True)
    assert refused.returncode == 1
    assert run.trial("f0").checkpoint.exists()
    done = subprocess.run([*command, "--yes"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not run.trial("f0").checkpoint.exists()
    assert run.trial("f1").checkpoint.exists()


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (61, "1:01"), (3661, "1:01:01")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_sparkline_spans_lowest_to_highest() -> None:
    assert sparkline([0.0, 0.5, 1.0]) == "▁▅█"
    assert sparkline([None, 1.0]) == ""
    assert sparkline([1.0, 1.0]) == "▁▁"
