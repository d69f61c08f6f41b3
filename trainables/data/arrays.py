"""What a dataset is once loaded: uint8 images, integer labels, three splits. numpy only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trainables.errors import InputError

Task = Literal["binary-class", "multi-class", "ordinal-regression", "multi-label, binary-class"]
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """Images (N, H, W, C) or (N, D, H, W, C) uint8; labels (N,) int64, or (N, L) for multi-label."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class DataInfo:
    """What a model must know of a dataset."""

    name: str
    task: Task
    class_names: tuple[str, ...]
    shape: tuple[int, ...]  # of one image, channels last: (H, W, C) or (D, H, W, C)

    @property
    def channels(self) -> int:
        return self.shape[-1]

    @property
    def n_classes(self) -> int:
        return len(self.class_names)

    @property
    def is_3d(self) -> bool:
        return len(self.shape) == 4


@dataclass(frozen=True)
class Data:
    """A dataset in memory, checked. Arrays may be read-only and shared between processes."""

    info: DataInfo
    splits: Mapping[str, Split]
    digest: str
    notes: tuple[str, ...] = field(default=())  # what the user should know, such as a class that a split lacks

    def __iter__(self) -> Iterator[tuple[str, Split]]:
        return iter(self.splits.items())


def make_data(
    name: str, task: Task, class_names: tuple[str, ...], splits: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> Data:
    """Check three splits and bind them. Raises `InputError` that names the dataset and the split at fault."""
    checked = {split: _checked_split(name, split, *splits[split], task, len(class_names)) for split in SPLITS}
    shapes = {split: part.images.shape[1:] for split, part in checked.items()}
    if len(set(shapes.values())) != 1:
        raise InputError(f"{name}: the splits differ in image shape {shapes}; get the file again")
    notes = tuple(
        note for split, part in checked.items() for note in _class_notes(name, split, part, task, class_names)
    )
    return Data(DataInfo(name, task, class_names, shapes["train"]), checked, digest_of(checked), notes)


def _checked_split(name: str, split: str, images: np.ndarray, labels: np.ndarray, task: Task, n_classes: int) -> Split:
    where = f"{name}, split {split!r}"
    if images.dtype != np.uint8 or images.ndim not in (4, 5):
        raise InputError(f"{where}: images must be uint8 (N, [D,] H, W, C), found {images.dtype} {images.shape}")
    if len(images) == 0 or len(images) != len(labels):
        raise InputError(
            f"{where}: {len(images)} images and {len(labels)} labels; need one label an image, at least one"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"{where}: labels must be integers, found {labels.dtype}")
    top = 2 if task == "multi-label, binary-class" else n_classes
    if labels.min() < 0 or labels.max() >= top:
        raise InputError(f"{where}: labels must lie in 0..{top - 1}, found {labels.min()}..{labels.max()}")
    wanted = (len(images), n_classes) if task == "multi-label, binary-class" else (len(images),)
    if labels.shape != wanted:
        raise InputError(f"{where}: labels must have shape {wanted}, found {labels.shape}")
    if split == "train" and task != "multi-label, binary-class" and labels.min() == labels.max():
        raise InputError(f"{where}: only class {labels[0]} occurs; nothing can be learned from one class")
    return Split(np.ascontiguousarray(images), labels.astype(np.int64))


def _class_notes(name: str, split: str, part: Split, task: Task, class_names: tuple[str, ...]) -> Iterator[str]:
    if task == "multi-label, binary-class":
        missing = [c for i, c in enumerate(class_names) if part.labels[:, i].min() == part.labels[:, i].max()]
    else:
        missing = [c for i, c in enumerate(class_names) if not (part.labels == i).any()]
    if missing:
        yield f"{name}: split {split!r} lacks {', '.join(missing)}; its AUC is undefined (NaN)"


def digest_of(splits: Mapping[str, Split]) -> str:
    """16 hexadecimal digits of SHA-256 over shapes and contents of all splits."""
    digest = hashlib.sha256()
    for split in SPLITS:
        for array in (splits[split].images, splits[split].labels):
            digest.update(f"{split}{array.dtype}{array.shape}".encode())
            digest.update(memoryview(np.ascontiguousarray(array)).cast("B"))
    return digest.hexdigest()[:16]


def stratified_split(
    labels: np.ndarray, fractions: tuple[float, float, float], seed: int
) -> dict[str, NDArray[np.int64]]:
    """Row numbers of train, val and test; each class is divided in the same proportions. Seeded, sorted."""
    rng = np.random.default_rng(seed)
    parts: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        cuts = np.round(np.cumsum(fractions)[:2] * len(rows)).astype(int)
        for split, chosen in zip(SPLITS, np.split(rows, cuts), strict=True):
            parts[split].append(chosen)
    return {split: np.sort(np.concatenate(chosen)) for split, chosen in parts.items()}
