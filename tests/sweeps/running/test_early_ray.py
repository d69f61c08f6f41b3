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
from sweeps.running.interrupt import Interrupt
with Interrupt() as interrupt, EarlyRay() as early:
    early.started.wait()  # not `wait`: the plan is not ready yet
    print(*(child.pid for child in psutil.Process().children(recursive=True)), flush=True)
    time.sleep(120)
"""
WHOLE = """
import os, psutil
from sweeps.running.early_ray import EarlyRay
from sweeps.running.ray_session import ray

def listening():
    # (process, address in hexadecimal) of every socket of Ray's processes that listens, as the kernel says it
    for process in psutil.Process().children(recursive=True):
        sockets = {os.readlink(f"/proc/{process.pid}/fd/{n}") for n in os.listdir(f"/proc/{process.pid}/fd")}
        for table in ("tcp", "tcp6"):
            for line in open(f"/proc/{process.pid}/net/{table}").read().splitlines()[1:]:
                place, state, inode = line.split()[1], line.split()[3], line.split()[9]
                if state == "0A" and f"socket:[{inode}]" in sockets:
                    yield process.name(), place.split(":")[0]

with EarlyRay() as early:
    early.wait()
    group = ray.get(ray.remote(lambda: os.getpgid(0)).remote())
    assert group != os.getpgid(0)
    found = set(listening())
    assert {"gcs_server", "raylet"} <= {name for name, _ in found}, found
    loopback = {"0100007F", "0" * 24 + "01000000", "0000000000000000FFFF00000100007F"}
    assert {address for _, address in found} <= loopback, found
    programs = {os.path.basename(word) for p in psutil.Process().children(recursive=True) for word in p.cmdline()}
    assert "raylet" in programs
    assert not programs & {"dashboard.py", "monitor.py", "log_monitor.py"}, programs
assert not ray.is_initialized()
print("done")
"""


def begin(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        # under `nohup` hang-ups are ignored
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )  # fmt: skip


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, 129)])
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


def test_ray_runs_on_loopback_alone_without_what_nobody_asks_for_and_ends_with_the_session() -> None:
    process = begin(WHOLE)
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, output, errors) == (0, "done\n", "")
