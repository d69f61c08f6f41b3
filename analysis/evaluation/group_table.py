"""A user's groups of images: a CSV that names each image, read before anything else, and matched with the split."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.evaluation.groups import OURS
from analysis.evaluation.predictions import Predictions
from trainables.atomic_files import open_regular
from trainables.errors import InputError

# Columns to group by, and values of one of them.
MOST_COLUMNS, MOST_GROUPS = 50, 50
# Characters of a column's name or of a group's.
LONGEST_NAME = 200
# Bytes of a CSV.
LARGEST = 2**28
FILE, INDEX, SPLIT = "file", "index", "split"
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class GroupTable:
    """The rows of one split in a CSV of groups. by: the column that names the images, `file` or `index`."""

    path: Path
    by: str
    columns: tuple[str, ...]
    rows: Mapping[str, Mapping[str, str]]
    of_one_split: bool


def read_group_table(path: Path, split: str) -> GroupTable:
    """Read a CSV that names images by `file` or `index` and holds a column for each grouping. Raises `InputError`.

    Rows of other splits are left out where a column `split` names them.
    """
    names, rows = _read_rows(path)
    by = FILE if FILE in names else INDEX
    columns = tuple(_to_group_by(names))
    if by not in names or not columns:
        raise InputError(f"{path}: needs a column file or index that names the images, and one or more to group by")
    if len(columns) > MOST_COLUMNS:
        raise InputError(f"{path}: has {len(columns)} columns to group by: give at most {MOST_COLUMNS} at a time")
    if SPLIT in names and not (rows := [row for row in rows if row[SPLIT].strip() == split]):
        raise InputError(f"{path}: holds no row of the split {split}")
    table = GroupTable(path, by, columns, _by_image(path, by, rows), SPLIT in names)
    for column in columns:
        if len(kinds := {row[column].strip() for row in rows}) > MOST_GROUPS:
            raise InputError(
                f"{path}: column {column!r} has {len(kinds)} values: group numbers into at most {MOST_GROUPS}"
            )
    return table


def match_groups(table: GroupTable, predictions: Predictions) -> dict[str, NDArray[np.str_]]:
    """Return the group of each image of the split, by column. Raises `InputError` unless each is in it once."""
    path, by, rows = table.path, table.by, table.rows
    if by == FILE and not predictions.files:
        raise InputError(f"{path}: this dataset's images have no file names: name them by a column index, from 0")
    wanted = predictions.files if by == FILE else tuple(map(str, range(len(predictions))))
    missing = [name for name in wanted if name not in rows]
    if missing:
        raise InputError(f"{path}: {len(missing)} of the split's {len(wanted)} images are missing, the first is {by} "
                         f"{missing[0]!r}")  # fmt: skip
    extra = set(rows) - set(wanted)
    if extra and not table.of_one_split:
        raise InputError(f"{path}: {len(extra)} rows name images that are not in the split, one is {by} "
                         f"{min(extra)!r}; add a column split, or leave them out")  # fmt: skip
    return {column: np.array([rows[name][column].strip() or "(empty)" for name in wanted]) for column in table.columns}


def _read_rows(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the named columns of a CSV and its rows. Raises `InputError`."""
    try:
        with open_regular(path) as binary, io.TextIOWrapper(binary, encoding="utf-8-sig", newline="") as file:
            if path.stat().st_size > LARGEST:
                raise InputError(f"{path} is larger than {LARGEST // 2**20} MiB: give one row an image")
            table = csv.DictReader(file)
            names = [name for name in table.fieldnames or () if name]
            _check_columns(path, names)
            columns, rows = _to_group_by(names), []
            for row in table:
                if None in row or None in row.values():
                    raise InputError(f"{path}: line {table.line_num} has not as many values as the header")
                _check_texts(f"{path}: line {table.line_num}", {name: row[name] for name in columns})
                rows.append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"--groups {path} cannot be read as CSV in UTF-8 ({error})") from None
    if not rows:
        raise InputError(f"{path} holds no rows: give a header and one row an image")
    return names, rows


def _to_group_by(names: Sequence[str]) -> list[str]:
    return [name for name in names if name not in (FILE, INDEX, SPLIT)]


def _check_columns(path: Path, names: Sequence[str]) -> None:
    _check_texts(f"{path}: the header", {name: name for name in names})
    if wrong := [name for name in names if names.count(name) > 1 or name in OURS]:
        said = "is made here, too" if wrong[0] in OURS else "stands twice"
        raise InputError(f"{path}: column {wrong[0]!r} {said}: rename it")


def _check_texts(where: str, texts: Mapping[str, str]) -> None:
    """Refuse what no table can show: numpy drops a zero character, and a line end in a name makes a line of its own."""
    for column, text in texts.items():
        if len(text) > LONGEST_NAME or CONTROL.search(text.strip()):
            raise InputError(
                f"{where}: {column[:LONGEST_NAME]!r} holds a control character or more than {LONGEST_NAME} characters: "
                "name groups by short texts of one line"
            )


def _by_image(path: Path, by: str, rows: Sequence[Mapping[str, str]]) -> dict[str, Mapping[str, str]]:
    known: dict[str, Mapping[str, str]] = {}
    for row in rows:
        name = row[by].strip()
        if name in known:
            raise InputError(f"{path}: {by} {name!r} stands twice")
        known[name] = row
    return known
