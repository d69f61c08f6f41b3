"""MedMNIST's npz files, as the `medmnist` package publishes them (Yang et al., Scientific Data 10, 41, 2023)."""

from __future__ import annotations

import runpy
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from trainables.data.arrays import MULTI_LABEL, SPLITS, Data, Request, make_data
from trainables.data.cache import cached, entry_folder
from trainables.data.downloads import check_md5, download, find_file
from trainables.data.reading.colour import to_grey
from trainables.data.reading.npz_files import array_names, unpack_arrays
from trainables.errors import InputError

AGAIN = "delete it and run again to download it"
KINDS = ("images", "labels")


@cache
def medmnist_info() -> dict[str, dict[str, Any]]:
    """Return `medmnist.INFO`. Its file is run alone: importing the package imports torchvision, which takes seconds."""
    spec = find_spec("medmnist")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("the package medmnist is missing: pip install medmnist")
    info: dict[str, dict[str, Any]] = runpy.run_path(str(Path(spec.submodule_search_locations[0]) / "info.py"))["INFO"]
    return info


def load_medmnist(request: Request) -> Data:
    """Find `<name>[_<size>].npz` in the root or its `medmnist/`, download it where it is missing, check it, decode it.

    An entry of the cache stands for the published file, by its MD5: the file itself may be gone.
    """
    info = medmnist_info()[request.name]
    suffix = "" if request.size == 28 else f"_{request.size}"
    md5, filename = info[f"MD5{suffix}"], f"{request.name}{suffix}.npz"
    grey = request.channels == 1 and info["n_channels"] == 3
    path = find_file([folder / filename for folder in _folders(request.root)])
    if path is None and not entry_folder(_key(request, grey, md5)).exists():
        hint = _other_sizes(request)
        download(filename, request.root, lambda folder: _fetch(request.name, request.size, folder), hint)
        path = request.root / filename
    if path is not None:
        # A trusted file has another MD5, and so an entry of its own.
        md5 = check_md5(path, md5)
    key = _key(request, grey, md5)
    source = path or request.root / filename
    data = cached(request, key, lambda folder: _decode(source, request, info, grey, folder))
    if path is not None:
        return data
    return replace(data, notes=(*data.notes, f"{filename} is not in {request.root}: its copy in the cache was taken"))


def _folders(root: Path) -> tuple[Path, ...]:
    return root, root / "medmnist"


def _other_sizes(request: Request) -> str:
    """Return a hint where the dataset is there in another size."""
    names = {"": 28} | {f"_{size}": size for size in (64, 128, 224)}
    there = [
        size
        for suffix, size in names.items()
        if find_file([folder / f"{request.name}{suffix}.npz" for folder in _folders(request.root)])
    ]
    return "".join(f"it is there at {size} px (--set image_size={size}); or " for size in there)


def _key(request: Request, grey: bool, md5: str) -> str:
    """Return the name of a file's entry in the cache."""
    return f"{request.name}_{request.size}{'_grey' * grey}-{md5[:12]}"


def _fetch(name: str, size: int, folder: Path) -> None:
    import medmnist

    python_class = getattr(medmnist, medmnist_info()[name]["python_class"])
    python_class(split="train", download=True, root=str(folder), size=size)


def _decode(path: Path, request: Request, info: Mapping[str, Any], grey: bool, folder: Path) -> Data:
    """Unpack the six arrays into the folder and check them."""
    unpack(path, folder)
    splits = {split: _oriented(path, split, request, info, folder) for split in SPLITS}
    if grey:
        splits = {name: (to_grey(part[0], folder / f"{name}_images.npy"), part[1]) for name, part in splits.items()}
    class_names = tuple(info["label"][key] for key in sorted(info["label"], key=int))
    return make_data(request.name, info["task"], class_names, splits, path, AGAIN)


def unpack(path: Path, folder: Path) -> None:
    """Write the six arrays of a MedMNIST file as .npy files.

    Raises `InputError` where the file is truncated, lacks an array or holds pickled content.
    """
    wanted = [f"{split}_{kind}" for split in SPLITS for kind in KINDS]
    missing = [name for name in wanted if name not in array_names(path, AGAIN)]
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)} and is no MedMNIST file: {AGAIN}")
    unpack_arrays(path, folder, wanted, AGAIN)


def _oriented(
    path: Path, split: str, request: Request, info: Mapping[str, Any], folder: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Return images, mapped, with a channel axis; and single labels without their second axis."""
    images = np.load(folder / f"{split}_images.npy", mmap_mode="r", allow_pickle=False)
    labels = np.load(folder / f"{split}_labels.npy", allow_pickle=False)
    side, channels = (request.size,) * (3 if request.name.endswith("3d") else 2), info["n_channels"]
    wanted = side if channels == 1 else (*side, channels)
    if images.shape[1:] != wanted:
        raise InputError(f"{path}: {split} images have shape {images.shape[1:]}, expected {wanted}; {AGAIN}")
    if info["task"] != MULTI_LABEL and labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    return images.reshape(len(images), *side, channels), labels
