"""A thousand short trials: memory and open files of the driver stay bounded, and reading the run stays quick."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from analysis import table
from sweeps.record.ledger import read_ledger
from tests.conftest import ROOT
from tests.whole.test_sweep import only_run

pytestmark = pytest.mark.slow
TRIALS = 1000
DEADLINE = 600
SWEEP = [
    "activations", "--set", "activation=relu", "--set", "model=mlp", "--set", "hidden_dims=8", "--set",
    f"lr={','.join(f'{0.001 + 0.00001 * n:.5f}' for n in range(TRIALS))}", "--seeds", "1", "--epochs", "1",
    "--scheduler", "fifo", "--no-measure", "--no-report",
]  # fmt: skip
SHOW = """
import sys
from sweeps.show import app
app(["latest", "--storage", sys.argv[1]], standalone_mode=False)
print([name for name in ("torch", "ray", "pandas", "sklearn", "matplotlib") if name in sys.modules])
"""


def test_a_thousand_trials(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sweeps.run", *SWEEP, "--storage", str(tmp_path)]
    with (tmp_path / "output").open("w") as output:
        driver = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
        memory, files = watch(driver, tmp_path)
    assert driver.returncode == 0, (tmp_path / "output").read_text()[-2000:]
    run = only_run(tmp_path)
    events = Counter(event["event"] for event in read_ledger(run.ledger))
    assert events == {"planned": TRIALS, "started": TRIALS, "epoch": TRIALS, "checkpoint": TRIALS, "completed": TRIALS}
    assert table.read_arrow(run.trials_table).num_rows == TRIALS
    quarter = len(memory) // 4
    assert max(memory[-quarter:]) < max(memory[:quarter]) + 200 * 2**20  # all rows, and what Tune keeps of each trial
    assert max(files[-quarter:]) < max(files[:quarter]) + 30
    began = time.monotonic()
    shown = subprocess.run(
        [sys.executable, "-c", SHOW, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    print(f"sweeps.show took {time.monotonic() - began:.2f} s")
    assert f"{TRIALS}/{TRIALS}" in shown.stdout
    assert shown.stdout.splitlines()[-1] == "[]"  # what takes seconds to import is not


def watch(driver: subprocess.Popen[bytes], storage: Path) -> tuple[list[int], list[int]]:
    """Resident memory and open files of the driver, from its first trial's end to its last."""
    memory, files, deadline = [], [], time.monotonic() + DEADLINE
    process, first = psutil.Process(driver.pid), TRIALS * 1150  # bytes of the plan and some more
    while driver.poll() is None:
        assert time.monotonic() < deadline
        try:
            if any(path.stat().st_size > first for path in storage.glob("*/*/ledger.jsonl")):
                memory.append(process.memory_info().rss)
                files.append(process.num_fds())
        except psutil.Error:  # it has just ended
            break
        time.sleep(0.2)  # between two looks
    driver.wait(DEADLINE)
    return memory, files
