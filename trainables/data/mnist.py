"""MNIST and Fashion-MNIST in torchvision's folder layout (`MNIST/raw/*`), read from .gz or unpacked files."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from trainables.data.arrays import Data, make_data
from trainables.data.files import download, find_file
from trainables.errors import InputError

SPLIT_SEED = 42
VAL_FRACTION = 0.1  # of the 60,000 training images; neither set comes with a val split

FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
FOLDERS = {"mnist": "MNIST", "fashionmnist": "FashionMNIST"}
DIGITS = tuple(str(n) for n in range(10))
CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def load_mnist(name: str, size: int, root: Path) -> Data:
    """60,000 training images split 90/10 into train and val by class with seed 42; the official 10,000 are test."""
    folder = root / FOLDERS[name] / "raw"
    if any(_find(folder, file) is None for file in FILES.values()):
        download(f"{FOLDERS[name]}/raw", root, lambda target: _fetch(name, target))
    arrays = {key: _read_idx(_find(folder, file) or folder / file) for key, file in FILES.items()}
    _check_pairs(name, folder, arrays)
    train, val = _train_val(arrays["train_labels"])
    images, labels = arrays["train_images"][..., None], arrays["train_labels"].astype(np.int64)
    splits = {
        "train": (images[train], labels[train]),
        "val": (images[val], labels[val]),
        "test": (arrays["test_images"][..., None], arrays["test_labels"].astype(np.int64)),
    }
    return make_data(name, "multi-class", DIGITS if name == "mnist" else CLOTHES, splits)


def _find(folder: Path, file: str) -> Path | None:
    return find_file([folder / file, folder / f"{file}.gz"])


def _fetch(name: str, root: Path) -> None:
    from torchvision import datasets

    {"mnist": datasets.MNIST, "fashionmnist": datasets.FashionMNIST}[name](str(root), download=True)


def _read_idx(path: Path) -> np.ndarray:
    """An IDX file of unsigned bytes: magic 0x0000 08 <dimensions>, big-endian lengths, then the values."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        zeros, kind, dimensions = struct.unpack(">HBB", raw[:4])
        shape = struct.unpack(f">{dimensions}I", raw[4 : 4 + 4 * dimensions])
        if zeros != 0 or kind != 0x08:
            raise ValueError("not an IDX file of bytes")
        return np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({error}): delete it and run again to download it") from None


def _check_pairs(name: str, folder: Path, arrays: dict[str, np.ndarray]) -> None:
    for split in ("train", "test"):
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        if images.ndim != 3 or labels.ndim != 1 or images.shape[1:] != (28, 28) or len(images) != len(labels):
            raise InputError(
                f"{name} in {folder}: {split} images {images.shape} and labels {labels.shape} do not fit "
                "together: delete them and run again to download them"
            )


def _train_val(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(SPLIT_SEED)
    val = np.concatenate(
        [
            rng.permutation(np.flatnonzero(labels == label))[: round(VAL_FRACTION * (labels == label).sum())]
            for label in np.unique(labels)
        ]
    )
    is_val = np.zeros(len(labels), bool)
    is_val[val] = True
    return np.flatnonzero(~is_val), np.flatnonzero(is_val)
