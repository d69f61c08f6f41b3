"""python -m tests.support.keep_runs WHEEL: keep small run folders that the version in a wheel writes.

They go into `tests/support/runs_of_<version>/`: `tests/whole/test_old_runs.py` reads them with every later version.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import pyarrow.parquet as pq

SMALL = ("smoke", "--set", "model=mlp", "--set", "hidden_dims=8", "--seeds", "2", "--no-report")
FINISHED = (*SMALL, "--name", "finished")
INTERRUPTED = (
    *SMALL, "--set", "activation=relu,tanh,gelu", "--set", "lr=0.01,0.001", "--epochs", "8", "--scheduler", "asha",
    "--max-concurrent", "1", "--name", "interrupted",
)  # fmt: skip
FUNCTION = ("parabola.py", "--name", "function", "--no-report")
PARABOLA = """from ray import tune

from sweeps import Sweep


def train(config, trial):
    for epoch in trial.epochs(3):
        trial.save({"epoch": epoch})
        yield {"val_loss": (config["x"] - 1) ** 2 + 1 / epoch + trial.seed / 100}


SWEEP = Sweep(
    question="Where is the lowest point?",
    trainable="parabola.py:train",
    scientific={"x": tune.grid_search([0.5, 1.0])},
    metric="val_loss",
    scheduler="fifo",
    seeds=(0, 1),
)
"""
LEFT_OUT = ("*.png", "run.log", ".lease", "tensorboard")


def keep(wheel: Path) -> Path:
    """Write the run folders of a wheel's version, which must not be there; return their folder."""
    target = Path(__file__).parent / f"runs_of_{wheel.name.split('-')[1].replace('.', '_')}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        zipfile.ZipFile(wheel).extractall(folder / "program")
        (folder / "parabola.py").write_text(PARABOLA)
        for words in (FINISHED, FUNCTION):
            assert _begin(folder, words).wait() == 0
        _interrupt(_begin(folder, INTERRUPTED), folder / "results" / "smoke" / "interrupted" / "ledger.jsonl")
        shutil.copytree(folder / "results", target, ignore=shutil.ignore_patterns(*LEFT_OUT))
        _without_place(target, str(folder / "program") + "/")
    return target


def _begin(folder: Path, words: tuple[str, ...]) -> subprocess.Popen[bytes]:
    """Start a sweep in a folder; paths in its run are relative to it."""
    environment = {**os.environ, "PYTHONPATH": str(folder / "program")}
    return subprocess.Popen([sys.executable, "-m", "sweeps.run", *words], cwd=folder, env=environment)


def _without_place(target: Path, place: str) -> None:
    """Take the folder in which the program lay out of the command that each run keeps."""
    for file in target.rglob("*.json"):
        file.write_text(file.read_text().replace(place, ""))
    for file in target.rglob("*.parquet"):
        rows = pq.read_table(file)
        about = {key: text.replace(place.encode(), b"") for key, text in rows.schema.metadata.items()}
        pq.write_table(rows.replace_schema_metadata(about), file, compression="zstd")


def _interrupt(process: subprocess.Popen[bytes], ledger: Path) -> None:
    """Press Ctrl-C while the second trial is trained."""
    while process.poll() is None:
        events = [json.loads(line) for line in ledger.read_text().splitlines()] if ledger.exists() else []
        ended = [n for n, event in enumerate(events) if event["event"] == "completed"]
        if ended and any(event["event"] == "epoch" for event in events[ended[0] :]):
            process.send_signal(signal.SIGINT)
            break
        time.sleep(0.02)
    assert process.wait() == 130, "it ended before it was interrupted: try again"


if __name__ == "__main__":
    print(keep(Path(sys.argv[1]).resolve()))
