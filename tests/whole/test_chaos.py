"""Sweeps whose driver and workers are killed again and again, at moments that change with every release."""

from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import sys
import time
import zlib
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

from analysis.runs.run_folder import RunFolder
from sweeps.record.ledger import read_ledger
from tests.conftest import ROOT
from tests.whole.test_sweep import VOLATILE, only_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
DEADLINE = 900
GRACE, REDUCTION = 2, 2


@dataclass(frozen=True)
class Case:
    """A sweep, and how often its driver and its workers are killed. trials, epochs: what it plans."""

    options: tuple[str, ...]
    trials: int
    epochs: int
    driver_kills: int
    worker_kills: int


GRID = ("--set", "activation=relu,tanh", "--set", "lr=0.003,0.03,0.0003,0.01")
RULE = ("--scheduler", "asha", "--grace", str(GRACE), "--reduction", str(REDUCTION), "--stratify", "none")
ALONE = ("--max-concurrent", "1")
# not by a measurement, which might choose otherwise the second time
FUSED, UNFUSED = ("--fuse", "on"), ("--fuse", "off")
FIFO = ("--set", "activation=relu,tanh", "--scheduler", "fifo")
APART = Case((*FIFO, "--set", "lr=0.01,0.001", "--replicates", "apart"), 8, 10, 2, 5)
ASHA_ALONE = Case((*GRID, *RULE, *ALONE, *FUSED), 8, 10, 2, 4)
ASHA = Case((*GRID, *RULE, *FUSED), 8, 10, 2, 5)
MEDIAN = Case(
    (*GRID, "--scheduler", "median", "--grace", str(GRACE), "--stratify", "none", *ALONE, *UNFUSED), 8, 8, 1, 3
)
OPTUNA = Case((*FIFO, "--searcher", "optuna", "--samples", "3", *ALONE, *UNFUSED), 6, 6, 1, 3)
PBT = Case((*GRID, "--scheduler", "pbt", "--interval", "3", *FUSED), 8, 10, 2, 3)
CASES = {"apart": APART, "asha": ASHA_ALONE, "median": MEDIAN, "optuna": OPTUNA, "pbt": PBT}


def start(case: Case, storage: Path, *more: str, **environment: str) -> subprocess.Popen[bytes]:
    sweep = ["activations", "--set", "model=mlp", "--seeds", "2", "--epochs", str(case.epochs), *case.options]
    tries = ["--max-failures", str(case.driver_kills + case.worker_kills)]
    quiet = ["--quiet", "--no-report", "--storage", str(storage)]
    command = [sys.executable, "-m", "sweeps.run", *sweep, *tries, *quiet, *more]
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def calm(case: Case, storage: Path) -> RunFolder:
    """The run undisturbed."""
    undisturbed = start(case, storage)
    _, errors = undisturbed.communicate(timeout=DEADLINE)
    assert undisturbed.returncode == 0, errors
    return only_run(storage)


def epochs(storage: Path) -> int:
    return sum(path.read_bytes().count(b'"event":"epoch"') for path in storage.glob("*/*/ledger.jsonl"))


