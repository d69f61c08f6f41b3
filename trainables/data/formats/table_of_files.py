"""A table of image files: `csv:FILE?image=COLUMN&label=COLUMN[,COLUMN...][&split=COLUMN][&group=COLUMN]...`.

Each row names a file, or a folder with the slices of one volume; with `series=COLUMN`, rows of one value are the slices
of one volume. Paths start from `root` (the table's own folder where it is not given) and stay in it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from trainables.data.arrays import Data, Request, make_data
from trainables.data.cache import cached
from trainables.data.dataset_names import TableOptions, table_options
from trainables.data.downloads import fingerprint
from trainables.data.formats import dicom
from trainables.data.formats.image_files import SPLIT_NAMES, SUFFIXES, fault_of
from trainables.data.formats.medical_files import ERRORS, FileReader
from trainables.data.reading.decoding import (
    ImageSource,
    Look,
    Reader,
    Wanted,
    copy_splits,
    decode,
    printable,
    some,
    with_names,
)
from trainables.data.reading.labels import SEPARATOR, Labels, label_columns, separated_labels, single_labels
from trainables.data.reading.tables import Table, read_table
from trainables.data.splitting import divide
from trainables.errors import InputError


@dataclass(frozen=True)
class Row:
    """One image of a table: its files, and the texts of its labels, split and group."""

    source: ImageSource
    labels: tuple[str, ...]
    split: str = ""
    group: str = ""


def load_table(request: Request) -> Data:
    """Read the images that a table names. Splits that lack are cut from train with seed 42; groups share none."""
    options = table_options(request.name)
    names = (options.image, options.label, *options.label.split(","), options.split, options.group, options.series)
    table = read_table(options.path, {name.strip() for name in names if name})
    rows = _rows(options, table)
    files = {path for row in rows for path in row.source.paths if not row.source.fault}
    faults = [(row.source.name, row.source.fault) for row in rows if row.source.fault]
    try:
        key = fingerprint([options.path, *sorted(files)], request.size, request.channels, options, faults)
    except OSError as error:
        raise InputError(f"{options.path}: {error.filename} went away while it was read: run again") from None
    return cached(request, f"table-{key}", partial(_decode, request, options, rows))


def _decode(request: Request, options: TableOptions, rows: Sequence[Row], folder: Path) -> Data:
    where = str(options.path)
    usable = [number for number, row in enumerate(rows) if not row.source.fault]
    labels = _labels(options, [rows[number] for number in usable])
    # Before the images are decoded, which may take long: groups that splits share are refused.
    if usable:
        _divided(where, options, [rows[number] for number in usable], labels.values)
    wanted = Wanted(options.path, request.size, request.channels, options.skip_unreadable)
    reader = FileReader(options.window, options.frame)
    decoded = decode(
        [row.source for row in rows],
        Reader(reader.look, reader.read, ERRORS, "the library", partial(_check_effect, where, options)),
        wanted,
        folder,
    )
    place = {number: place for place, number in enumerate(usable)}
    values = labels.values[[place[int(number)] for number in decoded.readable]]
    kept = [rows[number] for number in decoded.readable]
    chosen, how = _divided(where, options, kept, values)
    images = copy_splits(decoded, chosen, folder)
    splits = {name: (images[name], values[numbers]) for name, numbers in chosen.items()}
    data = make_data(request.name, labels.task, labels.class_names, splits, options.path, "add rows to the table")
    return with_names(data, [row.source.name for row in kept], chosen, (*decoded.notes, *how, *labels.notes))


def _divided(
    where: str, options: TableOptions, rows: Sequence[Row], values: np.ndarray
) -> tuple[dict[str, np.ndarray], list[str]]:
    groups = np.array([row.group for row in rows]) if options.group else None
    given = np.array([row.split for row in rows]) if options.split else None
    return divide(where, values, groups, given)


def _rows(options: TableOptions, table: Table) -> list[Row]:
    """Return the images of a table, with what is wrong with each. Raises `InputError` for a column that it lacks."""
    if not os.path.isdir(options.root):
        raise InputError(f"{options.path}: root={options.root} is no folder: name it from the table's folder on")
    images = table.column("image", options.image)
    columns = [table.column("label", name) for name in _label_names(options, table)]
    splits = _splits(options, table)
    groups = table.column("group", options.group) if options.group else [""] * len(table)
    may_lack = len(columns) == 1 and any(SEPARATOR in cell for cell in columns[0])
    root = os.path.realpath(options.root)
    rows = []
    for number, image in enumerate(images):
        texts = tuple(column[number] for column in columns)
        source = _source(root, image)
        lacks = [
            f"no {what}"
            for what, is_empty in (
                ("label", not all(texts) and not may_lack),
                ("split", bool(options.split) and not splits[number]),
                ("group", bool(options.group) and not groups[number]),
            )
            if is_empty
        ]
        fault = source.fault or (f"its row has {' and '.join(lacks)}" if lacks else "")
        rows.append(Row(replace(source, fault=fault), texts, splits[number], groups[number]))
    if all(row.source.fault == os.strerror(errno.ENOENT) for row in rows):
        raise InputError(
            f"{options.path}: none of its {len(rows)} files is there, such as {rows[0].source.paths[0]}: name "
            "the folder that its paths start from with root="
        )
    return _series(table.column("series", options.series), rows) if options.series else rows


def _label_names(options: TableOptions, table: Table) -> list[str]:
    """Return the columns of labels: one whose whole name is given, else those between commas."""
    if options.label in table.header:
        return [options.label]
    return [name.strip() for name in options.label.split(",")]


def _splits(options: TableOptions, table: Table) -> list[str]:
    if options.split is None:
        return [""] * len(table)
    cells = table.column("split", options.split)
    if unknown := [printable(cell) for cell in dict.fromkeys(cells) if cell and cell.lower() not in SPLIT_NAMES]:
        raise InputError(
            f"{options.path}: split={options.split}: the column holds {some(unknown, 3)}: write train, val and test "
            f"(or {', '.join(name for name in SPLIT_NAMES if name not in SPLIT_NAMES.values())})"
        )
    return [SPLIT_NAMES.get(cell.lower(), "") for cell in cells]


def _source(root: str, image: str) -> ImageSource:
    """Return the file or the folder of slices that a cell names, which must lie in the root, links followed."""
    if not image or "\0" in image:
        return ImageSource(printable(image) or "a row", (), "its row names no file")
    path = Path(root, image)
    if "\\" in image and not os.path.exists(path):
        path = Path(root, image.replace("\\", "/"))
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(root):
        return ImageSource(image, (), f"lies outside of {root}: name a folder that holds it with root=")
    name = Path(os.path.normpath(path)).relative_to(root).as_posix() if path.is_relative_to(root) else image
    if os.path.isdir(real):
        return _slices(name, real, root)
    return ImageSource(name, (real,), fault_of(real))


def _slices(name: str, folder: Path, root: str) -> ImageSource:
    """Return the files of a folder as the slices of a volume: DICOM files where there are any, else images by name."""
    try:
        found = [path for path in sorted(folder.iterdir()) if path.is_file()]
    except OSError as error:
        return ImageSource(name, (), error.strerror or "cannot be read")
    files = [path for path in found if not path.name.startswith(".") and path.name != "DICOMDIR"]
    if any(not Path(os.path.realpath(path)).is_relative_to(root) for path in files):
        return ImageSource(name, (), f"holds links that lead out of {root}")
    slices = [path for path in files if dicom.is_dicom(path)]
    slices = slices or [path for path in files if path.suffix.lower() in SUFFIXES]
    fault = "" if slices else "a folder without a DICOM file or an image"
    return ImageSource(name, tuple(slices), fault, is_series=True)


def _series(values: Sequence[str], rows: Sequence[Row]) -> list[Row]:
    """Bind rows of one value into one volume."""
    members: dict[str, list[Row]] = {}
    for number, (value, row) in enumerate(zip(values, rows, strict=True)):
        members.setdefault(value or f"row {number + 1} without a series", []).append(row)
    return [_bound(name, parts) for name, parts in members.items()]


def _bound(name: str, parts: Sequence[Row]) -> Row:
    faults = [f"{part.source.name}: {part.source.fault}" for part in parts if part.source.fault]
    for what, values in (
        ("labels", {part.labels for part in parts}),
        ("splits", {part.split for part in parts}),
        ("groups", {part.group for part in parts}),
    ):
        if len(values) > 1:
            faults.append(f"its rows have {len(values)} {what}")
    paths = tuple(path for part in parts for path in part.source.paths)
    return replace(parts[0], source=ImageSource(name, paths, faults[0] if faults else "", is_series=True))


def _labels(options: TableOptions, rows: Sequence[Row]) -> Labels:
    if not rows:
        return Labels(np.zeros(0, np.int64), ("none",), "multi-class")
    where = f"{options.path}, column {options.label}"
    names = len(rows[0].labels)
    columns = [[row.labels[number] for row in rows] for number in range(names)]
    several = names > 1 or any(SEPARATOR in text for text in columns[0])
    if several and options.order:
        raise InputError(f"{options.path}: order= has no effect on several labels an image: leave it out")
    if names > 1:
        return label_columns(columns, [name.strip() for name in options.label.split(",")], str(options.path))
    return separated_labels(columns[0], where) if several else single_labels(columns[0], options.order, where)


def _check_effect(where: str, options: TableOptions, looks: Sequence[Look]) -> None:
    """Raise `InputError` for an option that would have no effect on any file."""
    if options.frame is not None and all(look.depth == 1 for look in looks):
        raise InputError(f"{where}: frame={options.frame} has no effect: no file holds several slices; leave it out")
    if options.window is not None and not any(look.grey for look in looks):
        raise InputError(f"{where}: window= has no effect: all images are in colour; leave it out")
