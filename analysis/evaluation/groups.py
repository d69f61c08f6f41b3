"""Figures by group of images: by class, brightness and contrast, and by the columns of a user's file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.evaluation.bootstrap import Interval, headline, proportion_interval
from analysis.evaluation.paired import independent_proportions
from analysis.evaluation.predictions import Predictions

# The width of an interval from which on a group is called too small.
WIDE = 0.2
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
