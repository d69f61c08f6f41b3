"""Two drivers on one run, a disk that is full, output that nobody reads: a whole sweep each, from the command line."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from sweeps.record.state import read_state
from tests.conftest import ROOT

DEADLINE = 300
SWEEP = [
    "activations", "--set", "model=mlp", "--set", "hidden_dims=16", "--set", "activation=relu,tanh",
    "--set", "lr=1e-3,1e-2", "--seeds", "1", "--scheduler", "fifo", "--no-measure", "--no-report", "--name", "job",
]  # fmt: skip


def command(storage: Path, epochs: int, *more: str) -> list[str]:
    return [sys.executable, "-m", "sweeps.run", *SWEEP, "--epochs", str(epochs), "--storage", str(storage), *more]


def events(storage: Path) -> list[dict[str, object]]:
    ledger = storage / "activations" / "job" / "ledger.jsonl"
    return [json.loads(line) for line in ledger.read_text().splitlines()] if ledger.exists() else []


def test_a_second_driver_is_refused_while_the_first_works_and_its_reader_may_go(tmp_path: Path) -> None:
    errors = tmp_path / "errors.txt"
    with errors.open("w") as file:
        first = subprocess.Popen(command(tmp_path, 60), cwd=ROOT, stdout=subprocess.PIPE, stderr=file)
    assert first.stdout
    # as `| head -1` does
    first.stdout.close()
    end = time.monotonic() + DEADLINE
    while not any(event["event"] == "epoch" for event in events(tmp_path)):
        assert time.monotonic() < end
        assert first.poll() is None, errors.read_text()
        time.sleep(0.2)
    # a paused driver holds its lease, however fast the machine trains
    first.send_signal(signal.SIGSTOP)
    for more in (["--resume"], []):
        second = subprocess.run(
            command(tmp_path, 60, *more), cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE
        )
        assert second.returncode == 2, second.stdout + second.stderr
        lines = second.stderr.strip().splitlines()
        assert len(lines) == 1
        assert re.search(rf"is under way: process {first.pid} on \S+, alive \d+ s ago", lines[0])
    first.send_signal(signal.SIGCONT)
    assert first.wait(DEADLINE) == 0, errors.read_text()
    kinds = Counter((event["event"], event.get("trial_id"), event.get("epoch")) for event in events(tmp_path))
    assert sum(kind[0] == "completed" for kind in kinds) == 4
    assert max(kinds.values()) == 1, "nothing was recorded twice"


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="a small disk wants root and unshare")
def test_a_full_disk_is_one_line_and_the_run_goes_on_where_there_is_room(tmp_path: Path) -> None:
    kept = tmp_path.parent / "kept"
    steps = [
        f"mount -t tmpfs -o size=280k tmpfs {tmp_path} || exit 77", shlex.join(command(tmp_path, 40)), "echo code $?",
        f"mount -o remount,size=30m {tmp_path}", shlex.join(command(tmp_path, 40, "--resume", "--quiet")),
        "echo code $?", f"cp {tmp_path}/activations/job/ledger.jsonl {kept}",
    ]  # fmt: skip
    words = ["unshare", "-m", "sh", "-c", "\n".join(steps)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=2 * DEADLINE)
    if "code" not in done.stdout:
        pytest.skip(f"no disk of our own here: {done.stderr}")
    codes = re.findall(r"^code (\d+)$", done.stdout, re.MULTILINE)
    assert codes == ["2", "0"], f"{codes}: {done.stderr[-1500:]}"
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "free space" in errors[0]
    assert "Traceback" not in done.stderr
    state = read_state(kept)
    assert [(trial.status, trial.epoch) for trial in state.trials.values()] == [("completed", 40)] * 4
    assert state.left_out == 0
