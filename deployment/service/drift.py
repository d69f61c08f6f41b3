"""Drift: whether the images that come in are spread as the training images were, statistic by statistic."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import rel_entr

# Images that are looked back on, and those without which nothing is said.
WINDOW, ENOUGH = 1000, 100


def stability_index(recent: Sequence[float], deciles: Sequence[float]) -> float:
    """Compute the population stability index of values beside training's deciles (11 numbers, the ends included).

    The sum over the ten classes between deciles of (p - q) ln(p / q), 0 for the same spread; above 0.25 is commonly
    called a shift. Half a value is added to each class. Deciles that are equal make one class. NaN for fewer than 100
    values.
    """
    if len(recent) < ENOUGH or len(deciles) < 3:
        return math.nan
    inner, counts = np.unique(deciles[1:-1], return_counts=True)
    expected = np.append(counts, 1) / (len(deciles) - 1)
    found = np.bincount(np.searchsorted(inner, recent, side="left"), minlength=len(expected)) + 0.5
    found = found / found.sum()
    return float((rel_entr(found, expected) + rel_entr(expected, found)).sum())


@dataclass
class Drift:
    """The statistics of the last images. deciles, ranges: of the training images, by statistic."""

    deciles: Mapping[str, Sequence[float]]
    ranges: Mapping[str, tuple[float, float]]
    recent: dict[str, deque[float]] = field(default_factory=dict)

    def add(self, statistics: Mapping[str, float]) -> None:
        """Note an image."""
        for name, value in statistics.items():
            self.recent.setdefault(name, deque(maxlen=WINDOW)).append(value)

    def index(self, name: str) -> float:
        """Return the stability index of a statistic, NaN where it is not known."""
        return stability_index(self.recent.get(name, ()), self.deciles.get(name, ()))

    def outside(self, name: str) -> float:
        """Return the share of the last images beyond every training image, NaN without any."""
        values = np.array(self.recent.get(name, ()))
        if not len(values) or name not in self.ranges:
            return math.nan
        low, high = self.ranges[name]
        return float(np.mean((values < low - 1e-6) | (values > high + 1e-6)))

    def mean(self, name: str) -> float:
        """Return the mean of a statistic over the last images, NaN without any."""
        values = self.recent.get(name)
        return sum(values) / len(values) if values else math.nan
