"""Twenty kills of one sweep, of the driver and of workers, at moments that change with every release."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
import zlib
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import psutil
import pytest

from sweeps.ledger import read_ledger
from tests.conftest import ROOT
from tests.test_sweep import VOLATILE, only_run

pytestmark = pytest.mark.slow
KILLS, DRIVER_KILLS = 20, 5
EPOCHS = 15
SWEEP = [
    "activations", "--set", "activation=relu,tanh,gelu,elu", "--set", "lr=0.01,0.001", "--set", "model=mlp", "--seeds",
    "2", "--epochs", str(EPOCHS), "--scheduler", "fifo", "--quiet", "--no-report", "--max-failures", str(KILLS),
]  # fmt: skip
DEADLINE = 900


def start(storage: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "sweeps.run", *SWEEP, "--storage", str(storage), *more]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def epochs(storage: Path) -> int:
    return sum(event["event"] == "epoch" for path in storage.glob("*/*/ledger.jsonl") for event in read_ledger(path))


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


def test_tables_are_those_of_an_undisturbed_run(tmp_path: Path) -> None:
    calm, wild = tmp_path / "calm", tmp_path / "wild"
    undisturbed = start(calm)
    _, errors = undisturbed.communicate(timeout=DEADLINE)
    assert undisturbed.returncode == 0, errors
    chance = random.Random(zlib.crc32(version("sweeps").encode()))
    moments = sorted(chance.sample(range(1, 8 * EPOCHS - 4), KILLS))
    of_driver = set(chance.sample(range(KILLS), DRIVER_KILLS))
    killed = {"driver": 0, "worker": 0}
    driver, deadline = start(wild), time.monotonic() + DEADLINE
    for number, moment in enumerate(moments):
        while driver.poll() is None and not (epochs(wild) >= moment and workers(driver)):
            assert time.monotonic() < deadline
            time.sleep(0.02)  # between two looks at the ledger
        assert driver.poll() is None, driver.communicate()
        if number in of_driver:
            driver.send_signal(signal.SIGKILL)
            driver.communicate()
            killed["driver"] += 1
            driver = start(wild, "--resume")
        else:
            chance.choice(workers(driver)).kill()
            killed["worker"] += 1
    _, errors = driver.communicate(timeout=DEADLINE)
    assert driver.returncode == 0, errors
    assert killed == {"driver": DRIVER_KILLS, "worker": KILLS - DRIVER_KILLS}
    for file in ("trials_table", "epochs_table", "weights_table"):
        expected, found = (
            pd.read_parquet(getattr(only_run(storage), file)).drop(columns=VOLATILE, errors="ignore")
            for storage in (calm, wild)
        )
        pd.testing.assert_frame_equal(found, expected, check_exact=True)
    ends = [event for event in read_ledger(only_run(wild).ledger) if event["event"] == "completed"]
    assert len(ends) == len({event["trial_id"] for event in ends}) == 8
