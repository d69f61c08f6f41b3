"""Weights kept along training: written by a sweep, measured by `--every`, drawn by the report."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pytest
from safetensors.numpy import load_file

from analysis.comparison.results import load
from analysis.complexity import lmc
from analysis.figures.complexity import complexity_along_training
from analysis.runs.run_folder import RunFolder
from analysis.weights.files import read_epoch
from tests.conftest import ROOT
from trainables.config import make_config
from trainables.errors import InputError

pytestmark = pytest.mark.slow
DEADLINE = 240  # seconds


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    storage = tmp_path_factory.mktemp("along")
    options = ("--set", "save_every=2", "--set", "activation=relu", "--epochs", "5", "--quiet")
    done = call("sweeps.run", "smoke", *options, "--storage", str(storage))
    assert done.returncode == 0, done.stderr
    (path,) = (path.parent for path in storage.glob("*/*/run.json"))
    return RunFolder(path)


def test_every_second_epoch_is_kept_as_it_was(run: RunFolder) -> None:
    (place,) = run.trials.glob("*/seed_0")
    kept = sorted(place.glob("epoch_*"))
    assert [path.name for path in kept] == ["epoch_0002_model.safetensors", "epoch_0004_model.safetensors"]
    assert [read_epoch(path) for path in kept] == [2, 4]
    weights = [load_file(path)["0.0.weight"] for path in (*kept, place / "final_model.safetensors")]
    assert not (weights[0] == weights[1]).all()
    assert not (weights[1] == weights[2]).all()
    best = place / "best_model.safetensors"
    if read_epoch(best) in (2, 4):
        assert (load_file(best)["0.0.weight"] == weights[read_epoch(best) // 2 - 1]).all()


def test_they_are_measured_and_drawn(run: RunFolder) -> None:
    done = call("analysis.complexity", str(run.path), "--every", "2", "--workers", "1")
    assert done.returncode == 0, done.stderr
    rows = pd.read_parquet(run.weights_table)
    epochs = rows.groupby("stage")["epoch"].unique().map(list).to_dict()
    assert {stage: epochs[stage] for stage in epochs if stage != "best"} == {
        "initial": [0], "epoch_0002": [2], "epoch_0004": [4], "final": [5],
    }  # fmt: skip
    (place,) = run.trials.glob("*/seed_0")
    tensors = load_file(place / "epoch_0004_model.safetensors")
    found = rows[rows["stage"] == "epoch_0004"].set_index("tensor")["lmc"]
    for name in ("0.0.weight", "0.8.weight", "1.3.weight"):
        assert found[name] == pytest.approx(lmc(tensors[name].ravel()), abs=1e-12)

    lines = complexity_along_training(load([run])).axes[0].get_lines()
    assert [list(line.get_xdata()) for line in lines] == [[0.0, 2.0, 4.0]]
    done = call("analysis.report", str(run.path))
    assert done.returncode == 0, done.stderr
    assert (run.path / "figures" / "along_training.png").stat().st_size > 0


def test_other_steps_find_nothing_and_say_what_to_do(run: RunFolder) -> None:
    done = call("analysis.complexity", str(run.path), "--every", "3")
    assert done.returncode == 2
    assert "no weights by epoch: leave out --every, or train with --set save_every=3" in " ".join(done.stderr.split())


def test_more_than_all_epochs_is_refused() -> None:
    with pytest.raises(InputError, match="save_every=9 keeps nothing of 5 epochs"):
        make_config({"epochs": 5, "save_every": 9})
