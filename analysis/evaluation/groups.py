"""Figures by group of images: by class, brightness and contrast, and by the columns of a user's CSV."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.evaluation.bootstrap import Interval, headline, proportion_interval
from analysis.evaluation.paired import independent_proportions
from analysis.evaluation.predictions import Predictions
from trainables.atomic_files import check_regular
from trainables.errors import InputError

# The width of an interval from which on a group is called too small.
WIDE = 0.2
# Values of one column of a CSV.
MOST_GROUPS = 50
# Bytes of a CSV.
LARGEST = 2**28
CLASS = "class"
# Columns of our own.
OURS = (CLASS, "brightness", "contrast")
THIRDS = ("lowest third", "middle third", "highest third")
Groups = Mapping[str, NDArray[np.str_]]


@dataclass(frozen=True)
class GroupRow:
    """One group of a column: n images, figures (mean over seeds) and accuracy's interval (Wilson).

    too_small: the interval is so wide that the group says little.
    """

    column: str
    group: str
    n: int
    figures: dict[str, float]
    acc_95: Interval
    too_small: bool


@dataclass(frozen=True)
class Gap:
    """The largest difference of accuracy between two groups of a column.

    interval: Newcombe's, wide enough for the largest of all pairs of groups (95 %, Bonferroni).
    """

    column: str
    best: str
    worst: str
    difference: float
    interval: Interval


def image_groups(predictions: Predictions, images: NDArray[np.uint8]) -> dict[str, NDArray[np.str_]]:
    """Group every image by class (not for multi-label) and by thirds of brightness and contrast.

    images: (N, ..., C) of the split. Brightness is the mean of an image's values and contrast their standard deviation.
    """
    flat = images.reshape(len(images), -1)
    means, deviations = (np.array([f(row, dtype=np.float32) for row in flat]) for f in (np.mean, np.std))
    groups = {"brightness": _thirds(means), "contrast": _thirds(deviations)}
    # Where all images are alike there are no thirds.
    groups = {name: parts for name, parts in groups.items() if len(set(parts.tolist())) > 1}
    if predictions.labels.ndim == 1:
        groups = {CLASS: np.array(predictions.class_names)[predictions.labels], **groups}
    return groups


def _thirds(values: NDArray[np.floating]) -> NDArray[np.str_]:
    cuts = np.quantile(values, [1 / 3, 2 / 3])
    return np.array(THIRDS)[np.searchsorted(cuts, values, side="left")]


def group_rows(predictions: Sequence[Predictions], groups: Groups) -> list[GroupRow]:
    """Return the figures of each group of each column, mean over networks."""
    return [row for column, names in groups.items() for row in _rows_of(predictions, column, names)]


def _rows_of(predictions: Sequence[Predictions], column: str, names: NDArray[np.str_]) -> Iterator[GroupRow]:
    for group in _in_order(names):
        inside = names == group
        headlines = [headline(p.labels[inside], p.scores[inside], p.task) for p in predictions]
        figures = {name: float(np.mean([one[name][0] for one in headlines])) for name in headlines[0]}
        # Figures that compare classes say nothing of one alone.
        if column == CLASS:
            figures |= dict.fromkeys(set(figures) - {"acc", "ece", "brier"}, math.nan)
        interval = proportion_interval(figures["acc"], int(inside.sum()))
        small = not interval.high - interval.low <= WIDE
        yield GroupRow(column, str(group), int(inside.sum()), figures, interval, small)


def _in_order(names: NDArray[np.str_]) -> list[str]:
    groups = list(dict.fromkeys(names.tolist()))
    return sorted(groups, key=lambda name: (THIRDS.index(name) if name in THIRDS else -1, name))


def gaps(rows: Sequence[GroupRow]) -> list[Gap]:
    """Return the gap of accuracy of each column with two groups or more."""
    result = []
    for column in dict.fromkeys(row.column for row in rows):
        inside = [row for row in rows if row.column == column and math.isfinite(row.figures["acc"])]
        if len(inside) > 1:
            best = max(inside, key=lambda row: row.figures["acc"])
            worst = min((row for row in inside if row is not best), key=lambda row: row.figures["acc"])
            high, low = best.figures["acc"], worst.figures["acc"]
            pairs = len(inside) * (len(inside) - 1) / 2
            interval = independent_proportions(high, best.n, low, worst.n, 1 - 0.05 / pairs)
            result.append(Gap(column, best.group, worst.group, high - low, interval))
    return result


def read_groups(path: Path, predictions: Predictions) -> dict[str, NDArray[np.str_]]:
    """Read a CSV that names images by `file` or `index` and holds a column for each grouping. Raises `InputError`.

    Every image of the split must be in it once; rows of other splits are ignored where a column `split` names them.
    """
    rows = _read_rows(path)
    if "split" in rows[0]:
        rows = [row for row in rows if row["split"] == predictions.split]
    by = "file" if "file" in _columns(path, rows) else "index"
    columns = [name for name in _columns(path, rows) if name not in ("file", "index", "split")]
    if by not in _columns(path, rows) or not columns:
        raise InputError(f"{path}: needs a column file or index that names the images, and one or more to group by")
    if by == "file" and not predictions.files:
        raise InputError(f"{path}: this dataset's images have no file names: name them by a column index, from 0")
    wanted = predictions.files if by == "file" else tuple(map(str, range(len(predictions))))
    matched = _matched(path, rows, by, wanted)
    return {column: _values(path, column, matched) for column in columns}


def _columns(path: Path, rows: Sequence[Mapping[str, str]]) -> list[str]:
    if not rows:
        raise InputError(f"{path}: holds no row of this split")
    return [name for name in rows[0] if name]


def _read_rows(path: Path) -> list[dict[str, str]]:
    try:
        check_regular(path)
        if path.stat().st_size > LARGEST:
            raise InputError(f"{path} is larger than {LARGEST // 2**20} MiB: give one row an image")
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            names = [name for name in table.fieldnames or () if name]
            if wrong := [name for name in names if names.count(name) > 1 or name in OURS]:
                said = "is made here, too" if wrong[0] in OURS else "stands twice"
                raise InputError(f"{path}: column {wrong[0]!r} {said}: rename it")
            rows = list(table)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"--groups {path} cannot be read as CSV in UTF-8 ({error})") from None
    if not rows:
        raise InputError(f"{path} holds no rows: give a header and one row an image")
    if any(None in row or None in row.values() for row in rows):
        line = next(n for n, row in enumerate(rows, start=2) if None in row or None in row.values())
        raise InputError(f"{path}: line {line} has not as many values as the header")
    return rows


def _matched(path: Path, rows: Sequence[dict[str, str]], by: str, wanted: Sequence[str]) -> list[dict[str, str]]:
    known: dict[str, dict[str, str]] = {}
    for row in rows:
        name = row[by].strip()
        if name in known:
            raise InputError(f"{path}: {by} {name!r} stands twice")
        known[name] = row
    missing = [name for name in wanted if name not in known]
    if missing:
        raise InputError(f"{path}: {len(missing)} of the split's {len(wanted)} images are missing, the first is {by} "
                         f"{missing[0]!r}")  # fmt: skip
    extra = set(known) - set(wanted)
    if extra and "split" not in rows[0]:
        raise InputError(f"{path}: {len(extra)} rows name images that are not in the split, one is {by} "
                         f"{min(extra)!r}; add a column split, or leave them out")  # fmt: skip
    return [known[name] for name in wanted]


def _values(path: Path, column: str, rows: Sequence[Mapping[str, str]]) -> NDArray[np.str_]:
    values = np.array([row[column].strip() or "(empty)" for row in rows])
    if len(kinds := set(values.tolist())) > MOST_GROUPS:
        raise InputError(f"{path}: column {column!r} has {len(kinds)} values: group numbers into at most {MOST_GROUPS}")
    return values
