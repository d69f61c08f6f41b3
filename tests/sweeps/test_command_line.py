"""Bad input from the command line: exit code 2, one line on stderr that says what to do, no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT


def call(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["sweeps.run", "activatons"], "did you mean 'activations'"),
        (["sweeps.run", "nowhere.py"], "is not a file"),
        (["sweeps.run", "activations", "--dataset", "brestmnist"], "did you mean 'breastmnist'"),
        (["sweeps.run", "activations", "--set", "activation=relo"], "did you mean 'relu'"),
        (["sweeps.run", "activations", "--set", "lerning_rate=1"], "unknown field"),
        (["sweeps.run", "activations", "--set", "lr=-1"], "lr"),
        (["sweeps.run", "activations", "--epochs", "0"], "epochs"),
        (["sweeps.run", "activations", "--metric", "test_auc"], "nothing is ever selected by"),
        (["sweeps.run", "activations", "--scheduler", "ashaa"], "did you mean 'asha'"),
        (["sweeps.run", "activations", "--gpus-per-trial", "many"], "a number, or auto"),
        (["sweeps.run", "activations", "--storage", "/proc/nowhere"], "choose another --storage"),
        (["sweeps.run", "activations", "--dataset", "breastmnist", "--data-root", "/proc/nowhere"], "--dataset digits"),
        (["sweeps.run", "activations", "--resume", "no-such-run"], "no run 'no-such-run'"),
        (["sweeps.show", "no-such-run"], "no run 'no-such-run'"),
        (["sweeps.list", "datsets"], "did you mean 'datasets'"),
    ],
)
def test_bad_input_ends_with_one_line_and_code_2(words: list[str], complaint: str) -> None:
    done = call(*words)
    assert done.returncode == 2, done.stderr
    assert complaint in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
@pytest.mark.parametrize(("words", "code"), [("sweeps.list metrics", 0), ("sweeps.show nosuch", 2)])
def test_a_closed_output_changes_no_exit_code(closed: str, words: str, code: int) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m {words} {closed}"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_a_current_folder_that_was_removed_is_said(tmp_path: Path) -> None:
    line = (
        f"mkdir {tmp_path}/gone && cd {tmp_path}/gone && rmdir {tmp_path}/gone && {sys.executable} -m sweeps.list runs"
    )
    path = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=120, env=path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the current folder cannot be read (No such file or directory): cd to")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "breastmnist.npz").write_bytes(b"PK\x03\x04 not all of it")
    done = call("sweeps.run", "activations", "--dataset", "breastmnist", "--data-root", str(tmp_path))
    assert done.returncode == 2
    assert "breastmnist.npz" in done.stderr
    assert "damaged" in done.stderr


@pytest.mark.parametrize("module", ["sweeps.run", "sweeps.list", "sweeps.show"])
def test_help_has_an_example(module: str) -> None:
    done = call(module, "--help")
    assert done.returncode == 0
    assert f"python -m {module}" in done.stdout


def test_a_dry_run_starts_nothing(tmp_path: Path) -> None:
    done = call("sweeps.run", "activations", "--dry-run", "--storage", str(tmp_path / "results"))
    assert done.returncode == 0, done.stderr
    assert "48 trials" in done.stdout
    assert not (tmp_path / "results").exists()


def test_lists_are_one_json_document() -> None:
    lists = json.loads(call("sweeps.list", "--json").stdout)
    assert {"sweeps", "datasets", "models", "activations", "schedules"} <= set(lists)
    assert len(lists["activations"]) >= 20
    assert all(row["question"] for row in lists["sweeps"])
    assert np.all([row["licence"] for row in lists["datasets"]])


ENDING = """
import atexit, sys, threading, typer
from analysis.command_line import start
app = typer.Typer()

@app.command()
def main(code: int) -> None:
    atexit.register(print, "at exit")
    threading.Thread(target=lambda: (threading.main_thread().join(), print("thread"))).start()
    print("command")
    sys.exit(code)

start(app)
"""


@pytest.mark.parametrize("code", [0, 3])
def test_a_command_ends_as_python_does(code: int) -> None:
    """It skips the freeing of objects, and nothing else: threads, exit functions, what is still to be written."""
    ended = subprocess.run([sys.executable, "-c", ENDING, str(code)], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == code, ended.stderr
    assert ended.stdout.split("\n") == ["command", "thread", "at exit", ""]
