"""The main job, end to end: a small sweep from the command line, undisturbed, interrupted and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import from_numpy, no_grad, softmax

from analysis import table
from analysis.complexity import lmc, read_tensors, sample_entropy
from analysis.runs.run_folder import RunFolder, TrialFolder
from sweeps.record.ledger import read_ledger
from tests.conftest import ROOT
from trainables.config import make_config
from trainables.data.datasets import load
from trainables.network.build import build_model

pytestmark = pytest.mark.slow
SWEEP = [
    "activations", "--set", "model=cnn", "--set", "activation=relu,tanh", "--set", "lr=0.01,0.001", "--seeds", "2",
    "--epochs", "4", "--scheduler", "fifo", "--quiet", "--no-report",
]  # fmt: skip
DEADLINE = 240  # seconds; a start of Ray took 8 on one day and 40 on another
# what two equal runs differ in; a trial's folder is named by when its run began
VOLATILE = ["run_id", "folder", "train_seconds", "eval_seconds", "images_per_second", "peak_memory_mb", "attempts"]


def command(storage: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "sweeps.run", *SWEEP, "--storage", str(storage), *more]


def finish(storage: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(storage, *more), cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE)


def only_run(storage: Path) -> RunFolder:
    (path,) = (path.parent for path in storage.glob("*/*/run.json"))
    return RunFolder(path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    storage = tmp_path_factory.mktemp("undisturbed")
    done = finish(storage)
    assert done.returncode == 0, done.stderr
    assert "relu" in done.stdout
    assert "tanh" in done.stdout
    return only_run(storage)


def test_one_row_per_trial_and_replicate_and_none_empty(undisturbed: RunFolder) -> None:
    rows = pd.read_parquet(undisturbed.trials_table)
    assert len(rows) == 2 * 2 * 2
    assert set(rows["status"]) == {"completed"}
    due = [name for name, column in table.columns("trials").items() if not column.null]
    assert rows[due].isna().sum().sum() == 0
    epochs = pd.read_parquet(undisturbed.epochs_table)
    assert len(epochs) == 8 * 4
    assert epochs.groupby(["trial_id", "seed"])["epoch"].apply(list).map(lambda e: e == [1, 2, 3, 4]).all()


def test_run_json_says_how_replicates_were_trained(undisturbed: RunFolder) -> None:
    choices = list(undisturbed.read_description()["fused"].values())
    short = {"fused": False, "reason": "too few steps to measure", "apart": None, "together": None}
    # a network of each activation
    assert choices == [short, short]


def test_auc_and_acc_are_those_of_scikit_learn_on_the_saved_weights(undisturbed: RunFolder) -> None:
    """An own path from file to score: load, normalise, predict, softmax, scikit-learn."""
    data = load("digits")
    pixels = data.splits["train"].images / 255
    for row in pd.read_parquet(undisturbed.trials_table).to_dict("records"):
        folder = trial_folder(undisturbed, row["trial_key"])
        config = make_config(json.loads(folder.run_stats.read_text())["config"])
        model = build_model(config, data.info).eval()
        model.load_state_dict(load_file(folder.best_model(row["seed"])))
        for split in ("train", "val", "test"):
            part = data.splits[split]
            inputs = ((part.images / 255 - pixels.mean()) / pixels.std()).transpose(0, 3, 1, 2)
            with no_grad():
                scores = softmax(model(from_numpy(inputs).float()), dim=1).numpy()
            one_hot = np.eye(data.info.n_classes)[part.labels]
            assert row[f"{split}_auc"] == pytest.approx(roc_auc_score(one_hot, scores, average="macro"), abs=1e-6)
            assert row[f"{split}_acc"] == pytest.approx((scores.argmax(1) == part.labels).mean(), abs=1e-6)


def trial_folder(run: RunFolder, key: str) -> TrialFolder:
    (path,) = run.trials.glob(f"*_{key}")
    return TrialFolder(path)


def test_every_trial_has_its_files(undisturbed: RunFolder) -> None:
    for path in undisturbed.trials.iterdir():
        found = {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()}
        models = {f"seed_{s}/{m}_model.safetensors" for s in (0, 1) for m in ("initial", "best", "final")}
        assert {"run_stats.json", "training_curves.png", "weight_distributions.png", *models} <= found
        assert not list(path.glob("attempt-*"))


def test_complexity_is_that_of_the_saved_tensors(undisturbed: RunFolder) -> None:
    rows = pd.read_parquet(undisturbed.weights_table)
    assert set(rows["stage"]) == {"initial", "best", "final"}
    row = rows[(rows["stage"] == "best") & (rows["module_type"] == "Conv2d")].iloc[-1]
    tensors, _ = read_tensors(trial_folder(undisturbed, row["trial_key"]).best_model(row["seed"]))
    assert row["sample_entropy"] == pytest.approx(sample_entropy(tensors[row["tensor"]]), abs=1e-12)
    assert row["lmc"] == pytest.approx(lmc(tensors[row["tensor"]]), abs=1e-12)


def test_the_model_level_measure_is_the_mean_over_matrices_weighted_by_size(undisturbed: RunFolder) -> None:
    weights = pd.read_parquet(undisturbed.weights_table).query("stage == 'best'")
    weights = weights[weights["shape"].map(len) >= 2]
    size = weights["shape"].map(lambda shape: float(np.prod(shape)))
    weighted = (weights["lmc"] * size).groupby([weights["trial_id"], weights["seed"]]).sum()
    expected = weighted / size.groupby([weights["trial_id"], weights["seed"]]).sum()
    found = pd.read_parquet(undisturbed.trials_table).set_index(["trial_id", "seed"])["lmc"]
    pd.testing.assert_series_equal(found.sort_index(), expected.sort_index(), check_names=False)


def test_tensorboard_reads_the_curves(undisturbed: RunFolder) -> None:
    events = EventAccumulator(str(next(undisturbed.tensorboard.glob("*/seed_1"))))
    events.Reload()
    curves = {f"{split}/{name}" for split in ("train", "val", "test") for name in ("loss", "auc", "acc")}
    assert set(events.Tags()["scalars"]) == {*curves, "lr", "images_per_second"}
    assert [scalar.step for scalar in events.Scalars("val/auc")] == [1, 2, 3, 4]


def test_run_json_says_what_made_the_run(undisturbed: RunFolder) -> None:
    about = undisturbed.read_description()
    assert about["roles"]["scientific"] == {"activation": ["relu", "tanh"]}
    assert about["datasets"] == {"digits": load("digits").digest}
    assert {"command", "git", "code_digest", "versions", "hardware"} <= set(about["provenance"])


def test_show_prints_one_json_document(undisturbed: RunFolder) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "sweeps.show", str(undisturbed.path), "--json"], cwd=ROOT, capture_output=True, text=True
    )
    assert len(json.loads(shown.stdout)["trials"]) == 8


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)  # between two looks at the ledger


def epochs_in(storage: Path) -> int:
    return sum(
        event["event"] == "epoch" for ledger in storage.glob("*/*/ledger.jsonl") for event in read_ledger(ledger)
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_run_that_is_killed_and_resumed_gives_the_same_tables(
    undisturbed: RunFolder, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    process = subprocess.Popen(
        command(tmp_path), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    wait_for(lambda: epochs_in(tmp_path) >= 3, process)
    os.kill(process.pid, number)
    out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == code, err
    if number is not signal.SIGKILL:
        assert "--resume" in out
        assert (only_run(tmp_path).trials_table).exists()
    assert pd.read_parquet(undisturbed.trials_table).shape[0] == 8
    resumed = finish(tmp_path, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    for file in ("trials_table", "epochs_table", "weights_table"):
        expected, found = (
            pd.read_parquet(getattr(run, file)).drop(columns=VOLATILE, errors="ignore")
            for run in (undisturbed, only_run(tmp_path))
        )
        pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_a_finished_run_is_not_touched_by_a_resume(undisturbed: RunFolder) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.trials.rglob("*") if path.is_file()}
    done = finish(undisturbed.path.parent.parent, "--resume")
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
