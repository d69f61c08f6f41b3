"""A dataset in memory: uint8 images, integer labels, three splits. Needs numpy only."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainables.data.dataset_names import short_name
from trainables.data.duplicates import shared_images
from trainables.errors import InputError
from trainables.metric_names import SPLITS

Task = Literal["binary-class", "multi-class", "ordinal-regression", "multi-label, binary-class"]
MULTI_LABEL: Task = "multi-label, binary-class"


@dataclass(frozen=True)
class Request:
    """A dataset to load: enough to load it again in another process or on another node.

    size: the side of the images; 0 where the loader chooses. channels: 1 (grey), 3 (RGB), or None for the dataset's
    own. loader: "module:function", which takes this request.
    """

    name: str
    size: int
    root: Path
    channels: int | None = None
    loader: str = ""


@dataclass(frozen=True)
class Split:
    """Images (N, H, W, C) or (N, D, H, W, C) uint8; labels (N,) int64, or (N, L) for multi-label.

    names: file names, where each image had a file of its own.

    Grey images that are asked for as RGB are one channel in memory, shown three times (a stride of 0).
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def stored(self) -> NDArray[np.uint8]:
        """Return the images as they lie in memory: one channel where the others repeat it."""
        return self.images[..., :1] if self.images.strides[-1] == 0 else self.images

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the stored images, so that a repeated channel travels once."""
        return _shown, (self.stored, self.labels, self.names, self.images.shape[-1])


def repeated(images: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Show the one channel of images `channels` times, without a copy; images that have so many stay as they are."""
    return images if images.shape[-1] == channels else np.broadcast_to(images, (*images.shape[:-1], channels))


def _shown(images: NDArray[np.uint8], labels: NDArray[np.int64], names: tuple[str, ...], channels: int) -> Split:
    return Split(repeated(images, channels), labels, names)


@dataclass(frozen=True)
class DataInfo:
    """The facts of a dataset that a model needs. shape: of one image, channels last, (H, W, C) or (D, H, W, C)."""

    name: str
    task: Task
    class_names: tuple[str, ...]
    shape: tuple[int, ...]

    @property
    def channels(self) -> int:
        """Return the number of channels."""
        return self.shape[-1]

    @property
    def n_classes(self) -> int:
        """Return the number of classes, or of labels."""
        return len(self.class_names)

    @property
    def is_3d(self) -> bool:
        """Tell whether images are volumes."""
        return len(self.shape) == 4


@dataclass(frozen=True)
class Data:
    """A dataset in memory, checked.

    Arrays may be read-only and shared between processes. notes: what the user should know, such as a class that a split
    lacks. source: the file or folder that was read. folder: the decoded arrays in the cache, with the statistics.
    """

    info: DataInfo
    splits: Mapping[str, Split]
    digest: str
    notes: tuple[str, ...] = field(default=())
    source: Path | None = None
    folder: Path | None = None

    def __iter__(self) -> Iterator[tuple[str, Split]]:
        return iter(self.splits.items())


def make_data(
    name: str,
    task: Task,
    class_names: tuple[str, ...],
    splits: Mapping[str, tuple[np.ndarray, np.ndarray]],
    source: Path | None = None,
    remedy: str = "get the file again",
) -> Data:
    """Check three splits and bind them. Raises `InputError` that names file or dataset, fault and remedy."""
    where = str(source or name)
    try:
        checked = {split: _checked_split(split, *splits[split], task, len(class_names)) for split in SPLITS}
        shapes = {split: part.images.shape[1:] for split, part in checked.items()}
        if len(set(shapes.values())) != 1:
            raise InputError(f"the splits differ in image shape {shapes}")
    except InputError as error:
        raise InputError(f"{where}: {error}; {remedy}") from None
    info = DataInfo(name, task, class_names, shapes["train"])
    notes = (
        *(note for split, part in checked.items() for note in _class_notes(info, split, part)),
        *shared_images(name, {split: part.images for split, part in checked.items()}),
    )
    return Data(info, checked, digest_of(checked), notes, source)


