"""Arrays of images and labels as a dataset: those of a file, or those that a function returns.

Divided: `train_images`, `train_labels`, and the same for val and test, of which either may lack. Undivided: `images`
and `labels`. Beside them may stand `groups` (`train_groups`, ...), which splits do not share, and `class_names`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from trainables.data.arrays import SPLITS, Data, Request, make_data
from trainables.data.dataset_names import Window
from trainables.data.downloads import check_room
from trainables.data.reading.intensity import limits_of, not_finite, stretched, windowed
from trainables.data.reading.labels import label_array
from trainables.data.reading.resizing import resized, to_channels
from trainables.data.splitting import divide
from trainables.errors import InputError

CLASS_NAMES = "class_names"
# Values that are looked at in one piece.
PIECE = 2**24
Convert = Callable[[np.ndarray], NDArray[np.uint8]]


@dataclass(frozen=True)
class Reading:
    """The way arrays are read. where: the data, for messages; folder: the images' place on disk, None: in memory."""

    where: str
    source: Path | None
    folder: Path | None
    window: Window | None = None
    order: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """A pair of arrays. images: (N, H, W, C) or (N, D, H, W, C) of any type of number. split: "" where undivided."""

    split: str
    images: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None


def names_of_arrays(names: Sequence[str], where: str) -> list[str]:
    """Return the names that are read of those that are there. Raises `InputError` where a pair is not whole."""
    splits = [""] if "images" in names else [split for split in SPLITS if f"{split}_images" in names]
    if not splits or splits[0] not in ("", "train"):
        found = ", ".join(names) or "none"
        raise InputError(
            f"{where}: found {found}: give images and labels, or train_images and train_labels, the same for val and "
            "test, and class_names if there are any"
        )
    keys = [_key(split, kind) for split in splits for kind in ("images", "labels")]
    if missing := [key for key in keys if key not in names]:
        raise InputError(f"{where} lacks {', '.join(missing)}: give one label an image")
    return keys + [key for key in (*(_key(split, "groups") for split in splits), CLASS_NAMES) if key in names]


def data_of(request: Request, arrays: Mapping[str, np.ndarray], reading: Reading) -> Data:
    """Divide, bring to uint8, resize and check arrays. Raises `InputError` for what cannot be meant."""
    where = reading.where
    splits = [""] if "images" in arrays else [split for split in SPLITS if f"{split}_images" in arrays]
    parts, notes = zip(*(_part(arrays, split, where) for split in splits), strict=True)
    names = [str(name) for name in np.ravel(arrays[CLASS_NAMES])] if CLASS_NAMES in arrays else []
    labels = label_array(_joined([part.labels for part in parts], "labels", where), reading.order, names, where)
    groups = _groups(parts, where)
    given = np.repeat([part.split for part in parts], [len(part.images) for part in parts]) if splits != [""] else None
    rows, how = divide(where, labels.values, groups, given)
    chosen = {split: _of_part(parts, rows[split]) for split in SPLITS}
    convert, scale = _scale(parts, *chosen["train"], reading)
    shape = _shape(request, parts, where)
    if reading.folder is not None:
        check_room(Path(where), reading.folder, sum(map(len, rows.values())) * int(np.prod(shape)))
    written = {
        split: (_written(*chosen[split], convert, shape, reading, split), labels.values[rows[split]])
        for split in SPLITS
    }
    remedy = "mend the arrays"
    data = make_data(request.name, labels.task, labels.class_names, written, reading.source, remedy)
    more = (*dict.fromkeys(notes), *how, *scale, *labels.notes)
    return replace(data, notes=(*(note for note in more if note), *data.notes))


def _key(split: str, kind: str) -> str:
    return f"{split}_{kind}" if split else kind


def _part(arrays: Mapping[str, np.ndarray], split: str, where: str) -> tuple[Part, str]:
    """Return a pair of arrays, with a channel axis that comes last, and a note where it came second."""
    images, labels = arrays[_key(split, "images")], arrays[_key(split, "labels")]
    groups = arrays.get(_key(split, "groups"))
    name = _key(split, "images")
    if images.dtype.kind not in "biuf":
        raise InputError(f"{where}: {name} are of type {images.dtype}: give numbers")
    for kind, other in (("labels", labels), ("groups", groups)):
        if other is not None and len(other) != len(images):
            raise InputError(f"{where}: {len(images)} {name} and {len(other)} {_key(split, kind)}: give one an image")
    shaped, note = _channels_last(images, name, where)
    return Part(split, shaped, labels, groups), note


def _channels_last(images: np.ndarray, name: str, where: str) -> tuple[np.ndarray, str]:
    """Return images as (N, [D,] H, W, C). C is the last axis where it has 1 or 3, else the second, else none."""
    shape = images.shape
    if images.ndim not in (3, 4, 5) or 0 in shape:
        raise InputError(
            f"{where}: {name} have shape {shape}: give (N, H, W), (N, D, H, W), or either with 1 or 3 channels"
        )
    if images.ndim == 4 and shape[-1] in (2, 4):
        raise InputError(
            f"{where}: {name} have {shape[-1]} channels: give 1 (grey) or 3 (RGB), such as images[..., :3]"
        )
    if images.ndim == 3:
        return images[..., None], ""
    if shape[-1] in (1, 3):
        return images, ""
    if shape[1] in (1, 3):
        return np.moveaxis(images, 1, -1), f"{where}: images of shape {shape[1:]} are read as channels first"
    if images.ndim == 4:
        return images[..., None], ""
    raise InputError(f"{where}: {name} have shape {shape}: volumes have 1 or 3 channels, first or last")


