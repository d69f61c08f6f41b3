"""The examples of docs/training.md run from an empty folder; a killed sweep of one equals an undisturbed one."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pytest

from sweeps.record.ledger import read_ledger
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "training.md"
TIMES = ("train_seconds", "peak_memory_mb", "attempts", "folder", "run_id", "trial_key", "gpu_percent")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with the page's examples."""
    made = tmp_path_factory.mktemp("own")
    for name, text in re.findall(r"`(my_\w+\.py)`\..*?```python\n(.*?)```", PAGE.read_text(), re.S):
        assert len([line for line in text.splitlines() if line.strip()]) <= 30
        (made / name).write_text(text)
    return made


def run(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "sweeps.run", *words], cwd=folder, capture_output=True, text=True, timeout=600,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "140"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_grid_of_scikit_learn(folder: Path) -> None:
    assert "9/9 trials ended (9 completed)" in run(folder, "my_svm.py", "--name", "svm")
    path = folder / "results" / "my_svm" / "svm"
    table = pd.read_parquet(path / "trials.parquet")
    assert len(table) == 27
    assert {"kernel", "C", "val_acc", "final_test_acc", "seed"} <= set(table)
    assert {"model", "lr", "val_auc", "macs"}.isdisjoint(table)
    assert table.groupby("kernel")["val_acc"].max().min() > 0.95
    assert "Which kernel suits the digits" in (path / "report.html").read_text()
    curves = next(path.glob("trials/*/training_curves.png"))
    assert curves.stat().st_size > 1000


def test_a_regression_that_is_killed_goes_on_and_equals_one_that_was_not(folder: Path) -> None:
    words = ("my_regression.py", "--epochs", "27", "--max-concurrent", "1", "--no-report")
    run(folder, *words, "--name", "whole")
    with subprocess.Popen(
        [sys.executable, "-m", "sweeps.run", *words, "--name", "killed"], cwd=folder, stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL,
    ) as driver:  # fmt: skip
        ledger = folder / "results" / "my_regression" / "killed" / "ledger.jsonl"
        while not ledger.exists() or sum(event["event"] == "epoch" for event in read_ledger(ledger)) < 40:
            assert driver.poll() is None
            time.sleep(0.1)
        os.kill(driver.pid, signal.SIGKILL)
    out = run(folder, *words, "--resume", "killed")
    assert "to go on with" in out
    tables = [pd.read_parquet(ledger.parents[1] / name / "trials.parquet") for name in ("whole", "killed")]
    keys = ["trial_id", "seed"]
    whole, killed = (table.drop(columns=list(TIMES)).sort_values(keys, ignore_index=True) for table in tables)
    pd.testing.assert_frame_equal(whole, killed)
    assert whole["lmc"].notna().all()


def test_unlike_runs_read_as_one_dataset(folder: Path) -> None:
    files = [str(folder / "results" / sweep / name / "trials.parquet") for sweep, name in
             (("my_svm", "svm"), ("my_regression", "whole"))]  # fmt: skip
    rows = sum(len(pd.read_parquet(file)) for file in files)
    query = f"select count(*), count(kernel), count(width) from read_parquet({files}, union_by_name=true)"
    assert duckdb.sql(query).fetchall() == [(rows, 27, rows - 27)]
    joined = pl.concat([pl.read_parquet(file) for file in files], how="diagonal_relaxed")
    assert (len(joined), joined["kernel"].null_count()) == (rows, rows - 27)