def as_rgb(data: Data) -> Data:
    """Return a grey dataset with three equal channels, which take no memory. Its digest says so."""
    info = replace(data.info, shape=(*data.info.shape[:-1], 3))
    splits = {name: replace(split, images=repeated(split.images, 3)) for name, split in data}
    digest = hashlib.sha256(f"{data.digest} as RGB".encode()).hexdigest()[:16]
    return replace(data, info=info, splits=splits, digest=digest)


def _checked_split(split: str, images: np.ndarray, labels: np.ndarray, task: Task, n_classes: int) -> Split:
    if images.dtype != np.uint8 or images.ndim not in (4, 5):
        raise InputError(f"{split} images must be uint8 (N, [D,] H, W, C), found {images.dtype} {images.shape}")
    if len(images) == 0 or len(images) != len(labels):
        raise InputError(f"{split} has {len(images)} images and {len(labels)} labels; need one an image, at least one")
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"{split} labels must be integers, found {labels.dtype}")
    top = 2 if task == MULTI_LABEL else n_classes
    if labels.min() < 0 or labels.max() >= top:
        raise InputError(f"{split} labels must lie in 0..{top - 1}, found {labels.min()}..{labels.max()}")
    wanted = (len(images), n_classes) if task == MULTI_LABEL else (len(images),)
    if labels.shape != wanted:
        raise InputError(f"{split} labels must have shape {wanted}, found {labels.shape}")
    if split == "train" and task != MULTI_LABEL and labels.min() == labels.max():
        raise InputError(f"{split} has class {labels[0]} only, and nothing can be learned from one class")
    return Split(np.ascontiguousarray(images), labels.astype(np.int64))


def class_counts(info: DataInfo, split: Split) -> dict[str, int]:
    """Count the images of each class in a split; of multi-label sets, the images with each label."""
    counts = split.labels.sum(axis=0) if split.labels.ndim == 2 else np.bincount(split.labels, minlength=info.n_classes)
    return dict(zip(info.class_names, counts.tolist(), strict=True))


# Classes that a line names at most.
MOST_CLASSES = 12


def class_line(data: Data) -> str:
    """Return a line such as `folder:brain_mri: glioma 42/9/9, ... (images in train/val/test)`."""
    counts = [class_counts(data.info, split) for _, split in data]
    names = [f"{name} {'/'.join(str(count[name]) for count in counts)}" for name in data.info.class_names]
    more = f" and {len(names) - MOST_CLASSES} more" if len(names) > MOST_CLASSES else ""
    return f"{short_name(data.info.name)}: {', '.join(names[:MOST_CLASSES])}{more} (images in train/val/test)"


def classes_without_auc(info: DataInfo, split: Split) -> list[str]:
    """Return the classes that make AUC undefined on a split: those of no image and, of labels, those of every image."""
    undefined = (0, len(split)) if info.task == MULTI_LABEL else (0,)
    return [name for name, n in class_counts(info, split).items() if n in undefined]


def _class_notes(info: DataInfo, split: str, part: Split) -> Iterator[str]:
    if missing := classes_without_auc(info, part):
        yield f"{info.name}: split {split!r} lacks {', '.join(missing)}; its AUC is undefined (NaN)"


def digest_of(splits: Mapping[str, Split]) -> str:
    """Return 16 hexadecimal digits of SHA-256 over shapes and contents of all splits."""
    digest = hashlib.sha256()
    for split in SPLITS:
        for array in (splits[split].images, splits[split].labels):
            digest.update(f"{split}{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data.cast("B"))
    return digest.hexdigest()[:16]


def chunks(images: NDArray[np.uint8], n_bytes: int = 2**26) -> Iterator[NDArray[np.uint8]]:
    """Yield the images in pieces of about `n_bytes`, so that a mapped array is never wholly in memory."""
    step = max(1, n_bytes // max(1, images[0].nbytes))
    for start in range(0, len(images), step):
        yield images[start : start + step]


def load_stored(request: Request) -> Data:
    """Load a dataset as it is stored: grey images that were asked for as RGB still have one channel."""
    module, function = request.loader.split(":")
    loader: Callable[[Request], Data] = getattr(import_module(module), function)
    return loader(request)
