"""A folder of images as a dataset: `folder:PATH[?group=REGEX][&unreadable=skip]`.

PATH holds one subfolder for each class, or subfolders train, val and test that hold the class subfolders. Images are
decoded once, resized to squares, brought to one mode and kept in the cache.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from trainables.data.arrays import SPLITS, Data, Request, Task, make_data
from trainables.data.cache import cached
from trainables.data.downloads import check_room, stamp
from trainables.data.folder_names import FolderOptions, folder_options
from trainables.data.splitting import FRACTIONS, SPLIT_SEED, grouped_split, stratified_split
from trainables.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pnm")
SPLIT_NAMES = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
    "testing": "test",
}  # fmt: skip
SHOWN = 10  # names at most in a message


@dataclass(frozen=True)
class ImageFile:
    """One file: its path, its class, and its split where the folder is divided already."""

    path: Path
    class_name: str
    split: str = ""


def load_image_folder(request: Request) -> Data:
    """Split 70/15/15 by class (and by group) with seed 42, unless the folder has train, val and test subfolders."""
    options = folder_options(request.name)
    files = sorted(find_images(options.path), key=lambda file: str(file.path))
    query = request.name.partition("?")[2]
    key = stamp((file.path for file in files), request.size, request.channels, query)
    return cached(request, f"folder-{key}", partial(_decode, request, options, files))


def find_images(root: Path) -> Iterator[ImageFile]:
    """The image files of a folder. Raises `InputError` where it has no class subfolders or one of them no image."""
    if not root.is_dir():
        raise InputError(f"{root} is no folder: name a folder of class subfolders with folder:PATH")
    parts = _subfolders(root)
    split_of = {part: SPLIT_NAMES.get(part.name.lower(), "") for part in parts}
    if not parts or (any(split_of.values()) and not all(split_of.values())):
        names = ", ".join(part.name for part in parts) or "nothing"
        raise InputError(f"{root} must hold class subfolders, or train, val and test; found {names}")
    for part in parts:
        if not split_of[part]:
            yield from _images_of(part, "")
        elif not _subfolders(part):
            raise InputError(f"{part} holds no class subfolders: put each class's images into one")
        for class_folder in _subfolders(part) if split_of[part] else ():
            yield from _images_of(class_folder, split_of[part])


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _images_of(folder: Path, split: str) -> list[ImageFile]:
    paths = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
    if not paths:
        raise InputError(f"{folder} holds no image ({' '.join(SUFFIXES)}): add some, or delete the subfolder")
    return [ImageFile(path, folder.name, split) for path in paths]


def _decode(request: Request, options: FolderOptions, files: list[ImageFile], folder: Path) -> Data:
    """Decode all files into one mapped array, then copy each split's rows into an array of its own."""
    grey = sum(map(is_grey, files))
    channels = request.channels or (1 if grey == len(files) else 3)
    shape = (len(files), request.size, request.size, channels)
    check_room(options.path, folder, 2 * int(np.prod(shape)))
    pixels = open_memmap(folder / "all.npy", mode="w+", dtype=np.uint8, shape=shape)
    with ThreadPoolExecutor() as pool:  # Pillow lets go of the interpreter while it decodes
        faults = list(pool.map(partial(_decode_one, files, pixels), range(len(files))))
    readable = np.flatnonzero([not fault for fault in faults])
    notes = [*_unreadable(options, files, faults), *_mixture(options, grey, len(files), channels)]
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


def _mixture(options: FolderOptions, grey: int, n: int, channels: int) -> Iterator[str]:
    if 0 < grey < n:
        mode = "grey" if channels == 1 else "RGB"
        yield f"{options.path}: {grey} grey and {n - grey} colour files, all brought to {mode}"


def _task(class_names: tuple[str, ...]) -> Task:
    return "binary-class" if len(class_names) == 2 else "multi-class"


def _relative(options: FolderOptions, file: ImageFile) -> str:
    return file.path.relative_to(options.path).as_posix()


def is_grey(file: ImageFile) -> bool:
    """Whether a file's mode has no colour; a file that cannot be read has none either."""
    from PIL import Image

    try:
        with Image.open(file.path) as image:
            return image.mode in ("1", "L", "LA", "La")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return True


def _decode_one(files: list[ImageFile], pixels: np.ndarray, row: int) -> str:
    """Decode a file into its row: upright, one mode, squeezed to the square. Returns what is wrong with it, or ""."""
    from PIL import Image, ImageOps

    side, channels = pixels.shape[1], pixels.shape[3]
    try:
        with Image.open(files[row].path) as image:
            if image.mode[0] in "IF":
                return f"{image.mode} has more than 8 bits: convert it, its window is for you to choose"
            colours = image.convert("RGBA") if "transparency" in image.info else image
            upright = ImageOps.exif_transpose(colours).convert("L" if channels == 1 else "RGB")
            square = upright.resize((side, side), Image.Resampling.BILINEAR)
            pixels[row] = np.asarray(square).reshape(side, side, channels)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return str(error).splitlines()[0] or type(error).__name__
    return ""


def _unreadable(options: FolderOptions, files: list[ImageFile], faults: list[str]) -> tuple[str, ...]:
    """A note that lists the unreadable images, or an `InputError` where they are not to be skipped."""
    bad = [f"{_relative(options, file)} ({fault})" for file, fault in zip(files, faults, strict=True) if fault]
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
    """Rows of train, val and test, and what to tell the user of how they came about."""
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
    """The rows of a mapped array in a file of their own, piece by piece."""
    if len(rows) == 0:
        return pixels[:0]
    target = open_memmap(path, mode="w+", dtype=np.uint8, shape=(len(rows), *pixels.shape[1:]))
    step = max(1, 2**26 // max(1, pixels[0].nbytes))
    for start in range(0, len(rows), step):
        target[start : start + step] = pixels[rows[start : start + step]]
    target.flush()
    return target
