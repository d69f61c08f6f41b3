"""A folder of images as a dataset: `folder:PATH[?group=REGEX][&unreadable=skip]`.

PATH holds one subfolder for each class, or subfolders train, val and test that hold the class subfolders. Images are
decoded once, resized to squares, brought to one mode and kept in the cache.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Literal, TypeVar

import numpy as np
from numpy.lib.format import open_memmap

from trainables.data.arrays import SPLITS, Data, Request, Task, make_data
from trainables.data.cache import cached
from trainables.data.downloads import check_room, fingerprint
from trainables.data.folder_names import FolderOptions, folder_options
from trainables.data.formats.image_files import SHOWN, ImageFile, ImageListing, find_images, printable
from trainables.data.splitting import FRACTIONS, SPLIT_SEED, grouped_split, stratified_split
from trainables.errors import InputError

# Pixels; a larger image is decoded while no other one is, so that memory holds a single one.
ALONE = 2**22
_one_at_a_time = Lock()
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Look:
    """The facts in a file's header. fault: why the file cannot be used, or empty."""

    grey: bool = True
    pages: int = 1
    pixels: int = 0
    fault: str = ""


def load_image_folder(request: Request) -> Data:
    """Split 70/15/15 by class (and by group) with seed 42, unless the folder has train, val and test subfolders."""
    options = folder_options(request.name)
    listing = find_images(options.path)
    usable = (file.path for file in listing.images if not file.fault)
    faults = [(file.path, file.fault) for file in listing.images if file.fault]
    how = (options.group and options.group.pattern, options.skip_unreadable, faults)
    key = fingerprint(usable, request.size, request.channels, *how)
    data = cached(request, f"folder-{key}", partial(_decode, request, options, listing))
    return replace(data, notes=(*data.notes, *listing.notes()))


def _decode(request: Request, options: FolderOptions, listing: ImageListing, folder: Path) -> Data:
    """Decode all files into one mapped array, then copy each split's rows into an array of its own."""
    files = listing.images
    # Warnings are ignored: the same ones come again when the pixels are read.
    looks = _in_threads(_look, files, "ignore")[0]
    grey = sum(look.grey for look in looks)
    channels = request.channels or (1 if grey == len(files) else 3)
    shape = (len(files), request.size, request.size, channels)
    check_room(options.path, folder, 2 * int(np.prod(shape)))
    pixels = open_memmap(folder / "all.npy", mode="w+", dtype=np.uint8, shape=shape)
    faults, warned = _in_threads(partial(_decode_one, files, looks, pixels), range(len(files)), "always")
    readable = np.flatnonzero([not fault for fault in faults])
    notes = [
        *_unreadable(options, files, faults), *_mixture(options, grey, len(files), channels),
        *_stacks(options, files, looks), *_warned(options, warned),
    ]  # fmt: skip
    kept = [files[row] for row in readable]
    class_names = tuple(sorted({file.class_name for file in files}))
    labels = np.array([class_names.index(file.class_name) for file in kept], np.int64)
    rows, more = _rows_of_splits(options, kept, labels)
    splits = {name: (_copied(pixels, readable[chosen], folder / f"{name}_images.npy"), labels[chosen])
              for name, chosen in rows.items()}  # fmt: skip
    (folder / "all.npy").unlink()
    data = make_data(request.name, _task(class_names), class_names, splits, options.path, "add images")
    named = {
        name: replace(split, names=tuple(_relative(options, kept[row]) for row in rows[name])) for name, split in data
    }
    return replace(data, splits=named, notes=(*notes, *more, *data.notes))


def _in_threads(
    function: Callable[[Item], Result], items: Sequence[Item], action: Literal["ignore", "always"]
) -> tuple[list[Result], list[str]]:
    """Return results and warnings.

    Pillow lets go of the interpreter while it decodes, and warns in plain text on stderr.
    """
    with warnings.catch_warnings(record=True) as caught, ThreadPoolExecutor() as pool:
        warnings.simplefilter(action)
        return list(pool.map(function, items)), [str(warning.message) for warning in caught]


def _mixture(options: FolderOptions, grey: int, n: int, channels: int) -> Iterator[str]:
    if 0 < grey < n:
        mode = "grey" if channels == 1 else "RGB"
        yield f"{options.path}: {grey} grey and {n - grey} colour files, all brought to {mode}"


def _stacks(options: FolderOptions, files: list[ImageFile], looks: list[Look]) -> Iterator[str]:
    stacks = [
        (printable(_relative(options, file)), look.pages)
        for file, look in zip(files, looks, strict=True)
        if look.pages > 1
    ]
    if stacks:
        shown = ", ".join(f"{name} {pages}" for name, pages in stacks[:SHOWN]) + ", ..." * (len(stacks) > SHOWN)
        yield f"{options.path}: {len(stacks)} file(s) hold several pages ({shown}): the first of each is read"


def _warned(options: FolderOptions, messages: list[str]) -> Iterator[str]:
    """Yield a line for each kind of warning that Pillow gave."""
    for message, n in Counter(text.splitlines()[0][:200] for text in messages if text).most_common(SHOWN):
        yield f"{options.path}: Pillow warns of {n} image(s): {message}"


