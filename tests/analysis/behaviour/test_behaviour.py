"""Activations and sharpness against numpy and against models whose answer is known."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from analysis import table
from analysis.behaviour import layer_statistics as module
from analysis.behaviour.layer_statistics import IMAGES, layer_statistics
from analysis.behaviour.layers import activations, measure_behaviour, sharpness, with_validation_split
from analysis.behaviour.measure_run import measure_run_on_data
from analysis.complexity import app
from analysis.runs.run_folder import RunFolder
from tests.support.made_results import make_run
from tests.whole.test_resume import write_images
from trainables.config import TrialConfig
from trainables.data.arrays import SPLITS, Data, make_data
from trainables.data.batches import DeviceSplit, batches, to_device
from trainables.data.datasets import load
from trainables.data.normalization import Normalization
from trainables.errors import InputError
from trainables.models import module_types
from trainables.network.build import build_model
from trainables.training.checkpoint import save_weights, weights_metadata
from trainables.training.evaluation import evaluate

CONFIG = TrialConfig(model="mlp", hidden_dims=(12, 6), activation="relu")
NORMALIZATION = Normalization((0.3,), (0.4,))


@pytest.fixture(scope="module")
def data() -> Data:
    return load("digits")


@pytest.fixture
def split(data: Data) -> DeviceSplit:
    return to_device(data, NORMALIZATION, torch.device("cpu"))["val"]


def save_trained(path: Path, data: Data, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    model = build_model(CONFIG, data.info)
    metadata = weights_metadata(CONFIG, data, NORMALIZATION, module_types(model), seed)
    save_weights(path, model.state_dict(), metadata, 3)
    return model.eval()


def outputs(model: nn.Module, split: DeviceSplit) -> np.ndarray[Any, Any]:
    with torch.no_grad():
        return np.concatenate([model(inputs).numpy() for inputs, _ in batches(split, 64)]).astype(np.float64)


def test_activations_are_those_that_numpy_counts(split: DeviceSplit) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU())
    with torch.no_grad():
        model[1].bias[:3] = -1e6  # three units that no image moves
    x = outputs(model, split)
    row = next(row for row in activations(model, split) if row["module_type"] == "ReLU")
    p = np.histogram(x, 100)[0] / x.size
    assert row["units"] == 20
    assert row["activation_sparsity"] == (x == 0).mean()
    assert row["activation_dead"] == pytest.approx((x == 0).all(axis=0).mean())
    assert row["activation_dead"] >= 3 / 20
    assert row["activation_entropy"] == pytest.approx(-(p[p > 0] * np.log(p[p > 0])).sum() / math.log(100), rel=1e-9)
    n = math.sqrt(x.size)
    assert row["activation_hoyer"] == pytest.approx((n - np.abs(x).sum() / np.linalg.norm(x)) / (n - 1), rel=1e-6)


@pytest.mark.parametrize(
    ("layer", "units"),
    [
        (nn.Conv2d(1, 5, 3), 5),
        (nn.Sequential(nn.Flatten(2), nn.Linear(64, 7)), 7),  # tokens: the last axis holds the units
    ],
)
def test_units_are_channels_of_images_and_the_last_axis_of_tokens(
    split: DeviceSplit, layer: nn.Module, units: int
) -> None:
    assert activations(nn.Sequential(layer), split)[-1]["units"] == units


def test_a_layer_that_says_nothing_has_no_entropy(split: DeviceSplit) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Threshold(1e9, 0.0))
    row = activations(model, split)[-1]
    assert math.isnan(row["activation_entropy"])
    assert math.isnan(row["activation_hoyer"])
    assert (row["activation_sparsity"], row["activation_dead"]) == (1.0, 1.0)


def test_sharpness_is_the_rise_along_rows_of_equal_length(split: DeviceSplit, data: Data) -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    before = copy.deepcopy(model.state_dict())
    found = sharpness(model, split, data.info, directions=2, radius=0.1)
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in before)
    generator = torch.Generator().manual_seed(0)
    rises = []
    for _ in range(2):
        move = torch.randn(10, 64, generator=generator).numpy()
        weights = before["1.weight"].numpy()
        move *= 0.1 * np.linalg.norm(weights, axis=1, keepdims=True) / np.linalg.norm(move, axis=1, keepdims=True)
        losses = []
        for sign in (1, -1, 0):
            moved = copy.deepcopy(model)
            moved[1].weight.data = torch.from_numpy(weights + sign * move)
            losses.append(evaluate(moved, split, data.info).loss)
        rises.append((losses[0] + losses[1]) / 2 - losses[2])
    assert found["sharpness"] == pytest.approx(np.mean(rises), abs=1e-6)
    assert found["sharpness_max"] == pytest.approx(np.max(rises), abs=1e-6)


def test_a_flat_loss_has_no_sharpness_and_a_minimum_has(split: DeviceSplit, data: Data) -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Threshold(1e9, 0.0)).eval()
    assert sharpness(flat, split, data.info) == {"sharpness": 0.0, "sharpness_max": 0.0}
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    inputs, labels = next(batches(split, 10_000))
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    found = sharpness(model.eval(), split, data.info)
    assert 0 < found["sharpness"] <= found["sharpness_max"]


def test_a_file_is_enough_to_rebuild_its_model(tmp_path: Path, data: Data, split: DeviceSplit) -> None:
    trained = save_trained(tmp_path / "best_model.safetensors", data)
    model, found, info = with_validation_split(tmp_path / "best_model.safetensors")
    np.testing.assert_array_equal(outputs(model, found), outputs(trained, split))
    assert info.n_classes == 10
    rows, whole = measure_behaviour(tmp_path / "best_model.safetensors")
    relu = [row["activation_sparsity"] for row in rows if row["module_type"] == "ReLU"]
    assert len(relu) == 2
    assert whole["activation_sparsity"] == pytest.approx(np.mean(relu))


def test_data_that_were_moved_are_found_where_a_resume_found_them(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    write_images(here, 0)
    config = CONFIG.model_copy(update={"dataset": f"folder:{here}", "image_size": 8})
    data = load(config.dataset, 8)
    made = make_run(
        tmp_path / "s" / "r", {"activation": ["relu"]}, {}, lambda c, s, e: 0.8, seeds=1,
        fixed={"dataset": f"folder:{there}"},
    )  # fmt: skip
    made.description.write_text(json.dumps({"question": "?", "metric": "val_auc", "mode": "max", "roles": {}}))
    path = made.trials / f"x_{table.read(made.trials_table)['trial_key'][0]}" / "seed_0" / "best_model.safetensors"
    model = build_model(config, data.info)
    save_weights(path, model.state_dict(), weights_metadata(config, data, NORMALIZATION, module_types(model), 0), 3)
    here.rename(there)
    assert measure_run_on_data(made).problems == []
    assert layer_statistics(path, dataset=f"folder:{there}")["images"] > 0
    with pytest.raises(InputError, match="here"):
        layer_statistics(path)


def test_weights_of_unknown_origin_are_refused(tmp_path: Path, data: Data) -> None:
    save_weights(tmp_path / "a.safetensors", {"w": torch.ones(2)}, {}, 0)
    with pytest.raises(InputError, match="does not say how it was trained"):
        with_validation_split(tmp_path / "a.safetensors")
    save_trained(tmp_path / "b.safetensors", data)
    content = (tmp_path / "b.safetensors").read_bytes()
    (tmp_path / "b.safetensors").write_bytes(content.replace(data.digest.encode(), b"0" * len(data.digest)))
    with pytest.raises(InputError, match="is not the data"):
        with_validation_split(tmp_path / "b.safetensors")


def test_layer_statistics_are_over_the_same_share_of_each_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder's splits stand class by class: of 1,080 images the first 512 would be of one class."""
    grey = {0: 20, 1: 200}
    labels = np.repeat([0, 1], [720, 360])
    images = np.array([grey[label] for label in labels], np.uint8)[:, None, None, None].repeat(8, 1).repeat(8, 2)
    made = make_data("made", "multi-class", ("a", "b"), dict.fromkeys(SPLITS, (images, labels)))
    save_trained(tmp_path / "best_model.safetensors", made)
    seen: list[np.ndarray[Any, Any]] = []
    measure = module.activation_statistics

    def look(model: nn.Module, split: DeviceSplit) -> dict[str, Any]:
        seen.append(split.labels.numpy())
        return measure(model, split)

    monkeypatch.setattr(module, "activation_statistics", look)
    found = layer_statistics(tmp_path / "best_model.safetensors", data=made)
    assert found["images"] == len(seen[0]) <= IMAGES
    assert np.bincount(seen[0]).tolist() == pytest.approx([IMAGES * 2 / 3, IMAGES / 3], abs=1)


