"""The values of a measure where there is nothing to find: of the same values shuffled, or as many Gaussian ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from analysis.measures import moments
from analysis.measures._values import Values, finite, flat, quiet

REPEATS, REPEATS_FOR_Z = 5, 20
# Where the caller leaves the repeats open, no more than about so many values are drawn in all.
VALUES = 50_000


@dataclass(frozen=True, slots=True)
class Baseline:
    """A measured value beside the mean and standard deviation of the same measure over its baseline."""

    value: float
    mean: float
    deviation: float
    z: float
    repeats: int


@quiet
def shuffled(
    function: Callable[[Values], float], x: ArrayLike, repeats: int | None = None, *, seed: int = 0
) -> Baseline:
    """A measure of a series beside that of its values in random order: what the order of the weights adds.

    Formula: z = (f(x) - mean f(s)) / sd f(s) over seeded permutations s. By default 5 of them, fewer for long series.
    Degenerate: NaN where the series is empty or not finite, or the measure is; z is NaN where the baseline is constant.
    Source: Theiler et al. (1992), Physica D 58, 77, algorithm zero.

    >>> shuffled(lambda v: float(v[0]), [1.0, 1.0, 1.0]).mean
    1.0
    """
    values = flat(x)
    rng = np.random.default_rng(seed)
    return _baseline(function, values, lambda: rng.permutation(values), repeats)


@quiet
def gaussian(
    function: Callable[[Values], float], x: ArrayLike, repeats: int | None = None, *, seed: int = 0
) -> Baseline:
    """A measure of a series beside that of Gaussian values of the same number, mean and standard deviation.

    Formula, degenerate cases and source: as `shuffled`.

    >>> gaussian(lambda v: float(v.size), [1.0, 2.0, 3.0]).mean
    3.0
    """
    values = flat(x)
    rng = np.random.default_rng(seed)
    mean, deviation = moments.mean(values), moments.standard_deviation(values)
    return _baseline(function, values, lambda: rng.normal(mean, deviation, values.size), repeats)


def shuffled_z(function: Callable[[Values], float], name: str, x: ArrayLike) -> dict[str, float]:
    """Return the z-score column of an ordered measure against 20 shuffles, whatever they cost."""
    return {name: shuffled(function, x, REPEATS_FOR_Z).z}


def _baseline(
    function: Callable[[Values], float], values: Values, draw: Callable[[], Values], repeats: int | None
) -> Baseline:
    if not finite(values):
        return Baseline(math.nan, math.nan, math.nan, math.nan, 0)
    wanted = repeats or max(1, min(REPEATS, VALUES // values.size))
    value, null = function(values), np.array([function(draw()) for _ in range(wanted)])
    mean, deviation = float(null.mean()), float(null.std(ddof=1)) if wanted > 1 else math.nan
    # A baseline that varies only by rounding says nothing about the value.
    z = (value - mean) / deviation if deviation > 1e-12 * abs(mean) else math.nan
    return Baseline(value, mean, deviation, z, wanted)
