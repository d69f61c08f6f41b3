"""Files and folders as the real ones are made, but small: what the data tests read where no real file is at hand."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trainables.data.formats.medmnist import medmnist_info

SIZES = {"train": 24, "val": 16, "test": 16}


def medmnist_arrays(name: str, size: int, seed: int = 0) -> dict[str, np.ndarray]:
    """The six arrays of a MedMNIST file: its keys, shapes but for the number of images, dtypes and label ranges."""
    info, rng = medmnist_info()[name], np.random.default_rng(seed)
    shape = (size,) * (3 if name.endswith("3d") else 2) + (() if info["n_channels"] == 1 else (3,))
    arrays: dict[str, np.ndarray] = {}
    for split, n in SIZES.items():
        arrays[f"{split}_images"] = rng.integers(0, 256, (n, *shape), np.uint8)
        arrays[f"{split}_labels"] = _labels(info, n, rng)
    return arrays


def _labels(info: dict[str, Any], n: int, rng: np.random.Generator) -> np.ndarray:
    n_classes = len(info["label"])
    if info["task"] == "multi-label, binary-class":
        return rng.integers(0, 2, (n, n_classes), np.uint8)
    return (rng.permutation(n) % n_classes).astype(np.uint8)[:, None]


def write_medmnist(
    root: Path, name: str, size: int, monkeypatch: pytest.MonkeyPatch, arrays: dict[str, np.ndarray] | None = None
) -> Path:
    """Write a file under the published name and let its MD5 pass for the published one."""
    suffix = "" if size == 28 else f"_{size}"
    path = root / f"{name}{suffix}.npz"
    root.mkdir(parents=True, exist_ok=True)
    np.savez(path, **(arrays if arrays is not None else medmnist_arrays(name, size)))
    pass_for_published(path, name, size, monkeypatch)
    return path


def pass_for_published(path: Path, name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file's MD5 pass for the published one."""
    md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setitem(medmnist_info()[name], "MD5" if size == 28 else f"MD5_{size}", md5)


def write_images(root: Path, classes: dict[str, int], mode: str = "L", side: int = 12, seed: int = 0) -> Path:
    """A folder of PNG files, `p<patient>_<number>.png`, three to a patient."""
    rng = np.random.default_rng(seed)
    for name, n in classes.items():
        (root / name).mkdir(parents=True)
        for number in range(n):
            pixels = rng.integers(0, 256, (side, side) if mode == "L" else (side, side, 3), np.uint8)
            Image.fromarray(pixels).save(root / name / f"p{name}{number // 3:02}_{number:03}.png")
    return root