def workers(driver: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Processes of this driver's Ray that train."""
    found = []
    for process in psutil.Process(driver.pid).children(recursive=True):
        try:
            if process.name().startswith("ray::Im") or "ImplicitFunc.train" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:  # it ended while we looked
            continue
    return found


def wild(case: Case, storage: Path, until: int) -> RunFolder:
    """The run with kills at random moments among its first `until` epochs."""
    kills = case.driver_kills + case.worker_kills
    chance = random.Random(zlib.crc32(f"{version('ray')} {case}".encode()))
    moments = sorted(chance.sample(range(1, until), kills))
    of_driver = set(chance.sample(range(kills), case.driver_kills))
    killed = {"driver": 0, "worker": 0}
    driver, deadline = start(case, storage), time.monotonic() + DEADLINE
    for number, moment in enumerate(moments):
        while driver.poll() is None and not (epochs(storage) >= moment and workers(driver)):
            assert time.monotonic() < deadline
            time.sleep(0.05)  # between two looks at the ledger
        assert driver.poll() is None, driver.communicate()
        if number in of_driver:
            driver.send_signal(signal.SIGKILL)
            driver.communicate()
            killed["driver"] += 1
            driver = start(case, storage, "--resume")
        else:
            chance.choice(workers(driver)).kill()
            killed["worker"] += 1
    _, errors = driver.communicate(timeout=DEADLINE)
    assert driver.returncode == 0, errors
    assert killed == {"driver": case.driver_kills, "worker": case.worker_kills}
    ends = [event for event in read_ledger(only_run(storage).ledger) if event["event"] in ("completed", "stopped")]
    assert len(ends) == len({event["trial_id"] for event in ends}) == case.trials
    return only_run(storage)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_tables_are_those_of_an_undisturbed_run(case: Case, tmp_path: Path) -> None:
    undisturbed = calm(case, tmp_path / "calm")
    disturbed = wild(case, tmp_path / "wild", epochs(tmp_path / "calm") - 4)
    assert_same_tables(disturbed, undisturbed)


def assert_same_tables(found: RunFolder, expected: RunFolder) -> None:
    for file in ("trials_table", "epochs_table", "weights_table"):
        one, other = (
            pd.read_parquet(getattr(run, file)).drop(columns=VOLATILE, errors="ignore") for run in (found, expected)
        )
        pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_trials_that_rays_memory_monitor_killed_are_trained_by_retry_failed(tmp_path: Path) -> None:
    """Ray kills every worker for as long as more than 1 % of the machine's memory is in use."""
    case = Case((*FIFO, "--set", "lr=0.01"), trials=2, epochs=4, driver_kills=0, worker_kills=0)
    starved = start(case, tmp_path / "wild", RAY_memory_usage_threshold="0.01", RAY_task_oom_retries="0")
    _, errors = starved.communicate(timeout=DEADLINE)
    assert starved.returncode == 1, errors
    events = list(read_ledger(only_run(tmp_path / "wild").ledger))
    failures = {event["trial_id"]: event["reason"] for event in events if event["event"] == "failed"}
    assert len(failures) == case.trials
    assert all("the node ran out of memory" in reason for reason in failures.values())
    again = start(case, tmp_path / "wild", "--resume", "--retry-failed")
    _, errors = again.communicate(timeout=DEADLINE)
    assert again.returncode == 0, errors
    assert_same_tables(only_run(tmp_path / "wild"), calm(case, tmp_path / "calm"))


def test_asha_on_two_workers_decides_by_the_ledgers_own_order(tmp_path: Path) -> None:
    """Which trial comes first to a rung depends on the workers; what follows from it does not."""
    run = wild(ASHA, tmp_path, ASHA.trials * GRACE + ASHA.trials)  # so many epochs are trained in any case
    events = list(read_ledger(run.ledger))
    stops = {event["trial_id"]: event for event in events if event["event"] == "stopped"}
    expected = plain_asha(events)
    assert 0 < len(expected) < ASHA.trials
    assert {trial: (stop["rung"], stop["peers"]) for trial, stop in stops.items()} == {
        trial: (rung, peers) for trial, (rung, peers, _, _) in expected.items()
    }
    for trial, (_, _, value, cutoff) in expected.items():
        assert stops[trial]["value"] == value
        assert math.isclose(stops[trial]["cutoff"], cutoff, rel_tol=1e-12)


def plain_asha(events: list[dict[str, Any]]) -> dict[str, tuple[int, int, float, float]]:
    """(rung, peers, value, cutoff) of every trial that ASHA stops, told from the epochs alone."""
    rungs: dict[int, list[float]] = {}
    seen: set[tuple[str, int]] = set()
    stopped: dict[str, tuple[int, int, float, float]] = {}
    milestones = [GRACE * REDUCTION**k for k in range(10) if GRACE * REDUCTION**k < ASHA.epochs]
    for event in events:
        if event["event"] != "epoch" or (event["trial_id"], event["epoch"]) in seen:
            continue
        trial, epoch = event["trial_id"], event["epoch"]
        seen.add((trial, epoch))
        assert trial not in stopped  # nothing is trained on after its stop
        if epoch in milestones:
            value, before = event["mean"]["val_auc"], rungs.setdefault(epoch, [])
            if before and value < (cutoff := float(np.quantile(before, 1 - 1 / REDUCTION))):
                stopped[trial] = epoch, len(before), value, cutoff
            before.append(value)
    return stopped
