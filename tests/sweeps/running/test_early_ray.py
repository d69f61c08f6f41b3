"""Ray that starts while a sweep is planned: it is there when it is needed, and gone with whoever asked for it."""

from __future__ import annotations

import signal
import subprocess
import sys

import psutil
import pytest

from tests.conftest import ROOT

PLANNING = """
import os, psutil, time
from sweeps.running.early_ray import EarlyRay
with EarlyRay() as early:
    early.started.wait()  # not `wait`: the plan is not ready yet
    print(*(child.pid for child in psutil.Process().children(recursive=True)), flush=True)
    time.sleep(120)
"""
WHOLE = """
import os, signal
from sweeps.running.early_ray import EarlyRay
from sweeps.running.ray_session import ray
before = signal.getsignal(signal.SIGINT)
with EarlyRay() as early:
    early.wait()
    assert signal.getsignal(signal.SIGINT) is before
    group = ray.get(ray.remote(lambda: os.getpgid(0)).remote())
    assert group != os.getpgid(0)
assert not ray.is_initialized()
print("done")
"""


def begin(code: str) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, text=True, **pipes)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_the_sweep_is_planned_leaves_no_process(number: signal.Signals, code: int) -> None:
    process = begin(PLANNING)
    assert process.stdout
    children = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
    assert len(children) > 2
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert errors.strip().endswith("interrupted before the first trial: nothing is lost, start it again")
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive


def test_ray_runs_in_groups_of_its_own_and_ends_with_the_session() -> None:
    process = begin(WHOLE)
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, output, errors) == (0, "done\n", "")
