"""MNIST and Fashion-MNIST in torchvision's folder layout (`MNIST/raw/*`), read from .gz or unpacked files."""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from trainables.data.arrays import Data, Request, make_data
from trainables.data.cache import cached
from trainables.data.downloads import check_md5, download, find_file, fingerprint
from trainables.data.splitting import SPLIT_SEED
from trainables.errors import InputError

# The share of the 60,000 training images; neither set comes with a val split.
VAL_FRACTION = 0.1

FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
FOLDERS = {"mnist": "MNIST", "fashionmnist": "FashionMNIST"}
# MD5 of the .gz files, as torchvision gives them; none is published for the unpacked ones.
MD5 = {
    "mnist": {
        "train_images": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train_labels": "d53e105ee54ea40749a09fcbcd1e9432",
        "test_images": "9fb629c4189551a2d022fa330f9573f3",
        "test_labels": "ec29112dd5afa0611ce80d1b7f02629c",
    },
    "fashionmnist": {
        "train_images": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train_labels": "25c81989df183df01b3e8a0aad5dffbe",
        "test_images": "bef4ecab320f06d8554ea6380940ec79",
        "test_labels": "bb300cfdad3c16e7a12a480ee83cd310",
    },
}
AGAIN = "delete them and run again to download them"
DIGITS = tuple(str(n) for n in range(10))
CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def load_mnist(request: Request) -> Data:
    """60,000 training images split 90/10 into train and val by class with seed 42; the official 10,000 are test."""
    name = request.name
    folders = _folders(request.root, FOLDERS[name])
    if any(_find(folders, file) is None for file in FILES.values()):
        download(f"{FOLDERS[name]}/raw", request.root, lambda target: _fetch(name, target))
    paths = {key: _find(folders, file) or folders[0] / file for key, file in FILES.items()}
    unchecked = [path.name for path in paths.values() if path.suffix != ".gz"]
    for key, path in paths.items():
        if path.suffix == ".gz":
            check_md5(path, MD5[name][key])
    folder = paths["train_images"].parent
    data = cached(request, f"{name}-{fingerprint(paths.values())}", lambda target: _decode(name, folder, paths, target))
    if not unchecked:
        return data
    note = f"{name}: {', '.join(unchecked)} in {folder} were not checked: an MD5 is published for the .gz files alone"
    return replace(data, notes=(*data.notes, note))


def _folders(root: Path, folder: str) -> list[Path]:
    """Return the folders that may hold the files: torchvision's layout below the root, or the root itself in it."""
    return [root / folder / "raw", *([root / "raw"] if root.name == folder else [])] + (
        [root] if root.name == "raw" and root.parent.name == folder else []
    )


def _decode(name: str, folder: Path, paths: dict[str, Path], target: Path) -> Data:
    arrays = {key: _read_idx(path) for key, path in paths.items()}
    _check_pairs(name, folder, arrays)
    train, val = _train_val(arrays["train_labels"])
    images, labels = arrays["train_images"][..., None], arrays["train_labels"].astype(np.int64)
    splits = {
        "train": (images[train], labels[train]),
        "val": (images[val], labels[val]),
        "test": (arrays["test_images"][..., None], arrays["test_labels"].astype(np.int64)),
    }
    for split, (chosen, _) in splits.items():
        np.save(target / f"{split}_images.npy", chosen)
    return make_data(name, "multi-class", DIGITS if name == "mnist" else CLOTHES, splits, folder, AGAIN)


def _find(folders: list[Path], file: str) -> Path | None:
    """Return the .gz file rather than the unpacked one, for which no MD5 is published."""
    return find_file([folder / name for folder in folders for name in (f"{file}.gz", file)])


def _fetch(name: str, root: Path) -> None:
    from torchvision import datasets

    {"mnist": datasets.MNIST, "fashionmnist": datasets.FashionMNIST}[name](str(root), download=True)


def _read_idx(path: Path) -> np.ndarray:
    """Read an IDX file of unsigned bytes: magic 0x0000 08 <dimensions>, big-endian lengths, then the values."""
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
                f"together: {AGAIN}"
            )


def _train_val(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of train and of val, which has a tenth of each class, to the nearest whole image."""
    rng = np.random.default_rng(SPLIT_SEED)
    classes, counts = np.unique(labels, return_counts=True)
    shares = VAL_FRACTION * counts
    wanted = np.floor(shares).astype(int)
    rest = round(VAL_FRACTION * len(labels)) - wanted.sum()
    # The largest remainders take one more.
    wanted[np.argsort(wanted - shares, kind="stable")[:rest]] += 1
    val = [rng.permutation(np.flatnonzero(labels == c))[:n] for c, n in zip(classes, wanted, strict=True)]
    is_val = np.zeros(len(labels), bool)
    is_val[np.concatenate(val)] = True
    return np.flatnonzero(~is_val), np.flatnonzero(is_val)
