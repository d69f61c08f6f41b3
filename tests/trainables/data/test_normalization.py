"""Normalisation: values against numpy, saved statistics against tampering, and the command."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from torchvision.transforms._presets import ImageClassification
from typer.testing import CliRunner

from tests.support.generated_data import medmnist_arrays, write_medmnist
from trainables.data.arrays import SPLITS, Data, make_data
from trainables.data.datasets import load
from trainables.data.normalization import (
    NORMALIZATIONS,
    Normalization,
    find_saved,
    histogram,
    normalization_of,
    read_saved,
    save,
    statistics,
    true_ranges,
    verify,
)
from trainables.errors import InputError
from trainables.normalization import app


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEPS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root with BreastMNIST, RetinaMNIST and OrganMNIST3D."""
    for name in ("breastmnist", "retinamnist", "organmnist3d"):
        write_medmnist(tmp_path / "data", name, 28, monkeypatch)
    return tmp_path / "data"


def _made(train: np.ndarray) -> Data:
    labels = np.arange(len(train)) % 2
    return make_data("made", "binary-class", ("a", "b"), dict.fromkeys(SPLITS, (train, labels)))


@pytest.mark.parametrize("name", ["breastmnist", "retinamnist", "organmnist3d"])
def test_dataset_statistics_are_those_of_the_training_split(name: str, root: Path) -> None:
    data = load(name, data_root=root)
    found = normalization_of("dataset", data)
    values = data.splits["train"].images.reshape(-1, data.info.channels) / 255
    assert found.mean == pytest.approx(tuple(values.mean(axis=0)), rel=1e-12)
    assert found.std == pytest.approx(tuple(values.std(axis=0)), rel=1e-10)


def test_mnist_statistics_are_the_known_ones(data_root: Path) -> None:
    """0.1307 and 0.3081 are those of the 60,000 official training images; ours are those of 54,000."""
    found = statistics(load("mnist", data_root=data_root))
    assert found.mean + found.std == pytest.approx((0.1307, 0.3081), abs=5e-4)


@pytest.mark.parametrize(
    ("name", "grey", "rgb"),
    [
        ("imagenet", ((0.449,), (0.226,)), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))),
        ("half", ((0.5,), (0.5,)), ((0.5,) * 3, (0.5,) * 3)),
        ("none", ((0.0,), (1.0,)), ((0.0,) * 3, (1.0,) * 3)),
        ("times_half", ((0.0,), (2.0,)), ((0.0,) * 3, (2.0,) * 3)),
    ],
)
def test_constant_normalizations(name: str, grey: tuple, rgb: tuple, root: Path) -> None:  # type: ignore[type-arg]
    assert normalization_of(name, load("breastmnist", data_root=root)) == Normalization(*grey)
    assert normalization_of(name, load("retinamnist", data_root=root)) == Normalization(*rgb)


def test_imagenet_is_torchvisions() -> None:
    preset = ImageClassification(crop_size=224)
    found = normalization_of("imagenet", _made(np.zeros((4, 2, 2, 3), np.uint8)))
    assert (found.mean, found.std) == (tuple(preset.mean), tuple(preset.std))


@pytest.mark.parametrize("name", list(NORMALIZATIONS))
def test_true_range_is_what_the_batches_hold(name: str, root: Path) -> None:
    data = load("retinamnist", data_root=root)
    data.splits["test"].images[...] //= 2  # splits that differ
    normalization = normalization_of(name, data)
    ranges = true_ranges(data, {name: normalization})[name]
    for split, part in data:
        inputs = (part.images / 255 - normalization.mean) / normalization.std
        assert ranges[split] == pytest.approx((inputs.min(), inputs.max()))


def test_constant_channel_is_left_at_zero() -> None:
    assert statistics(_made(np.full((4, 3, 3, 1), 51, np.uint8))) == Normalization((pytest.approx(0.2),), (1.0,))


def test_histogram_in_pieces_counts_every_value(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 300, 300, 3), np.uint8)  # four pieces
    counts = histogram(_made(images).splits["train"])
    for channel in range(3):
        assert np.array_equal(counts[channel], np.bincount(images[..., channel].ravel(), minlength=256))


def test_statistics_are_computed_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = normalization_of("dataset", load("breastmnist", data_root=root))
    monkeypatch.setattr("trainables.data.normalization.statistics", None)
    data = load("breastmnist", data_root=root)
    assert normalization_of("dataset", data) == first
    saved = find_saved(data)
    assert saved is not None
    assert saved.parent == data.folder, "a sweep writes to the cache, never beside the user's data"


def test_grey_as_rgb_has_statistics_of_its_own(root: Path) -> None:
    grey = normalization_of("dataset", load("breastmnist", data_root=root))
    rgb = normalization_of("dataset", load("breastmnist", data_root=root, channels=3))
    assert rgb.mean == grey.mean * 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: {**c, "mean": [0.5]}, "was changed after it was saved"),
        (lambda c: {**c, "dataset_digest": "0" * 16}, "was changed after it was saved"),
        (lambda c: {k: v for k, v in c.items() if k != "std"}, "cannot be read"),
        (lambda c: [], "cannot be read"),
    ],
)
def test_saved_statistics_are_verified_on_use(change, message: str, root: Path) -> None:  # type: ignore[no-untyped-def]
    data = load("breastmnist", data_root=root)
    path = save(data)
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(InputError, match=message) as error:
        normalization_of("dataset", data)
    assert str(path) in str(error.value)
    assert "delete it, or save it again" in str(error.value)


def test_statistics_of_other_data_are_refused(root: Path) -> None:
    path = save(load("retinamnist", data_root=root))
    with pytest.raises(InputError, match="belongs to other data"):
        read_saved(path, load("breastmnist", data_root=root))


def test_verify_computes_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load("breastmnist", data_root=root)
    with pytest.raises(InputError, match="are saved: save them with"):
        verify(data)
    path = save(data)
    assert verify(data) == (path, statistics(data))
    monkeypatch.setattr("trainables.data.normalization.statistics", lambda data: Normalization((0.1,), (0.2,)))
    with pytest.raises(InputError, match="save it again"):
        verify(data)


def test_save_falls_back_to_the_cache(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load("breastmnist", data_root=root)
    assert save(data).parent == root
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != root and access(path, mode))
    assert save(data).parent == data.folder


def test_command_saves_shows_and_verifies(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, [*arguments, "--data-root", str(root)])
        return result.exit_code, result.output

    assert run("verify", "breastmnist")[0] == 2
    code, output = run("save", "breastmnist", "--json")
    saved = json.loads(output)
    assert (code, Path(saved["file"]).parent) == (0, root)
    values = medmnist_arrays("breastmnist", 28)["train_images"] / 255
    assert saved["rows"][0]["mean"] == [pytest.approx(values.mean(), abs=1e-6)]
    assert run("verify", "breastmnist")[0] == 0
    code, output = run("show", "breastmnist", "--json")
    shown = json.loads(output)["rows"]
    assert (code, [row["normalization"] for row in shown]) == (0, list(NORMALIZATIONS))
    assert shown[2]["range"]["train"] == [-1.0, 1.0]
    code, output = run("show", "breastmist")
    assert (code, output.count("\n")) == (2, 1)
    assert "did you mean 'breastmnist'" in output
