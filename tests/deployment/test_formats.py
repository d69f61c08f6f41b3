"""Exported files: the same probabilities as PyTorch's for every task and family, and metadata that travel inside."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from deployment.export import write_exports
from deployment.formats.opening import open_artefact
from deployment.formats.table import FORMATS
from deployment.model.metadata import ModelMetadata
from deployment.trial_network.network import DeployedNetwork
from tests.support.deployed import drawn_network, made_data
from trainables.data.arrays import MULTI_LABEL, Data
from trainables.errors import InputError

FAMILIES: dict[str, tuple[dict[str, object], Data]] = {
    "2D grey": ({"model": "cnn", "width": 4}, made_data((12, 12, 1))),
    "2D RGB, ordinal": ({"model": "cnn", "width": 4}, made_data((12, 12, 3), "ordinal-regression", 5)),
    "3D": ({"model": "cnn3d", "width": 2, "depth": 2}, made_data((8, 8, 8, 1))),
    "labels": ({"model": "mlp", "hidden_dims": (8,)}, made_data((6, 6, 1), MULTI_LABEL, 4)),
    "residual": ({"model": "resnet", "width": 4}, made_data((16, 16, 1), "multi-class", 3)),
}


def drawn_family(name: str, kind: Literal["normalized", "raw"] = "normalized") -> DeployedNetwork:
    fields, data = FAMILIES[name]
    return drawn_network(data, fields, kind)


@pytest.mark.parametrize(
    ("family", "kind"),
    [(name, "raw" if name in ("2D RGB, ordinal", "3D") else "normalized") for name in FAMILIES],
)
def test_every_file_is_the_same_model_and_says_how_to_use_it(
    family: str, kind: Literal["normalized", "raw"], tmp_path: Path
) -> None:
    network = drawn_family(family, kind)
    found = write_exports(network, tmp_path, ["onnx", "torchexport"])
    assert all(one.holds for one in found.values()), found
    assert json.loads((tmp_path / "export.json").read_text())["metadata"]["input"] == kind
    for suffix in (".onnx", ".pt2"):
        artefact = open_artefact(tmp_path / f"model{suffix}")
        assert artefact.metadata == network.metadata
        np.testing.assert_allclose(
            artefact.predict(network.data.splits["test"].images[:5], 2), network.test.scores[:5], atol=1e-5
        )


class Transformer(nn.Module):
    """PyTorch's encoder over patches with a class token."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 8, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(images), -1, -1), patches], dim=1)
        logits: Tensor = self.head(self.encoder(tokens)[:, 0])
        return logits


def test_a_transformer_is_exported(tmp_path: Path) -> None:
    network = drawn_network(made_data((12, 12, 1), "multi-class", 3), {"model": "mlp"}, model=Transformer())
    found = write_exports(network, tmp_path, ["onnx", "torchexport"])
    assert all(one.holds for one in found.values()), found


class OwnNetwork(nn.Module):
    """A module as a user writes it: a learned token, an einsum, and a size that depends on the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 4))
        self.table = torch.arange(4.0)
        self.mix = nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        rows = images.flatten(2).mean(dim=1)[:, :16].reshape(len(images), 4, 4)
        rows = torch.cat([self.token.expand(images.shape[0], -1, -1), rows], dim=1)
        weights = torch.softmax(torch.einsum("bik,bjk->bij", rows, rows), dim=-1)
        logits: Tensor = self.mix((weights @ rows).mean(dim=1) + self.table)
        return logits


def test_a_module_that_a_user_brought_needs_no_special_case(tmp_path: Path) -> None:
    network = drawn_network(made_data((6, 6, 1), "multi-class", 3), {"model": "mlp"}, "raw", OwnNetwork())
    found = write_exports(network, tmp_path, ["onnx", "torchexport"])
    assert all(one.holds for one in found.values()), found


def test_a_format_that_cannot_hold_it_is_said_and_the_others_are_written(tmp_path: Path) -> None:
    network = drawn_network(made_data((12, 12, 1), "multi-class", 3), {"model": "mlp"}, model=Transformer())
    with pytest.raises(InputError, match=r"TorchScript keeps the size of a batch.*; written: model\.pt2") as found:
        write_exports(network, tmp_path, ["torchexport", "torchscript"])
    assert "\n" not in str(found.value)
    assert {path.name for path in tmp_path.iterdir()} == {"model.pt2", "export.json"}


def test_a_second_export_keeps_what_the_first_has_made(tmp_path: Path) -> None:
    data = made_data((12, 12, 1), "multi-class", 3)
    first = drawn_network(data, {"model": "mlp", "hidden_dims": (4,)})
    write_exports(first, tmp_path, ["onnx", "torchexport"])
    before = (tmp_path / "model.onnx").read_bytes()
    notes: list[str] = []
    other = replace(first, metadata=first.metadata.model_copy(update={"seed": 7}))
    write_exports(other, tmp_path, ["torchexport"], notes.append)
    files = json.loads((tmp_path / "export.json").read_text())["files"]
    assert {name: one["seed"] for name, one in files.items()} == {"onnx": 0, "torchexport": 7}
    assert notes == ["model.pt2 of seed 0, epoch 1, input normalized is replaced"]
    # its own predictions are of other weights, so that the file does not hold
    wrong = replace(first, test=replace(first.test, scores=first.test.scores[:, ::-1].copy()))
    assert not write_exports(wrong, tmp_path, ["onnx"])["onnx"].holds
    assert (tmp_path / "model.onnx").read_bytes() == before
    assert json.loads((tmp_path / "export.json").read_text())["files"] == files
    (tmp_path / "export.json").write_text("[damaged")
    write_exports(first, tmp_path, ["torchexport"], notes.append)
    assert list(json.loads((tmp_path / "export.json").read_text())["files"]) == ["torchexport"]
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", "model.pt2", "export.json"}


class Branching(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        if images.sum() > 0:
            return images.flatten(1)[:, :2]
        return images.flatten(1)[:, 2:4]


def test_what_cannot_be_exported_is_said_in_one_line(tmp_path: Path) -> None:
    network = drawn_network(made_data((6, 6, 1)), {"model": "mlp"}, model=Branching())
    with pytest.raises(InputError, match=r"cannot be exported: .*(data-dependent|Eq|guard|sum)") as found:
        write_exports(network, tmp_path, ["onnx"])
    assert "\n" not in str(found.value)
    assert not list(tmp_path.iterdir())


class Shifting(nn.Module):
    """Another function in each call: no file of it can be the same model."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return images.flatten(1)[:, :2] * 0 + torch.tensor([float(self.calls), 1.0])


