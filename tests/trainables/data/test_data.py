"""Datasets: every set through the same code path, the real files' facts, refusals, batches, parts and sampling."""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import medmnist
import numpy as np
import pytest
import torch
from medmnist.info import INFO
from PIL import Image
from sklearn.datasets import load_digits as sklearn_digits

from tests.conftest import ROOT
from tests.support.generated_data import SIZES, medmnist_arrays, pass_for_published, write_medmnist
from trainables.config import make_config
from trainables.data.arrays import SPLITS, class_line
from trainables.data.batches import to_device
from trainables.data.check import check, lines
from trainables.data.datasets import DATASETS, MEDMNIST, find, load, native_size
from trainables.data.formats import medmnist as medmnist_format
from trainables.data.formats import mnist
from trainables.data.formats.digits import _digits
from trainables.data.normalization import normalization_of
from trainables.errors import InputError
from trainables.training.loop import start, train

CPU = torch.device("cpu")
EVERY = [(name, size) for name, entry in DATASETS.items() if entry.loader == MEDMNIST for size in entry.sizes]
REAL = ("breastmnist", "pneumoniamnist", "retinamnist", "adrenalmnist3d")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEPS_CACHE", str(tmp_path / "cache"))


def test_table_says_what_medmnist_says() -> None:
    ours = {name: entry for name, entry in DATASETS.items() if entry.loader == MEDMNIST}
    assert set(ours) == set(INFO)
    assert len(ours) == 18
    for name, entry in ours.items():
        assert entry.licence == INFO[name]["license"]
        published = {"28": "MD5", **{str(size): f"MD5_{size}" for size in (64, 128, 224)}}
        assert entry.sizes == tuple(int(size) for size, key in published.items() if key in INFO[name])
        assert native_size(name, None) == 28


@pytest.mark.parametrize(("name", "size"), EVERY)
def test_every_medmnist_set_trains_at_every_size(
    name: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = medmnist_arrays(name, size)
    write_medmnist(tmp_path, name, size, monkeypatch, arrays)
    data = load(name, size, tmp_path)
    images = arrays["val_images"]
    assert data.info.shape == (size,) * (3 if name.endswith("3d") else 2) + (INFO[name]["n_channels"],)
    assert data.info.n_classes == len(INFO[name]["label"])
    assert {split: len(part) for split, part in data} == SIZES
    assert np.array_equal(data.splits["val"].images.reshape(images.shape), images)
    assert np.array_equal(data.splits["val"].labels, arrays["val_labels"].squeeze())
    config = make_config({"dataset": name, "image_size": size, "model": "mlp", "hidden_dims": (2,), "epochs": 1})
    splits = to_device(data, normalization_of("dataset", data), CPU)
    (metrics,) = train(config, data.info, splits, start(config, 0, data.info, CPU))
    assert metrics.finite
    assert metrics.images == SIZES["train"]


@pytest.mark.parametrize("name", REAL)
def test_facts_of_real_files(name: str, data_root: Path) -> None:
    """Sizes as `medmnist.INFO` has them, classes and labels as the `medmnist` package reads them from the same file."""
    found = check(name, data_root=data_root)
    python_class = getattr(medmnist, INFO[name]["python_class"])
    for split in SPLITS:
        theirs = python_class(split=split, root=str(data_root / "medmnist"))
        counts = np.bincount(theirs.labels[:, 0])
        assert found.sizes[split] == len(theirs) == INFO[name]["n_samples"][split]
        assert list(found.class_counts[split].values()) == counts.tolist()
        if split == "train":
            assert found.imbalance == pytest.approx(counts.max() / counts.min())
    assert list(found.class_counts["train"]) == [INFO[name]["label"][str(i)] for i in range(len(INFO[name]["label"]))]


@pytest.mark.parametrize(
    ("name", "across"),
    [("breastmnist", {("train", "test"): 1}), ("pneumoniamnist", {("train", "val"): 8}), ("retinamnist", {})],
)
def test_duplicates_across_real_splits(name: str, across: dict[tuple[str, str], int], data_root: Path) -> None:
    found = check(name, data_root=data_root)
    assert {(d.first, d.second): d.images for d in found.duplicates if d.first != d.second} == across
    data = load(name, data_root=data_root)
    for item in found.duplicates:
        for row, other in item.examples:
            assert np.array_equal(data.splits[item.first].images[row], data.splits[item.second].images[other])
    assert ("licence", "CC BY 4.0") in lines(found)


def test_mnist_splits(data_root: Path) -> None:
    data = load("mnist", data_root=data_root)
    assert {split: len(part) for split, part in data} == {"train": 54000, "val": 6000, "test": 10000}
    share = np.bincount(data.splits["val"].labels) / np.bincount(data.splits["train"].labels)
    assert share == pytest.approx(np.full(10, 1 / 9), rel=2e-3)


def _write_idx(path: Path, values: np.ndarray) -> None:
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + values.astype(np.uint8).tobytes())


