"""Decoded datasets on disk: decoded once, mapped read-only by every process of a node, so that it holds one copy.

An entry is a folder `data-<version>/<key>/` in the cache with `<split>_images.npy`, `<split>_labels.npy` and
`entry.json`. It is built beside and renamed, so that its existence means that it is complete. Nothing in it can run
code.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from trainables.atomic_files import lock_file
from trainables.data.arrays import SPLITS, Data, DataInfo, Request, Split, load_stored, repeated
from trainables.data.downloads import cache_root, unwritable
from trainables.errors import InputError

# Bytes; a smaller dataset is read into memory and shared through Ray's object store.
MAPPED_FROM = 2**28
ENTRY = "entry.json"
# The way in which datasets are decoded, laid out and described: another number decodes everything again.
VERSION = 2

Build = Callable[[Path], Data]


def cached(request: Request, key: str, build: Build) -> Data:
    """Return the dataset of a cache entry, built first where it does not exist yet.

    `build(folder)` leaves `<split>_images.npy`, uint8 in C order, in the folder and returns the checked dataset.
    One process builds, others that ask for the same entry wait for it. Raises `InputError`.
    """
    folder = entry_folder(key)
    if not folder.exists():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(lock_file(folder.with_name(f".{key}"))):
                if not folder.exists():
                    _build(folder, build)
        except OSError as error:
            raise unwritable(folder.parent, error) from None
    return open_entry(folder, request)


def entry_folder(key: str) -> Path:
    """Return the folder of a key's entry, which may not exist yet."""
    return cache_root() / f"data-{VERSION}" / key


def _build(folder: Path, build: Build) -> None:
    for left in folder.parent.glob(f".{folder.name}.building-*"):
        # Left by a process that was killed: whoever holds the lock builds alone.
        shutil.rmtree(left)
    beside = folder.with_name(f".{folder.name}.building-{os.getpid()}")
    beside.mkdir()
    try:
        data = build(beside)
        for name, split in data:
            np.save(beside / f"{name}_labels.npy", split.labels)
        (beside / ENTRY).write_text(json.dumps(_description(data)))
        os.rename(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _description(data: Data) -> dict[str, Any]:
    return {
        "task": data.info.task,
        "class_names": data.info.class_names,
        "shape": data.info.shape,
        "digest": data.digest,
        "notes": data.notes,
        "source": str(data.source),
        "lengths": {name: len(split) for name, split in data},
        "names": {name: split.names for name, split in data},
    }


def open_entry(folder: Path, request: Request, always_mapped: bool = False) -> Data:
    """Read an entry: large images are mapped, small ones read. Raises `InputError` where the entry is damaged."""
    try:
        entry = json.loads((folder / ENTRY).read_text())
        shape = tuple(entry["shape"])
        mapped = always_mapped or sum(entry["lengths"].values()) * prod(shape) >= MAPPED_FROM
        splits = {name: _open_split(folder, name, entry, shape, request, mapped) for name in SPLITS}
        info = DataInfo(request.name, entry["task"], tuple(entry["class_names"]), shape)
        return Data(info, splits, entry["digest"], tuple(entry["notes"]), Path(entry["source"]), folder)
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder} is damaged ({error}): delete that folder and run again") from None


def _open_split(
    folder: Path, name: str, entry: Mapping[str, Any], shape: tuple[int, ...], request: Request, mapped: bool
) -> Split:
    stored = np.load(folder / f"{name}_images.npy", mmap_mode="r" if mapped else None, allow_pickle=False)
    images = stored.reshape(entry["lengths"][name], *shape).view(np.ndarray)
    labels = np.load(folder / f"{name}_labels.npy", allow_pickle=False)
    names = tuple(entry["names"][name])
    if mapped:
        return MappedSplit(images, labels, names, EntryAddress(request, folder, entry["digest"], name), _view(images))
    return Split(images, labels, names)


@dataclass(frozen=True)
class EntryAddress:
    """The folder of a mapped split, and the request that makes it again on a node that lacks it."""

    request: Request
    folder: Path
    digest: str
    split: str


@dataclass(frozen=True)
class MappedSplit(Split):
    """A split whose images are mapped from a file.

    Pickled as its address: each process opens the file itself. view: memory address, shape and strides of the whole
    array; a split that was cut from it is pickled with its images.
    """

    address: EntryAddress | None = None
    view: tuple[object, ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        if self.address is None or _view(self.stored) != self.view:
            return super().__reduce__()
        return _reopened, (self.address, self.labels, self.names, self.images.shape[-1])


def _view(images: np.ndarray) -> tuple[object, ...]:
    # numpy is free in the stride of one channel.
    return images.ctypes.data, images.shape, images.strides[:-1]


def _reopened(address: EntryAddress, labels: np.ndarray, names: tuple[str, ...], channels: int) -> Split:
    whole = _opened(address.request, address.folder, address.digest).splits[address.split]
    return replace(whole, images=repeated(whole.stored, channels), labels=labels, names=names)


@lru_cache(maxsize=8)
def _opened(request: Request, folder: Path, digest: str) -> Data:
    """Open an entry once a process; where the node has not got it, load it there from the data root."""
    if not folder.exists():
        folder = load_stored(request).folder or folder
    data = open_entry(folder, request, always_mapped=True)
    if data.digest != digest:
        raise InputError(f"{request.name} on this node is not the dataset that was loaded first: copy that one there")
    return data
