"""A service of our own Ray is killed in the middle of a run: the run goes on in a new process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from sweeps.record.ledger import read_ledger
from tests.conftest import ROOT
from tests.whole.test_sweep import only_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
DEADLINE = 400.0
SWEEP = (
    "activations --set model=mlp --set hidden_dims=16 --set activation=relu,tanh --set lr=0.01 --seeds 1 --epochs 60"
)


def epochs(storage: Path) -> int:
    """Return the number that the run has reported."""
    return sum(path.read_bytes().count(b'"event":"epoch"') for path in storage.glob("*/*/ledger.jsonl"))


# a driver that waits for a lost service for ever, as a call of Ray's may
STUCK = """
import runpy, time
from sweeps.running import ray_session
ray_session.PATIENCE = 1.0
ray_session.RayWatch.check = lambda self: time.sleep(1e6) if ray_session.lost_service() else None
runpy.run_module("sweeps.run", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    ("service", "program"),
    [("gcs_server", ["-m", "sweeps.run"]), ("raylet", ["-m", "sweeps.run"]), ("gcs_server", ["-c", STUCK])],
    ids=["gcs_server", "raylet", "stuck"],
)
def test_the_run_goes_on_in_a_new_process(service: str, program: list[str], tmp_path: Path) -> None:
    options = [*SWEEP.split(), "--scheduler", "fifo", "--no-measure", "--no-report", "--storage", str(tmp_path)]
    command = [sys.executable, *program, *options]
    driver = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + DEADLINE
    while driver.poll() is None and epochs(tmp_path) < 10:
        assert time.monotonic() < deadline
        time.sleep(0.05)  # between two looks at the ledger
    assert driver.poll() is None, driver.communicate()
    (victim,) = [child for child in psutil.Process(driver.pid).children() if child.name() == service]
    victim.kill()
    text, _ = driver.communicate(timeout=DEADLINE)
    assert driver.returncode == 0, f"code {driver.returncode}: {text[-1500:]}"
    assert f"Ray was lost: its {service} has ended. The run goes on in a new process:" in text
    assert "Traceback" not in text
    events = list(read_ledger(only_run(tmp_path).ledger))
    assert Counter(e["trial_id"] for e in events if e["event"] == "completed") == {"0001": 1, "0002": 1}
    reported = Counter((e["trial_id"], e["epoch"]) for e in events if e["event"] == "epoch")
    assert set(reported) == {(trial, epoch) for trial in ("0001", "0002") for epoch in range(1, 61)}