def _write_clothes(root: Path) -> Path:
    rng, folder = np.random.default_rng(0), root / "FashionMNIST" / "raw"
    for name, n in (("train", 200), ("t10k", 50)):
        _write_idx(folder / f"{name}-images-idx3-ubyte", rng.integers(0, 256, (n, 28, 28)))
        _write_idx(folder / f"{name}-labels-idx1-ubyte", np.arange(n) % 10)
    return folder


def test_fashion_mnist_is_read_and_split(tmp_path: Path) -> None:
    folder = _write_clothes(tmp_path)
    data = load("fashionmnist", data_root=tmp_path)
    assert {split: len(part) for split, part in data} == {"train": 180, "val": 20, "test": 50}
    assert np.bincount(data.splits["val"].labels).tolist() == [2] * 10
    raw = (folder / "t10k-images-idx3-ubyte").read_bytes()[16:]
    assert data.splits["test"].images.tobytes() == raw
    assert data.info.class_names[9] == "Ankle boot"


def _write_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def _write_packed(path: Path) -> None:
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_write_short, "train-images-idx3-ubyte cannot be read"),
        (_write_packed, "train-images-idx3-ubyte.gz is damaged or not the published file"),
        (
            lambda path: path.write_bytes(b"\0\0\x0d" + path.read_bytes()[3:]),
            "(not an IDX file of bytes)",
        ),
        (lambda path: _write_idx(path, np.zeros((9, 28, 28))), "do not fit together"),
        (lambda path: _write_idx(path, np.zeros((200, 27, 28))), "do not fit together"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
    ],
)
def test_bad_idx_files_are_refused(damage: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    damage(_write_clothes(tmp_path) / "train-images-idx3-ubyte")
    with pytest.raises(InputError) as error:
        load("fashionmnist", data_root=tmp_path)
    assert message in str(error.value)
    assert "again to download" in str(error.value)


def _without(key: str) -> Callable[[Path, dict[str, np.ndarray]], None]:
    return lambda path, arrays: np.savez(path, **{k: v for k, v in arrays.items() if k != key})


def _with(key: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path, dict[str, np.ndarray]], None]:
    return lambda path, arrays: np.savez(path, **{**arrays, key: change(arrays[key])})


