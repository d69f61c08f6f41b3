"""Image folders: reading, splitting by class and by patient, modes, unreadable files, and the real MRI folder."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.generated_data import write_images
from trainables.config import make_config
from trainables.data.arrays import SPLITS, Data
from trainables.data.batches import to_device
from trainables.data.check import check
from trainables.data.datasets import load, native_size
from trainables.data.formats import image_folder
from trainables.data.normalization import normalization_of, save, statistics, verify
from trainables.data.splitting import grouped_split
from trainables.errors import InputError
from trainables.training.loop import start, train


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEPS_CACHE", str(tmp_path / "cache"))


def _unwanted(*args: object) -> None:
    raise AssertionError("nothing may be decoded again")


def _sizes(data: Data) -> dict[str, int]:
    return {name: len(split) for name, split in data}


def test_folder_is_split_by_class_and_holds_pillows_pixels(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images", {"b_ill": 20, "a_well": 40})
    (root / "notes.txt").write_text("no image")
    data = load(f"folder:{root}", 8)
    assert data.info.class_names == ("a_well", "b_ill")
    assert (data.info.task, data.info.shape) == ("binary-class", (8, 8, 1))
    assert _sizes(data) == {"train": 42, "val": 9, "test": 9}
    for _, split in data:
        assert np.bincount(split.labels)[0] == 2 * np.bincount(split.labels)[1]
        for image, label, name in zip(split.images, split.labels, split.names, strict=True):
            assert name.startswith(data.info.class_names[label])
            with Image.open(root / name) as file:
                expected = np.asarray(file.resize((8, 8), Image.Resampling.BILINEAR))
            assert np.array_equal(image[..., 0], expected)
    names = [name for _, split in data for name in split.names]
    assert len(set(names)) == 60


def test_split_is_seeded_and_kept_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_images(tmp_path / "images", {"a": 12, "b": 12})
    first = load(f"folder:{root}", 8)
    monkeypatch.setattr(image_folder, "_decode", _unwanted)
    second = load(f"folder:{root}", 8)
    monkeypatch.undo()
    monkeypatch.setenv("SWEEPS_CACHE", str(tmp_path / "another"))
    again = load(f"folder:{root}", 8)
    assert first.digest == second.digest == again.digest
    assert first.splits["test"].names == second.splits["test"].names == again.splits["test"].names


def test_changed_folder_is_decoded_again(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images", {"a": 12, "b": 12})
    before = load(f"folder:{root}", 8)
    Image.new("L", (12, 12), 7).save(root / "a" / "new.png")
    after = load(f"folder:{root}", 8)
    assert sum(_sizes(after).values()) == sum(_sizes(before).values()) + 1
    assert after.digest != before.digest


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "validation", "Testing")])
def test_ready_splits_are_kept(names: tuple[str, str, str], tmp_path: Path) -> None:
    for name, n in zip(names, (6, 3, 2), strict=True):
        write_images(tmp_path / "images" / name, {"a": n, "b": n}, seed=n)
    data = load(f"folder:{tmp_path / 'images'}", 8)
    assert _sizes(data) == {"train": 12, "val": 6, "test": 4}
    assert all(name.startswith(names[0]) for name in data.splits["train"].names)


def test_val_is_made_from_train_where_it_lacks(tmp_path: Path) -> None:
    for name, n in (("train", 20), ("test", 4)):
        write_images(tmp_path / "images" / name, {"a": n, "b": n}, seed=n)
    data = load(f"folder:{tmp_path / 'images'}", 8)
    assert _sizes(data) == {"train": 34, "val": 6, "test": 8}
    assert all(name.startswith("train") for name in data.splits["val"].names)
    assert any("15 % of train" in note for note in data.notes)


def test_test_is_made_from_train_where_it_lacks(tmp_path: Path) -> None:
    for name, n in (("train", 20), ("val", 4)):
        write_images(tmp_path / "images" / name, {"a": n, "b": n}, seed=n)
    data = load(f"folder:{tmp_path / 'images'}", 8)
    assert _sizes(data) == {"train": 34, "val": 8, "test": 6}
    assert all(name.startswith("train") for name in data.splits["test"].names)
    assert any("has no test: 15 % of train" in note for note in data.notes)


def test_patients_stay_in_one_split(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images", {"a": 90, "b": 90})
    data = load(f"folder:{root}?group=p([ab]\\d+)_", 8)
    patients = {name: {re.search(r"p\w\d+", n).group() for n in split.names} for name, split in data}  # type: ignore[union-attr]
    assert not patients["train"] & patients["val"]
    assert not patients["train"] & patients["test"]
    assert not patients["val"] & patients["test"]
    assert sum(len(found) for found in patients.values()) == 60
    # of each class, 13.5 images are wanted in val and in test: four or five patients
    assert _sizes(data) == {"train": 126, "val": 30, "test": 24}
    plain = load(f"folder:{root}", 8)
    assert plain.splits["train"].names != data.splits["train"].names


def test_uneven_patients_are_divided_near_the_shares() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 30, 200)
    groups = np.repeat(np.arange(200), sizes)
    labels = np.repeat(rng.integers(0, 3, 200), sizes)
    rows = grouped_split(labels, groups, (0.7, 0.15, 0.15), 42)
    shares = np.array([[(labels[rows[split]] == c).mean() for c in range(3)] for split in SPLITS])
    assert [len(rows[split]) / len(labels) for split in SPLITS] == pytest.approx([0.7, 0.15, 0.15], abs=0.02)
    assert shares == pytest.approx(np.broadcast_to(shares[0], (3, 3)), abs=0.03)


def test_mixed_modes_become_one(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images", {"a": 10, "b": 10})
    write_images(root / "more", {"c": 10}, mode="RGB")
    shutil.move(root / "more" / "c", root / "c")
    (root / "more").rmdir()
    palette = Image.new("P", (9, 9), 3)
    palette.putpalette([200, 30, 60] * 256)
    palette.save(root / "c" / "palette.png", transparency=bytes([255, 0, 10, 128]))
    Image.new("RGBA", (9, 9), (10, 20, 30, 40)).save(root / "c" / "alpha.png")
    Image.new("1", (9, 9), 1).save(root / "a" / "bits.png")
    rgb, grey = load(f"folder:{root}", 8), load(f"folder:{root}", 8, channels=1)
    assert (rgb.info.shape, grey.info.shape) == ((8, 8, 3), (8, 8, 1))
    assert "21 grey and 12 colour files, all brought to RGB" in "".join(rgb.notes)
    by_name = {n: image for _, split in rgb for n, image in zip(split.names, split.images, strict=True)}
    assert by_name["c/palette.png"][0, 0].tolist() == [200, 30, 60]
    assert by_name["c/alpha.png"][0, 0].tolist() == [10, 20, 30]
    assert by_name["a/bits.png"][0, 0].tolist() == [255, 255, 255]


def test_images_are_turned_upright(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images", {"a": 10, "b": 10})
    pixels = np.zeros((8, 8), np.uint8)
    pixels[0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    Image.fromarray(pixels).save(root / "a" / "turned.png", exif=exif)
    data = load(f"folder:{root}", 8)
    (image,) = (i for _, split in data for n, i in zip(split.names, split.images, strict=True) if n == "a/turned.png")
    assert np.array_equal(image[..., 0], np.rot90(pixels, -1))


def _broken(root: Path) -> None:
    (root / "a" / "text.png").write_text("no image")
    whole = next((root / "b").glob("*.png"))
    (root / "b" / "cut.png").write_bytes(whole.read_bytes()[:90])
    Image.fromarray(np.arange(144, dtype=np.uint16).reshape(12, 12) * 400).save(root / "a" / "deep.png")


def test_unreadable_images_are_listed_and_refused_or_skipped(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images", {"a": 12, "b": 12})
    _broken(root)
    with pytest.raises(InputError) as error:
        load(f"folder:{root}", 8)
    text = str(error.value)
    assert "3 of 27 images cannot be read" in text
    assert "\n" not in text
    assert all(name in text for name in ("a/text.png", "b/cut.png", "a/deep.png (I;16 has more than 8 bits"))
    data = load(f"folder:{root}?unreadable=skip", 8)
    assert sum(_sizes(data).values()) == 24
    assert "skipped 3 of 27" in data.notes[0]
    named = {name for _, split in data for name in split.names}
    assert not named & {"a/text.png", "b/cut.png", "a/deep.png"}


def _refused(root: Path, case: str) -> str:
    write_images(root, {"a": 12, "b": 12})
    if case == "empty class":
        (root / "c").mkdir()
    elif case == "half split":
        (root / "train").mkdir()
    elif case == "one class":
        shutil.rmtree(root / "b")
    elif case == "all broken":
        for path in root.rglob("*.png"):
            path.write_text("")
    return str(root)


@pytest.mark.parametrize(
    ("case", "options", "message"),
    [
        ("empty class", "", "c holds no image"),
        ("half split", "", "must hold class subfolders, or train, val and test; found a, b, train"),
        ("one class", "", "train has class 0 only"),
        ("all broken", "?unreadable=skip", "24 of 24 images cannot be read"),
        ("fine", "/a", "must hold class subfolders"),
        ("fine", "/nowhere", "is no folder"),
        ("fine", "?group=z(", "is no regular expression"),
        ("fine", "?group=z(\\d)", "does not match group="),
        ("fine", "?group=p", r"val has 0 images"),
        ("fine", "?unreadable=ignore", "choose skip or refuse"),
        ("fine", "?grup=p", "did you mean 'group'"),
    ],
)
def test_bad_folders_are_refused(case: str, options: str, message: str, tmp_path: Path) -> None:
    root = _refused(tmp_path / "images", case)
    with pytest.raises(InputError) as error:
        load(f"folder:{root}{options}", 8)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_name_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_images(tmp_path / "images", {"a": 12, "b": 12})
    monkeypatch.chdir(tmp_path)
    config = make_config({"dataset": "folder:images?group=p(\\w+)_", "image_size": 8})
    assert config.dataset == f"folder:{root}?group=p(\\w+)_"
    assert native_size(config.dataset, None) == 224


def test_brain_mri_runs_end_to_end_at_224(data_root: Path, tmp_path: Path) -> None:
    """A copy, since its statistics are saved beside it: 60 files of each class, split 70/15/15 with seed 42."""
    root = shutil.copytree(data_root / "brain_mri", tmp_path / "brain_mri", copy_function=shutil.copyfile)
    for folder in (root, *root.iterdir()):
        folder.chmod(0o755)
    name = f"folder:{root}"
    found = check(name, 224)
    assert found.class_counts == {
        split: dict.fromkeys(("glioma_tumor", "meningioma_tumor", "pituitary_tumor"), n)
        for split, n in (("train", 42), ("val", 9), ("test", 9))
    }
    assert found.shape == (224, 224, 3)
    data = load(name, 224)
    path = save(data)
    assert path.parent == root
    assert verify(data) == (path, statistics(data))
    pixels = np.stack([np.asarray(Image.open(root / n).convert("RGB")) for n in data.splits["train"].names]) / 255
    normalization = normalization_of("dataset", data)
    assert normalization.mean == pytest.approx(tuple(pixels.mean(axis=(0, 1, 2))), rel=1e-9)
    assert normalization.std == pytest.approx(tuple(pixels.std(axis=(0, 1, 2))), rel=1e-6)
    config = make_config(
        {"dataset": name, "image_size": 224, "width": 2, "depth": 2, "epochs": 1, "augmentation": "mri"}
    )
    cpu = torch.device("cpu")
    splits = to_device(data, normalization, cpu)
    (metrics,) = train(config, data.info, splits, start(config, 0, data.info, cpu))
    assert (metrics.finite, metrics.images) == (True, 126)
