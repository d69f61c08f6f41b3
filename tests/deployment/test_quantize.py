"""Quantised networks: 8-bit weights, the grid of quantisation-aware training, figures, files that open as others."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn
from typer.testing import CliRunner

from deployment.formats.opening import open_artefact
from deployment.quantization.aware_training import RoundedInput, RoundedWeights, off_the_grid, on_the_grid, train_aware
from deployment.quantize import MODES, app, calibration_images, write_quantized
from deployment.trial_network.network import DeployedNetwork
from tests.support.deployed import drawn_network, made_data
from trainables.errors import InputError


@pytest.fixture(scope="module")
def network() -> DeployedNetwork:
    fields = {"model": "cnn", "width": 8, "depth": 2, "batch_size": 32, "lr": 0.001}
    return drawn_network(made_data((12, 12, 1), "multi-class", 3), fields)


@pytest.fixture(scope="module")
def made(network: DeployedNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quantized")
    write_quantized(network, folder, MODES)
    return folder


def test_every_mode_writes_a_file_of_8_bit_weights_that_opens_as_others(network: DeployedNetwork, made: Path) -> None:
    for mode in MODES:
        path = made / f"model_{mode}.onnx"
        weights = [numpy_helper.to_array(one) for one in onnx.load(path).graph.initializer]
        assert sum(one.dtype == np.int8 and one.ndim > 1 for one in weights) == 3
        assert not any(one.dtype == np.float32 and one.ndim > 1 for one in weights)
        artefact = open_artefact(path)
        assert artefact.metadata == network.metadata.model_copy(update={"quantization": mode})
        scores = artefact.predict(network.data.splits["test"].images)
        np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
        # Rounding alone, of weights that were not trained on: qat has learned on.
        assert np.abs(scores - network.test.scores).max() < (0.05 if mode != "qat" else 1)


def test_the_report_has_each_file_beside_the_float_one(made: Path) -> None:
    files = json.loads((made / "quantization.json").read_text())["files"]
    assert [one["name"] for one in files] == ["float32", *MODES]
    assert files[0]["agreement"] == 1
    for one in files:
        low, high = one["agreement_95"]["low"], one["agreement_95"]["high"]
        assert low <= one["agreement"] <= high
        assert one["timing"]["latency_p50"] <= one["timing"]["latency_p95"]
        assert one["acc"]["images"]["low"] <= one["acc"]["value"] <= one["acc"]["images"]["high"]
        assert one["bytes"] == (made / f"model_{one['name']}.onnx").stat().st_size if one["name"] != "float32" else True


def test_a_second_command_keeps_what_the_first_has_made_and_says_what_it_replaces(
    network: DeployedNetwork, tmp_path: Path
) -> None:
    write_quantized(network, tmp_path, ["static"])
    first = json.loads((tmp_path / "quantization.json").read_text())["files"][1]
    other = replace(network, metadata=network.metadata.model_copy(update={"seed": 5}))
    notes: list[str] = []
    write_quantized(other, tmp_path, ["dynamic"], note=notes.append)
    files = json.loads((tmp_path / "quantization.json").read_text())["files"]
    assert [(one["name"], one["seed"]) for one in files] == [("float32", 5), ("dynamic", 5), ("static", 0)]
    assert files[2] == first
    assert not notes
    write_quantized(other, tmp_path, ["static"], note=notes.append)
    assert notes == ["model_static.onnx of seed 0, epoch 1, input normalized is replaced"]
    assert {path.name for path in tmp_path.iterdir()} == {
        "model_dynamic.onnx", "model_static.onnx", "quantization.json"
    }  # fmt: skip


def test_volumes_are_quantised(tmp_path: Path) -> None:
    volumes = drawn_network(made_data((8, 8, 8, 1)), {"model": "cnn3d", "width": 2, "depth": 2})
    found = write_quantized(volumes, tmp_path, ["static"])
    assert found[1].difference < 0.05


def test_weights_are_rounded_as_the_formula_says() -> None:
    weights = torch.randn(5, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    scale = weights.abs().amax(dim=(1, 2, 3), keepdim=True) / 127
    expected = (weights / scale).round() * scale
    torch.testing.assert_close(RoundedWeights()(weights), expected)


def test_inputs_are_rounded_to_256_steps_of_their_range_and_zero_is_exact() -> None:
    rounded = RoundedInput().train()
    values = torch.linspace(-1, 3, 1001)
    found = rounded(torch.cat([values, torch.zeros(1)]))
    assert len(found.unique()) <= 256
    assert found[-1] == 0
    assert float((found[:-1] - values).abs().max()) <= 4 / 255
    rounded.eval()
    assert float(rounded(torch.tensor([100.0]))) == pytest.approx(3, abs=4 / 255)


def test_a_network_off_the_grid_is_plain_and_its_weights_lie_on_it() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 2))
    names, before = set(model.state_dict()), model[0].weight.detach().clone()
    off = off_the_grid(model, on_the_grid(model))
    assert set(off.state_dict()) == names
    weights = off[0].weight.detach()  # type: ignore[index]
    torch.testing.assert_close(weights, RoundedWeights()(before))
    torch.testing.assert_close(RoundedWeights()(weights), weights)


def test_training_on_the_grid_leaves_the_network_alone_and_learns() -> None:
    """Bright and dark images are told apart after some epochs on the grid, as they are not before."""
    data = made_data((8, 8, 1), count=64)
    train = data.splits["train"]
    images = (40 + 160 * train.labels)[:, None, None, None] * np.ones((1, 8, 8, 1), np.int64)
    data = replace(data, splits={**data.splits, "train": replace(train, images=images.astype(np.uint8))})
    fields = {"model": "mlp", "hidden_dims": (8,), "batch_size": 16, "lr": 0.1, "optimizer": "sgd"}
    network = drawn_network(data, fields)
    kept = {name: value.clone() for name, value in network.trained.model.state_dict().items()}
    learned = train_aware(network.trained, data, epochs=10)
    assert all(torch.equal(kept[name], value) for name, value in network.trained.model.state_dict().items())
    inputs = torch.from_numpy(network.metadata.as_input(images.astype(np.uint8)))
    with torch.no_grad():
        assert (learned(inputs).argmax(dim=1).numpy() == train.labels).all()
    assert not learned.training


def test_calibration_takes_training_images_of_every_class(network: DeployedNetwork) -> None:
    assert len(calibration_images(network)) == 70
    large = made_data((4, 4, 1), "multi-class", 3, count=900)
    chosen = calibration_images(replace(network, data=large))
    assert len(chosen) == pytest.approx(256, abs=2)


@pytest.mark.parametrize(
    ("words", "said"),
    [(["none", "--mode", "int4"], "known: dynamic, static, qat, all"),
     (["none", "--mode", "static", "--epochs", "3"], "--epochs has no effect"),
     (["none"], "no run 'none'")],
)  # fmt: skip
def test_bad_input_gets_one_line(words: list[str], said: str) -> None:
    found = CliRunner().invoke(app, words)
    assert isinstance(found.exception, InputError)
    assert said in str(found.exception)
    assert "\n" not in str(found.exception)