def _truncated(path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(path, **arrays)
    path.write_bytes(path.read_bytes()[:-3000])


def _damaged(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """One wrong byte in the middle of the images: the archive's own checksum must notice."""
    np.savez(path, **arrays)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(content)


def _cut_array(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """A sound archive with an array that is shorter than its header says."""
    np.savez(path, **arrays)
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, inside in content.items():
            archive.writestr(name, inside[:-100] if name == "test_images.npy" else inside)


REFUSALS = {
    "missing key": (_without("val_labels"), "lacks val_labels"),
    "wrong side": (_with("train_images", lambda a: a[:, :20]), "train images have shape (20, 28), expected (28, 28)"),
    "wrong dtype": (_with("test_images", lambda a: a.astype(np.float32)), "test images must be uint8"),
    "labels of floats": (_with("train_labels", lambda a: a.astype(float)), "train labels must be integers"),
    "pickled": (_with("val_labels", lambda a: a.astype(object)), "pickled objects"),
    "label too high": (_with("test_labels", lambda a: a + 1), "test labels must lie in 0..1, found 1..2"),
    "label negative": (_with("val_labels", lambda a: a.astype(np.int8) - 1), "val labels must lie in 0..1"),
    "one class": (_with("train_labels", lambda a: a * 0), "train has class 0 only"),
    "empty split": (_with("val_images", lambda a: a[:0]), "val_images.npy is empty"),
    "more images than labels": (_with("val_labels", lambda a: a[:-1]), "16 images and 15 labels"),
    "two labels an image": (_with("val_labels", lambda a: np.hstack([a, a])), "val labels must have shape (16,)"),
    "Fortran order": (_with("val_images", np.asfortranarray), "Fortran order"),
    "truncated": (_truncated, "cannot be read"),
    "damaged": (_damaged, "cannot be read"),
    "cut array": (_cut_array, "cannot be read"),
    "no archive": (lambda path, arrays: path.write_bytes(b"<html>404</html>"), "cannot be read"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_bad_files_are_refused(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, message = REFUSALS[case]
    path = tmp_path / "breastmnist.npz"
    write(path, medmnist_arrays("breastmnist", 28))
    pass_for_published(path, "breastmnist", 28, monkeypatch)
    with pytest.raises(InputError) as error:
        load("breastmnist", data_root=tmp_path)
    text = str(error.value)
    assert message in text
    assert str(path) in text
    assert "delete it and run again to download it" in text
    assert "\n" not in text
    assert not list((tmp_path / "cache").glob("data-*/[!.]*")), "a refused file must leave no entry behind"


def test_foreign_file_is_refused_by_its_md5(tmp_path: Path) -> None:
    np.savez(tmp_path / "breastmnist.npz", **medmnist_arrays("breastmnist", 28))
    with pytest.raises(InputError, match=r"breastmnist\.npz is damaged or not the published file"):
        load("breastmnist", data_root=tmp_path)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: find("brestmnist"), "did you mean 'breastmnist'"),
        (lambda: native_size("organmnist3d", 224), "organmnist3d comes in 28, 64"),
        (lambda: load("digits", channels=2), "choose 1"),
    ],
)
def test_wrong_names_and_sizes(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_grey_as_rgb_and_rgb_as_grey_equal_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_medmnist(tmp_path, "breastmnist", 28, monkeypatch)
    write_medmnist(tmp_path, "retinamnist", 28, monkeypatch)
    for name, channels, mode in (("breastmnist", 3, "RGB"), ("retinamnist", 1, "L")):
        own, other = load(name, data_root=tmp_path), load(name, data_root=tmp_path, channels=channels)
        assert other.info.shape == (28, 28, channels)
        assert other.digest != own.digest
        for image, converted in zip(own.splits["test"].images, other.splits["test"].images, strict=True):
            expected = np.asarray(Image.fromarray(image.squeeze()).convert(mode)).reshape(28, 28, channels)
            assert np.array_equal(converted, expected)
    assert other.splits["train"].stored.nbytes * 3 == own.splits["train"].stored.nbytes


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"augmentation": "ligth"}, "did you mean 'light'"),
        ({"augmentation": "rotate:200"}, "at most 180"),
        ({"loss": "focall"}, "did you mean 'focal'"),
        ({"focal_gamma": 1.0}, "no effect with loss='cross_entropy'"),
        ({"channels": 2}, r"choose 1 \(grey\) or 3"),
        ({"data_fraction": 0}, "greater than 0"),
        ({"sampling": "even"}, "balanced"),
        ({"dataset": "folder:"}, "names no folder"),
    ],
)
def test_config_refuses(values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_config(values)


# Where files are looked for -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", ["", "FashionMNIST", "FashionMNIST/raw"])
def test_the_root_may_be_the_folder_of_the_files(inside: str, tmp_path: Path) -> None:
    folder = _write_clothes(tmp_path)
    data = load("fashionmnist", data_root=tmp_path / inside)
    assert data.digest == load("fashionmnist", data_root=tmp_path).digest
    (note,) = data.notes
    assert "were not checked: an MD5 is published for the .gz files alone" in note
    assert str(folder) in note


def test_mnist_is_found_from_its_own_folder_and_is_checked(data_root: Path) -> None:
    assert load("mnist", data_root=data_root / "MNIST" / "raw").notes == ()


def test_a_root_that_is_not_there_is_refused_and_not_made(tmp_path: Path) -> None:
    for name in ("digits", "breastmnist", "mnist"):
        with pytest.raises(InputError, match="nowhere: no such folder: name the one that holds the data"):
            load(name, data_root=tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def _no_network(folder: Path) -> None:
    (folder / "FashionMNIST" / "raw").mkdir(parents=True)
    raise OSError("no network")


def test_a_failed_download_leaves_no_empty_folder_and_names_another_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist, "_fetch", lambda name, folder: _no_network(folder))
    with pytest.raises(InputError, match="could not be downloaded \\(no network\\)"):
        load("fashionmnist", data_root=tmp_path)
    assert not (tmp_path / "FashionMNIST").exists()
    monkeypatch.setattr(medmnist_format, "_fetch", lambda name, size, folder: _no_network(folder))
    (tmp_path / "medmnist").mkdir()
    (tmp_path / "medmnist" / "adrenalmnist3d_64.npz").write_bytes(b"x")
    with pytest.raises(InputError, match=r"it is there at 64 px \(--set image_size=64\)"):
        load("adrenalmnist3d", data_root=tmp_path)
    assert (tmp_path / "medmnist" / "adrenalmnist3d_64.npz").exists()


def test_images_in_two_splits_are_a_note(data_root: Path) -> None:
    notes = {name: load(name, data_root=data_root).notes for name in ("breastmnist", "pneumoniamnist", "retinamnist")}
    assert notes["breastmnist"] == ("breastmnist: 1 image of test stands byte by byte in train, too",)
    assert notes["pneumoniamnist"] == ("pneumoniamnist: 8 images of val stand byte by byte in train, too",)
    assert notes["retinamnist"] == ()


def test_a_copy_from_the_cache_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "breastmnist.npz"
    np.savez(path, **medmnist_arrays("breastmnist", 28))
    pass_for_published(path, "breastmnist", 28, monkeypatch)
    plain = load("breastmnist", data_root=tmp_path)
    path.unlink()
    cached = load("breastmnist", data_root=tmp_path)
    assert cached.digest == plain.digest
    assert f"breastmnist.npz is not in {tmp_path}: its copy in the cache was taken" in cached.notes


def test_classes_are_named_with_their_images(data_root: Path) -> None:
    line = class_line(load("retinamnist", data_root=data_root))
    assert (
        line == "retinamnist: 0 486/54/174, 1 128/12/46, 2 206/28/92, 3 194/20/68, 4 66/6/20 (images in train/val/test)"
    )


def test_the_digits_are_those_of_scikit_learn_which_is_not_imported() -> None:
    images, labels = _digits()
    np.testing.assert_array_equal(images, sklearn_digits().images)
    np.testing.assert_array_equal(labels, sklearn_digits().target)
    code = "import sys; from trainables.data.datasets import load; load('digits'); print('sklearn' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert shown.stdout.strip() == "False"