def _joined(arrays: Sequence[np.ndarray], what: str, where: str) -> np.ndarray:
    shapes = {array.shape[1:] for array in arrays}
    kinds = {"text" if array.dtype.kind in "US" else "numbers" for array in arrays}
    if len(shapes) > 1 or len(kinds) > 1:
        raise InputError(f"{where}: the splits' {what} differ in shape or type ({shapes | kinds}): give them alike")
    return np.concatenate(arrays)


def _groups(parts: Sequence[Part], where: str) -> np.ndarray | None:
    groups = [part.groups for part in parts if part.groups is not None]
    if not groups:
        return None
    if len(groups) < len(parts) or any(group.ndim != 1 or group.dtype.kind not in "biuSU" for group in groups):
        raise InputError(f"{where}: groups must be (N,) whole numbers or texts, in every split or in none")
    return _joined(groups, "groups", where)


def _of_part(parts: Sequence[Part], rows: np.ndarray) -> tuple[np.ndarray, NDArray[np.int64]]:
    """Return the array that a split's images stand in, and their rows there: no split takes from two arrays."""
    start = 0
    for part in parts:
        inside = (rows >= start) & (rows < start + len(part.images))
        if inside.all() and len(rows):
            return part.images, rows - start
        start += len(part.images)
    return parts[0].images, rows[:0]


def _pieces(images: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    step = max(1, PIECE // max(1, images[0].size))
    for start in range(0, len(rows), step):
        yield images[rows[start : start + step]]


def _scale(parts: Sequence[Part], train: np.ndarray, rows: np.ndarray, reading: Reading) -> tuple[Convert, list[str]]:
    """Return what brings images to uint8, the same for all splits, and notes that say it."""
    types = {part.images.dtype for part in parts}
    if len(types) > 1:
        raise InputError(f"{reading.where}: the splits' images are of types {', '.join(map(str, types))}: use one")
    kind = types.pop()
    odd = sum(not_finite(part.images) for part in parts)
    notes = [f"{reading.where}: {odd:,} values are infinite or no number, and become the nearest end or 0"] * bool(odd)
    if reading.window is not None:
        return partial(windowed, window=reading.window), notes
    if kind == np.uint8:
        return np.asarray, notes
    ends = [limits_of(part.images) for part in parts]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    if kind.kind == "b":
        return partial(stretched, low=0, high=1), notes
    if kind.kind == "f" and low >= 0 and high <= 1:
        return partial(stretched, low=0, high=1), [*notes, f"{reading.where}: values from 0 to 1 become 0 to 255"]
    if low >= 0 and high <= 255 and (kind.kind in "iu" or all(_are_whole(part.images) for part in parts)):
        return partial(stretched, low=0, high=255), notes
    of_train = [limits_of(piece) for piece in _pieces(train, rows)]
    low, high = min((low for low, _ in of_train), default=np.nan), max((high for _, high in of_train), default=np.nan)
    said = f"{reading.where}: {kind} values from {low:g} to {high:g}, the ends of train, become 0 to 255"
    return partial(stretched, low=low, high=high), [*notes, said]


def _are_whole(images: np.ndarray) -> bool:
    """Tell whether all finite values are whole numbers."""
    finite = (piece[np.isfinite(piece)] for piece in _pieces(images, np.arange(len(images))))
    return all(bool(np.all(values == np.rint(values))) for values in finite)


def _shape(request: Request, parts: Sequence[Part], where: str) -> tuple[int, ...]:
    """Return the shape of one image as it is wanted."""
    shapes = {part.images.shape[1:] for part in parts}
    if len({len(shape) for shape in shapes}) > 1 or (len(shapes) > 1 and not request.size):
        raise InputError(f"{where}: the splits differ in image shape {shapes}: resize them, or set image_size")
    *sides, channels = parts[0].images.shape[1:]
    if request.size:
        sides = [request.size] * len(sides)
    return (*sides, 1 if request.channels == 1 else channels)


def _written(
    images: np.ndarray, rows: np.ndarray, convert: Convert, shape: tuple[int, ...], reading: Reading, split: str
) -> NDArray[np.uint8]:
    """Write a split's images as uint8 of their final shape, piece by piece."""
    whole = (len(rows), *shape)
    if reading.folder is None or not len(rows):
        target = np.empty(whole, np.uint8)
    else:
        # Beside the unpacked arrays, of which one may bear the same name.
        target = open_memmap(reading.folder / f".{split}.npy", mode="w+", dtype=np.uint8, shape=whole)
    start = 0
    for piece in _pieces(images, rows):
        for image in convert(piece):
            one = to_channels(image, shape[-1])
            target[start] = one if one.shape == shape else resized(one, shape[0])
            start += 1
    return target
