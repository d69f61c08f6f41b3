"""MedMNIST's npz files, as the `medmnist` package publishes them (Yang et al., Scientific Data 10, 41, 2023)."""

from __future__ import annotations

import runpy
import zipfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from trainables.data.arrays import SPLITS, Data, Task, make_data
from trainables.data.files import check_md5, download, find_file
from trainables.errors import InputError


@cache
def medmnist_info() -> dict[str, dict[str, Any]]:
    """`medmnist.INFO`. Its file is run alone: importing the package imports torchvision, which takes seconds."""
    spec = find_spec("medmnist")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("the package medmnist is missing: pip install medmnist")
    info: dict[str, dict[str, Any]] = runpy.run_path(str(Path(spec.submodule_search_locations[0]) / "info.py"))["INFO"]
    return info


def load_medmnist(name: str, size: int, root: Path) -> Data:
    """Find `<name>[_<size>].npz` in the root or its `medmnist/`, download it where it is missing, check it, read it."""
    info = medmnist_info()[name]
    suffix = "" if size == 28 else f"_{size}"
    filename = f"{name}{suffix}.npz"
    path = find_file([root / filename, root / "medmnist" / filename])
    if path is None:
        download(filename, root, lambda folder: _fetch(name, size, folder))
        path = root / filename
    check_md5(path, info[f"MD5{suffix}"])
    class_names = tuple(info["label"][key] for key in sorted(info["label"], key=int))
    return make_data(name, info["task"], class_names, read_npz(path, info["task"], info["n_channels"], size))


def _fetch(name: str, size: int, folder: Path) -> None:
    import medmnist

    python_class = getattr(medmnist, medmnist_info()[name]["python_class"])
    python_class(split="train", download=True, root=str(folder), size=size)


def read_npz(path: Path, task: Task, channels: int, size: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The six arrays of a MedMNIST file, channels last. Pickled content is refused."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            missing = [k for split in SPLITS for k in (f"{split}_images", f"{split}_labels") if k not in arrays]
            if missing:
                raise InputError(f"{path} lacks {', '.join(missing)}: it is not a MedMNIST file")
            return {
                split: _oriented(arrays[f"{split}_images"], arrays[f"{split}_labels"], task, channels, size, path)
                for split in SPLITS
            }
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read ({error}): delete it and run again to download it") from None


def _oriented(
    images: np.ndarray, labels: np.ndarray, task: Task, channels: int, size: int, path: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Grey images get a channel axis; single labels lose their second axis."""
    if channels == 1 or images.ndim == 3:
        images = images[..., None]
    if images.shape[1:3] != (size, size) or images.shape[-1] != channels:
        raise InputError(f"{path}: images are {images.shape[1:]}, expected side {size} and {channels} channel(s)")
    if task != "multi-label, binary-class" and labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    return images, labels
