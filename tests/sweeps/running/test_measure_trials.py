"""A trial's weights are visited once after its training."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from analysis.runs.run_folder import RunFolder
from analysis.weights.files import read_tensors
from sweeps.record.history import QUALITIES
from sweeps.record.state import TrialState
from sweeps.running import after_training
from sweeps.running.after_training import Shared, measure_trial
from tests.support.trained_run import train_run
from trainables.config import make_config
from trainables.data.datasets import load


def trained_trial(folder: Path) -> tuple[RunFolder, TrialState]:
    """A trial of two replicates with initial, best and final weights, and an epoch in its history."""
    config = make_config({"model": "mlp", "hidden_dims": (4,), "epochs": 1, "seeds": (0, 1)})
    run = train_run(folder / "s" / "r", load("digits"), [config.model_dump(mode="json")])
    (made,) = run.trials.iterdir()
    for best in made.glob("*/best_model.safetensors"):
        for stage in ("initial", "final"):
            shutil.copy(best, best.with_name(f"{stage}_model.safetensors"))
    trial = TrialState("0001", "key0001", made.name, config.model_dump(mode="json"), 1, 1, status="completed")
    trial.history.append(1, [{"is_best": True, "val_auc": 0.5}] * 2)
    trial.means.append({"val_auc": 0.5})
    return run, trial


def test_each_weights_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, trial = trained_trial(tmp_path)
    reads: Counter[str] = Counter()

    def read(path: Path) -> Any:
        reads[path.relative_to(run.path).as_posix()] += 1
        return read_tensors(path)

    monkeypatch.setattr(after_training, "read_tensors", read)
    epoch = {"epoch": 1, "lr_used": 0.1, **dict.fromkeys(QUALITIES, 0.5)}
    rows = measure_trial(Shared(run, {"question": "?"}, ("dataset", "lr"), True), trial, [[epoch] * 2], None)
    files = [path.relative_to(run.path).as_posix() for path in run.trials.glob("*/*/*_model.safetensors")]
    assert len(files) == 6
    assert reads == dict.fromkeys(files, 1)
    assert set(rows["stage"].to_pylist()) == {"initial", "best", "final"}
    made = run.trial(trial.folder)
    assert made.training_curves.is_file()
    assert made.weight_distributions.is_file()
    assert json.loads(made.run_stats.read_text())["layers"]["images"] > 0