def test_a_file_that_is_another_model_is_removed_and_said(tmp_path: Path) -> None:
    network = drawn_network(made_data((6, 6, 1)), {"model": "mlp"}, model=Shifting())
    found = write_exports(network, tmp_path, ["onnx"])
    assert not found["onnx"].holds
    assert not (tmp_path / "model.onnx").exists()


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a grey network's files, in all formats."""
    folder = tmp_path_factory.mktemp("exports")
    write_exports(drawn_family("2D grey"), folder, [*FORMATS])
    return folder


def test_files_name_no_place_of_this_machine(grey: Path) -> None:
    found = json.loads((grey / "export.json").read_text())["files"]
    assert {name: one["answers"] for name, one in found.items()} == dict.fromkeys(FORMATS, 70)
    for path in (grey / f"model{one.suffix}" for one in FORMATS.values()):
        content = path.read_bytes()
        assert b"site-packages" not in content
        assert b"/lib/" not in content
        assert path.suffix == ".pt" or b".py" not in content
    model = onnx.load(grey / "model.onnx")
    assert {entry.key for entry in model.metadata_props} >= {"medsweeps", "class_names"}
    assert [entry.version for entry in model.opset_import if not entry.domain] == [20]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"std": (0.0,)}, "std above 0"),
        ({"mean": (0.1, 0.2)}, "must have 1 values"),
        ({"image_shape": (8, 8, 2)}, "is no"),
        ({"class_names": ("one",)}, "class_names"),
        ({"temperature": float("nan")}, "temperature"),
        ({"surplus": 1}, "surplus"),
    ],
)
def test_metadata_that_are_not_ours_are_refused(
    change: dict[str, object], said: str, grey: Path, tmp_path: Path
) -> None:
    model = onnx.load(grey / "model.onnx")
    entry = next(entry for entry in model.metadata_props if entry.key == "medsweeps")
    entry.value = json.dumps(json.loads(entry.value) | change)
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(InputError, match=said) as found:
        open_artefact(tmp_path / "model.onnx")
    assert "\n" not in str(found.value)


def test_normalisation_is_that_of_training() -> None:
    network = drawn_family("2D RGB, ordinal")
    images = network.data.splits["test"].images
    mean, std = np.array(network.metadata.mean), np.array(network.metadata.std)
    expected = np.moveaxis((images / 255.0 - mean) / std, -1, 1)
    np.testing.assert_allclose(network.metadata.as_input(images), expected, atol=1e-5)
    with pytest.raises(InputError, match="takes uint8 images"):
        network.metadata.as_input(images.astype(np.float32))  # type: ignore[arg-type]


def test_answers_sets_and_temperature() -> None:
    values = json.loads(drawn_family("labels").metadata.text())
    labels = ModelMetadata(**values)
    scores = np.array([[0.9, 0.3, 0.1, 0.6]])
    assert labels.answers(scores) == [["class 0", "class 3"]]
    assert labels.prediction_sets(scores) == [["class 0", "class 1", "class 3"]]
    logit = np.log(0.9 / 0.1) / 1.5
    assert labels.calibrated(scores)[0, 0] == pytest.approx(1 / (1 + np.exp(-logit)))