@pytest.fixture
def run(tmp_path: Path, data: Data) -> RunFolder:
    made = make_run(tmp_path / "s" / "r", {"activation": ["relu"]}, {}, lambda c, s, e: 0.8, seeds=2)
    about = {"question": "?", "metric": "val_auc", "mode": "max", "roles": {}}
    (made.path / "run.json").write_text(json.dumps(about))
    for row in table.read(made.trials_table).to_dict("records"):
        place = made.trials / f"x_{row['trial_key']}" / f"seed_{row['seed']}"
        save_trained(place / "best_model.safetensors", data, row["seed"])
    return made


def test_a_run_is_measured_on_its_data_once(run: RunFolder) -> None:
    assert measure_run_on_data(run).replicates == 2
    assert measure_run_on_data(run).replicates == 0
    assert measure_run_on_data(run, again=True).replicates == 2
    rows = table.read(run.activations_table, "activations")
    assert rows["layer"].eq("").sum() == 2
    assert rows[rows["layer"] != ""]["sharpness"].isna().all()
    trials = table.read(run.trials_table)
    whole = rows[rows["layer"] == ""]
    assert trials["sharpness"].tolist() == whole["sharpness"].tolist()
    assert trials["activation_entropy"].between(0, 1).all()


def test_the_command_asks_for_it(run: RunFolder) -> None:
    done = CliRunner().invoke(app, [str(run.path), "--measures", "lmc", "--on-data", "--workers", "1"])
    assert done.exit_code == 0, done.output
    assert "2 models on their data" in done.output
    assert table.read(run.trials_table)["sharpness"].notna().all()  # weights measured later leave them as they are
    CliRunner().invoke(app, [str(run.path), "--measures", "lmc", "--again", "--workers", "1"])
    assert table.read(run.trials_table)["sharpness"].notna().all()