def _task(class_names: tuple[str, ...]) -> Task:
    return "binary-class" if len(class_names) == 2 else "multi-class"


def _relative(options: FolderOptions, file: ImageFile) -> str:
    return file.path.relative_to(options.path).as_posix()


def _look(file: ImageFile) -> Look:
    """Read a file's header; no pixel is decoded."""
    from PIL import Image

    if file.fault:
        return Look(fault=file.fault)
    try:
        with Image.open(file.path) as image:
            if image.mode[0] in "IF":
                return Look(fault=f"{image.mode} has more than 8 bits: convert it, its window is for you to choose")
            # A second picture of a phone's JPEG is no page.
            pages = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
            return Look(image.mode in ("1", "L", "LA", "La"), pages, image.width * image.height)
    except (OSError, ValueError, SyntaxError, MemoryError, Image.DecompressionBombError) as error:
        return Look(fault=_reason(error))


def _decode_one(files: list[ImageFile], looks: list[Look], pixels: np.ndarray, row: int) -> str:
    """Decode a file into its row. Returns what is wrong with it, or an empty text."""
    from PIL import Image

    look = looks[row]
    if look.fault:
        return look.fault
    try:
        if look.pixels <= ALONE:
            pixels[row] = _square(files[row].path, pixels.shape[1], pixels.shape[3])
        else:
            with _one_at_a_time:
                pixels[row] = _square(files[row].path, pixels.shape[1], pixels.shape[3])
    except (OSError, ValueError, SyntaxError, MemoryError, Image.DecompressionBombError) as error:
        return _reason(error)
    return ""


def _square(path: Path, side: int, channels: int) -> np.ndarray:
    """Return the image upright, in one mode, squeezed to (side, side, channels) uint8.

    Holds one copy of a large image.
    """
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        upright: Image.Image = image
        if "transparency" in image.info:
            upright = image.convert("RGBA")
        ImageOps.exif_transpose(upright, in_place=True)
        mode = "L" if channels == 1 else "RGB"
        if upright.mode != mode:
            upright = upright.convert(mode)
        square = upright.resize((side, side), Image.Resampling.BILINEAR)
        return np.asarray(square).reshape(side, side, channels)


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "too large for this machine's memory"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _unreadable(options: FolderOptions, files: list[ImageFile], faults: list[str]) -> tuple[str, ...]:
    """Return a note that lists the unreadable images; raise `InputError` where they are not to be skipped."""
    bad = [
        f"{printable(_relative(options, file))} ({fault})" for file, fault in zip(files, faults, strict=True) if fault
    ]
    if not bad:
        return ()
    shown = "; ".join(bad[:SHOWN]) + ("; ..." if len(bad) > SHOWN else "")
    if options.skip_unreadable and len(bad) < len(files):
        return (f"{options.path}: skipped {len(bad)} of {len(files)} images that cannot be read: {shown}",)
    raise InputError(
        f"{options.path}: {len(bad)} of {len(files)} images cannot be read: {shown}: "
        "repair or delete them, or add ?unreadable=skip to the dataset's name"
    )


def _rows_of_splits(
    options: FolderOptions, files: list[ImageFile], labels: np.ndarray
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Return the rows of train, val and test, and notes on how they came about."""
    groups = np.array([_group(options.group, file) for file in files]) if options.group else None
    given = np.array([file.split for file in files])
    if not given.any():
        return _split(labels, groups, FRACTIONS), ()
    missing = [split for split in SPLITS if split not in given]
    if missing and missing != ["val"]:
        raise InputError(f"{options.path} lacks the subfolder(s) {', '.join(missing)}: only val can be made from train")
    rows = {split: np.flatnonzero(given == split) for split in SPLITS}
    if not missing:
        return rows, ()
    train = rows["train"]
    parts = _split(labels[train], None if groups is None else groups[train], (0.85, 0.15, 0.0))
    note = f"{options.path} has no val: 15 % of train, drawn by class with seed {SPLIT_SEED}"
    return {"train": train[parts["train"]], "val": train[parts["val"]], "test": rows["test"]}, (note,)


def _split(
    labels: np.ndarray, groups: np.ndarray | None, fractions: tuple[float, float, float]
) -> dict[str, np.ndarray]:
    if groups is None:
        return stratified_split(labels, fractions, SPLIT_SEED)
    return grouped_split(labels, groups, fractions, SPLIT_SEED)


def _group(expression: re.Pattern[str], file: ImageFile) -> str:
    match = expression.search(file.path.name)
    if match is None:
        raise InputError(f"{file.path} does not match group={expression.pattern!r}: every file name must")
    return match.group(1) if match.groups() and match.group(1) is not None else match.group(0)


def _copied(pixels: np.ndarray, rows: np.ndarray, path: Path) -> np.ndarray:
    """Copy rows of a mapped array into a file of their own, piece by piece."""
    if len(rows) == 0:
        return pixels[:0]
    target = open_memmap(path, mode="w+", dtype=np.uint8, shape=(len(rows), *pixels.shape[1:]))
    step = max(1, 2**26 // max(1, pixels[0].nbytes))
    for start in range(0, len(rows), step):
        target[start : start + step] = pixels[rows[start : start + step]]
    target.flush()
    return target
