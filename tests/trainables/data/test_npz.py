"""npz files of one's own: MedMNIST's keys and plain ones, 2D and 3D, every type of number, splits, groups, refusals."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.model_selection import StratifiedShuffleSplit

from trainables.config import make_config
from trainables.data import cache
from trainables.data.arrays import MULTI_LABEL, SPLITS, Data, class_line
from trainables.data.batches import to_device
from trainables.data.check import check
from trainables.data.datasets import canonical, load
from trainables.data.normalization import normalization_of, save, verify
from trainables.errors import InputError
from trainables.training.loop import start, train
from trainables.trial_key import without_paths

RNG = np.random.default_rng(0)
Arrays = dict[str, Any]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEPS_CACHE", str(tmp_path / "cache"))


def plain(n: int = 60, shape: tuple[int, ...] = (8, 8), classes: int = 3, **more: Any) -> Arrays:
    rng = np.random.default_rng(1)
    return {"images": rng.integers(0, 256, (n, *shape), np.uint8), "labels": np.arange(n) % classes, **more}


def divided(missing: tuple[str, ...] = (), kind: Any = np.uint8) -> Arrays:
    rng = np.random.default_rng(2)
    arrays: Arrays = {}
    for split, n in (("train", 40), ("val", 12), ("test", 16)):
        if split not in missing:
            arrays[f"{split}_images"] = rng.integers(0, 256, (n, 8, 8)).astype(kind)
            arrays[f"{split}_labels"] = np.arange(n) % 2
    return arrays


def write(folder: Path, arrays: Arrays, name: str = "scans.npz") -> str:
    np.savez(folder / name, **arrays)
    return f"npz:{folder / name}"


def everything(data: Data) -> np.ndarray:
    return np.concatenate([split.images for _, split in data])


@pytest.mark.parametrize("name", ["breastmnist", "retinamnist", "adrenalmnist3d"])
def test_a_real_file_is_what_it_is_by_its_own_name(name: str, data_root: Path) -> None:
    official = load(name, data_root=data_root)
    own = load(f"npz:{data_root / 'medmnist' / name}.npz")
    assert own.digest == official.digest
    assert own.info.shape == official.info.shape
    assert check(own.info.name).sizes == {split: len(part) for split, part in official}


def test_plain_arrays_are_split_by_class_with_seed_42(tmp_path: Path) -> None:
    name = write(tmp_path, plain(100, classes=2))
    data = load(name)
    assert {split: len(part) for split, part in data} == {"train": 70, "val": 14, "test": 16}
    assert any("split 70/15/15 by class with seed 42" in note for note in data.notes)
    wanted = next(StratifiedShuffleSplit(1, train_size=0.7, random_state=0).split(np.zeros(100), np.arange(100) % 2))[0]
    assert np.bincount(data.splits["train"].labels).tolist() == np.bincount(wanted % 2).tolist()
    assert sorted(map(bytes, everything(data))) == sorted(map(bytes, plain(100)["images"]))
    assert load(name).digest == data.digest


@pytest.mark.parametrize(
    ("missing", "sizes"),
    [
        ((), (40, 12, 16)),
        (("val",), (34, 6, 16)),
        (("test",), (34, 12, 6)),
        (("val", "test"), (28, 6, 6)),
    ],
)
def test_a_split_that_lacks_is_cut_from_train_and_said(
    missing: tuple[str, ...], sizes: tuple[int, ...], tmp_path: Path
) -> None:
    arrays = divided(missing)
    data = load(write(tmp_path, arrays))
    assert tuple(len(part) for _, part in data) == sizes
    for split in SPLITS:
        assert any(f"has no {split}: 15 % of train" in note for note in data.notes) == (split in missing)
        if split not in missing and split != "train":
            assert np.array_equal(data.splits[split].images[..., 0], arrays[f"{split}_images"])
    from_train = np.concatenate([data.splits[split].images for split in ("train", *missing)])
    assert sorted(map(bytes, from_train)) == sorted(map(bytes, arrays["train_images"]))


SHAPES: dict[tuple[int, ...], tuple[int, ...]] = {
    (9, 7): (9, 7, 1),
    (9, 7, 1): (9, 7, 1),
    (9, 7, 3): (9, 7, 3),
    (1, 9, 7): (9, 7, 1),
    (3, 9, 7): (9, 7, 3),
    (5, 9, 7): (5, 9, 7, 1),
    (5, 9, 7, 3): (5, 9, 7, 3),
    (3, 5, 9, 7): (5, 9, 7, 3),
    (1, 5, 9, 7): (5, 9, 7, 1),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_flat_images_and_volumes_grey_and_rgb(shape: tuple[int, ...], tmp_path: Path) -> None:
    arrays = plain(30, shape, groups=np.arange(30))
    data = load(write(tmp_path, arrays))
    assert data.info.shape == SHAPES[shape]
    first = {image.tobytes() for image in everything(data)}
    is_first = shape[0] in (1, 3) and shape[-1] not in (1, 3)
    expected = np.moveaxis(arrays["images"], 1, -1) if is_first else arrays["images"]
    assert first == {np.ascontiguousarray(image).tobytes() for image in expected}
    assert any("channels first" in note for note in data.notes) == is_first


def test_fortran_order_and_big_endian_are_read(tmp_path: Path) -> None:
    arrays = plain(30)
    usual = load(write(tmp_path, arrays))
    for kind in (">i4", "<f8"):
        images = np.asfortranarray(arrays["images"].astype(kind))
        assert load(write(tmp_path, {**arrays, "images": images}, f"{kind[1:]}.npz")).digest == usual.digest


@pytest.mark.parametrize(
    ("values", "low", "high", "note"),
    [
        (RNG.random((80, 6, 6), np.float32), 0, 1, "values from 0 to 1 become 0 to 255"),
        (RNG.random((80, 6, 6)) > 0.5, 0, 1, ""),
        (RNG.integers(0, 200, (80, 6, 6), np.int64), 0, 255, ""),
        (RNG.integers(-1000, 2000, (80, 6, 6), np.int16), None, None, "int16 values from"),
        (RNG.integers(0, 4096, (80, 6, 6), np.uint16), None, None, "the ends of train, become 0 to 255"),
        (RNG.normal(0, 2, (80, 6, 6)), None, None, "float64 values from"),
    ],
)
def test_other_numbers_become_uint8_by_the_rule(
    values: np.ndarray, low: float | None, high: float | None, note: str, tmp_path: Path
) -> None:
    by_row = {"images": values, "labels": np.arange(80) % 2, "groups": np.arange(80)}
    data = load(write(tmp_path, by_row))
    if low is None or high is None:
        # The rule's ends are those of train alone: find train by its images under the rule itself.
        with np.errstate(all="raise"):
            shares = [_as_uint8(values, float(v.min()), float(v.max())) for v in _train_of(values)]
        assert any(np.array_equal(_sorted(share), _sorted(everything(data)[..., 0])) for share in shares)
    else:
        assert np.array_equal(_sorted(_as_uint8(values, low, high)), _sorted(everything(data)[..., 0]))
    assert any(note in line for line in data.notes)


def _train_of(values: np.ndarray) -> list[np.ndarray]:
    from trainables.data.splitting import FRACTIONS, grouped_split

    return [values[grouped_split(np.arange(80) % 2, np.arange(80), FRACTIONS, 42)["train"]]]


def _as_uint8(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.round(np.clip((values.astype(np.float64) - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def _sorted(images: np.ndarray) -> list[bytes]:
    return sorted(map(bytes, images))


def test_val_and_test_are_cut_at_the_ends_of_train(tmp_path: Path) -> None:
    arrays = divided(kind=np.int16)
    arrays["train_images"][0, 0, :2] = -1000, 1000
    arrays["test_images"][0, 0, :3] = -5000, 5000, 0
    data = load(write(tmp_path, arrays))
    assert data.splits["test"].images[0, 0, :3, 0].tolist() == [0, 255, round(1000 / 2000 * 255)]


def test_a_window_goes_before_the_rule(tmp_path: Path) -> None:
    arrays = divided(kind=np.int16)
    arrays["val_images"][0, 0, :4] = -160, 240, 40, 1000
    data = load(write(tmp_path, arrays) + "?window=40/400")
    assert data.splits["val"].images[0, 0, :4, 0].tolist() == [0, 255, 128, 255]


def test_values_that_are_no_number_are_said_and_black(tmp_path: Path) -> None:
    images = np.linspace(0, 5, 40 * 64).reshape(40, 8, 8)
    images[3, 2, 1], images[4, 0, 0] = np.nan, np.inf
    data = load(write(tmp_path, {"images": images, "labels": np.arange(40) % 2}))
    assert any("2 values are infinite or no number" in note for note in data.notes)


def test_images_are_resized_as_pillow_does_and_brought_to_grey(tmp_path: Path) -> None:
    arrays = plain(30, (10, 14, 3))
    name = write(tmp_path, arrays)
    data, grey = load(name, 6), load(name, 6, channels=1)
    pictures = [Image.fromarray(image) for image in arrays["images"]]
    expected = [np.asarray(picture.resize((6, 6), Image.Resampling.BILINEAR)) for picture in pictures]
    assert sorted(map(bytes, everything(data))) == sorted(image.tobytes() for image in expected)
    one = [np.asarray(p.convert("L").resize((6, 6), Image.Resampling.BILINEAR)) for p in pictures]
    assert sorted(map(bytes, everything(grey))) == sorted(image.tobytes() for image in one)
    assert (data.info.shape, grey.info.shape) == ((6, 6, 3), (6, 6, 1))


def test_a_volume_is_resized_along_each_axis(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.linspace(0, 240, 12)[:, None, None], (12, 8, 10)).astype(np.uint8)
    volumes = np.stack([ramp + np.uint8(n) for n in range(12)])
    data = load(write(tmp_path, {"images": volumes, "labels": np.arange(12) % 2}), 4)
    assert data.info.shape == (4, 4, 4, 1)
    (image,) = [image for image in everything(data) if image[0, 0, 0, 0] < 30 and image.min() == everything(data).min()]
    column = Image.fromarray(np.ascontiguousarray(ramp[:, 0, :1])).resize((1, 4), Image.Resampling.BILINEAR)
    assert image[:, 2, 3, 0].tolist() == np.asarray(column)[:, 0].tolist()


def test_groups_stay_in_one_split(tmp_path: Path) -> None:
    groups = np.array([f"p{n // 4}" for n in range(120)])
    images = np.zeros((120, 8, 8), np.uint8)
    images[:, 0, 0] = np.arange(120)
    data = load(write(tmp_path, {"images": images, "labels": np.arange(120) // 4 % 2, "groups": groups}))
    members = {split: set(groups[part.images[:, 0, 0, 0]]) for split, part in data}
    assert members["train"] | members["val"] | members["test"] == set(groups)
    assert sum(map(len, members.values())) == 30
    arrays = divided()
    arrays |= {"train_groups": np.arange(40), "val_groups": np.arange(39, 51), "test_groups": np.arange(60, 76)}
    with pytest.raises(InputError, match=r"1 group\(s\) stand in both train and val \(39\)"):
        load(write(tmp_path, arrays))


def test_labels_are_named_and_ordered(tmp_path: Path) -> None:
    texts = np.array(["severe", "mild", "none"] * 20)
    ordered = load(write(tmp_path, plain(labels=texts)) + "?order=none<mild<severe")
    assert (ordered.info.class_names, ordered.info.task) == (("none", "mild", "severe"), "ordinal-regression")
    assert load(write(tmp_path, plain(labels=texts, n=60), "x.npz")).info.class_names == ("mild", "none", "severe")
    named = load(write(tmp_path, plain(classes=2, class_names=["ill", "well"]), "y.npz"))
    assert (named.info.class_names, named.info.task) == (("ill", "well"), "binary-class")
    numbers = load(write(tmp_path, plain(labels=np.arange(60.0) % 11 + 1), "z.npz"))
    assert numbers.info.class_names == tuple(str(n) for n in range(1, 12))


def test_several_labels_an_image(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 2, (60, 4))
    data = load(write(tmp_path, plain(labels=labels, class_names=["a", "b", "c", "d"])))
    assert (data.info.task, data.info.class_names) == (MULTI_LABEL, ("a", "b", "c", "d"))
    assert np.concatenate([part.labels for _, part in data]).sum(axis=0).tolist() == labels.sum(axis=0).tolist()
    one_hot = load(write(tmp_path, plain(labels=np.eye(3, dtype=int)[np.arange(60) % 3]), "one.npz"))
    assert any("if they are classes, give their numbers" in note for note in one_hot.notes)


def _pickled() -> Arrays:
    return plain(labels=np.array([{}] * 60, object))


REFUSED: dict[str, tuple[Callable[[], Arrays], str, str]] = {
    "other keys": (lambda: {"x": np.zeros(3), "y": np.zeros(3)}, "", "found x, y: give images and labels, or train_"),
    "no train": (lambda: divided(("train",)), "", "give images and labels, or train_images"),
    "no labels": (lambda: {"images": np.zeros((9, 8, 8))}, "", "lacks labels"),
    "unlike lengths": (lambda: plain(labels=np.zeros(59)), "", "60 images and 59 labels"),
    "pickled": (_pickled, "", "pickled objects, which could run code"),
    "flat rows": (lambda: plain(shape=(64,)), "", "images have shape (60, 64): give (N, H, W)"),
    "texts": (lambda: plain(images=np.array(["a"] * 60)), "", "images are of type <U1: give numbers"),
    "four channels": (lambda: plain(shape=(4, 5, 8, 8)), "", "volumes have 1 or 3 channels, first or last"),
    "RGBA": (lambda: plain(shape=(8, 8, 4)), "", "images have 4 channels: give 1 (grey) or 3 (RGB)"),
    "a name twice": (lambda: plain(class_names=["a", "b", "a"]), "", "class_names has a twice"),
    "regression": (lambda: plain(labels=np.linspace(0, 1, 60)), "", "regression is not supported"),
    "ages": (lambda: plain(labels=np.arange(60)), "", "regression is not supported"),
    "NaN labels": (lambda: plain(labels=np.array([np.nan, 1.0] * 30)), "", "30 of 60 labels are no number"),
    "one class": (lambda: plain(classes=1), "", "nothing can be learned from one class"),
    "an unordered class": (lambda: plain(), "?order=0<1", "has 2, which order=0<1 lacks"),
    "order of one": (lambda: plain(), "?order=0", "name each class once"),
    "order of labels": (lambda: plain(labels=np.ones((60, 2), int)), "?order=0<1", "order= has no effect on several"),
    "names too few": (lambda: plain(class_names=["a", "b"]), "", "2 class names, and labels such as 2"),
    "unlike types": (lambda: divided() | {"val_images": np.zeros((12, 8, 8))}, "", "the splits' images are of types"),
    "unlike shapes": (lambda: divided() | {"val_images": np.zeros((12, 9, 9), np.uint8)}, "", "differ in image shape"),
    "window": (lambda: plain(), "?window=40", "window=40: write CENTER/WIDTH"),
    "width of zero": (lambda: plain(), "?window=40/0", "window=40/0: write CENTER/WIDTH"),
    "a typing error": (lambda: plain(), "?windov=40/400", "did you mean 'window'"),
    "twice": (lambda: plain(), "?window=1/2&window=1/2", "window= stands twice"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_meant_is_one_line(case: str, tmp_path: Path) -> None:
    make, options, message = REFUSED[case]
    with pytest.raises(InputError) as caught:
        load(write(tmp_path, make()) + options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_none_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    name = write(tmp_path, plain())
    whole = (tmp_path / "scans.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "bent.npz").write_bytes(whole[:1500] + bytes(8) + whole[1508:])
    for file in ("text", "cut", "bent"):
        with pytest.raises(InputError, match=rf"{file}.npz cannot be read"):
            load(f"npz:{tmp_path / file}.npz")
    with zipfile.ZipFile(tmp_path / "bare.npz", "w") as archive:
        for array in ("images", "labels"):
            archive.writestr(array, b"x")
    with pytest.raises(InputError, match="found none: give images and labels"):
        load(f"npz:{tmp_path / 'bare.npz'}")
    with pytest.raises(InputError, match="is no file: name an npz file"):
        load(f"npz:{tmp_path}")
    with pytest.raises(InputError, match="names no file"):
        load("npz:")
    assert load(name).info.n_classes == 3


def test_cache_digest_normalization_and_names_are_as_of_other_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, plain(60, (8, 8, 3), classes=2, more=np.zeros(3)))
    assert canonical("npz:scans.npz?order=0<1") == f"npz:{tmp_path}/scans.npz?order=0<1"
    data = load("npz:scans.npz")
    assert any("left out: more" in note for note in data.notes)
    assert data.folder is not None
    assert sorted(path.name for path in data.folder.iterdir() if path.suffix == ".npy") == sorted(
        f"{split}_{kind}.npy" for split in SPLITS for kind in ("images", "labels")
    )
    assert save(data).parent == tmp_path
    assert verify(data)[1] == normalization_of("dataset", data)
    assert class_line(data) == ("npz:scans.npz: 0 21/5/4, 1 21/5/4 (images in train/val/test)")
    monkeypatch.setattr(cache, "MAPPED_FROM", 0)
    assert load("npz:scans.npz").digest == data.digest
    config = make_config({"dataset": "npz:scans.npz", "model": "mlp", "hidden_dims": (4,), "epochs": 1})
    assert without_paths(config.model_dump(mode="json"))["dataset"] == "npz:?"
    cpu = torch.device("cpu")
    splits = to_device(data, normalization_of("dataset", data), cpu)
    (metrics,) = train(config, data.info, splits, start(config, 0, data.info, cpu))
    assert metrics.finite
