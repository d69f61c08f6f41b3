"""A folder of images as a dataset: `folder:PATH[?group=REGEX][&unreadable=skip]`.

PATH holds one subfolder for each class, or subfolders train, val and test that hold the class subfolders. Images are
decoded once, resized to squares, brought to one mode and kept in the cache.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainables.data.arrays import Data, Request, make_data
from trainables.data.cache import cached
from trainables.data.dataset_names import FolderOptions, folder_options
from trainables.data.downloads import fingerprint
from trainables.data.formats.image_files import ImageFile, ImageListing, find_images
from trainables.data.reading import pillow_files
from trainables.data.reading.decoding import ImageSource, Look, Reader, Wanted, copy_splits, decode, with_names
from trainables.data.reading.labels import task_of
from trainables.data.splitting import divide
from trainables.errors import InputError


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
    sources = [ImageSource(_relative(options, file), (file.path,), file.fault) for file in files]
    wanted = Wanted(options.path, request.size, request.channels, options.skip_unreadable)
    decoded = decode(sources, Reader(_look, _read, pillow_files.ERRORS, "Pillow"), wanted, folder)
    kept = [files[row] for row in decoded.readable]
    class_names = tuple(sorted({file.class_name for file in files}))
    labels = np.array([class_names.index(file.class_name) for file in kept], np.int64)
    groups = np.array([_group(options.group, file) for file in kept]) if options.group else None
    given = np.array([file.split for file in kept])
    rows, more = divide(str(options.path), labels, groups, given if given.any() else None)
    images = copy_splits(decoded, rows, folder)
    splits = {name: (images[name], labels[chosen]) for name, chosen in rows.items()}
    data = make_data(request.name, task_of(class_names), class_names, splits, options.path, "add images")
    return with_names(data, [_relative(options, file) for file in kept], rows, (*decoded.notes, *more))


def _look(source: ImageSource) -> Look:
    found = pillow_files.look(source.paths[0])
    if found.by_percentiles:
        return Look(
            fault=f"{found.mode} has more than 8 bits: list the files in a table, csv:FILE, which takes a window"
        )
    return found


def _read(source: ImageSource, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return pillow_files.square(source.paths[0], shape[0], shape[-1])


def _relative(options: FolderOptions, file: ImageFile) -> str:
    return file.path.relative_to(options.path).as_posix()


def _group(expression: re.Pattern[str], file: ImageFile) -> str:
    match = expression.search(file.path.name)
    if match is None:
        raise InputError(f"{file.path} does not match group={expression.pattern!r}: every file name must")
    return match.group(1) if match.groups() and match.group(1) is not None else match.group(0)
