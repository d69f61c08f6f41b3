"""Means, intervals, p-values and ranks; each function takes plain numbers."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]
ROUNDING = 1e-12
# Replicates from which an interval and a p-value are given.
FEWEST = 3
# Datasets from which Friedman's test is given: with fewer its p is that of a handful of orders.
FEWEST_DATASETS = 5
MOST_SEEDS = 1000


@dataclass(frozen=True)
class Estimate:
    """A mean over n values with its 95 % interval (Student's t); the limits are NaN where there is none."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def half_width(self) -> float:
        """Return half of the interval's width."""
        return (self.high - self.low) / 2.0


def mean_interval(values: Iterable[float | None]) -> Estimate:
    """Return the mean and its 95 % Student-t interval.

    No interval for fewer than 3 values, for values that do not differ (they say nothing of chance), or where one is
    undefined; an undefined value makes the mean NaN, too.

    >>> mean_interval([1.0, 2.0, 3.0])
    Estimate(mean=2.0, low=-0.484..., high=4.484..., n=3)
    """
    # Student's t quantile; scipy.stats would take a second to import.
    from scipy.special import stdtrit

    known = [math.nan if value is None else float(value) for value in values]
    n = len(known)
    mean = fmean(known) if n else math.nan
    if n < FEWEST or not all(map(math.isfinite, known)) or _alike(known):
        return Estimate(mean, math.nan, math.nan, n)
    half = float(stdtrit(n - 1, 0.975)) * stdev(known) / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n)


def _alike(values: Sequence[float]) -> bool:
    """Tell whether values differ by no more than rounding."""
    return max(values) - min(values) <= ROUNDING * max(1.0, *map(abs, values))


def paired_p(differences: Iterable[float]) -> float:
    """Return the two-sided p of a mean difference of zero: Student's paired t test.

    NaN for fewer than 3 differences, and where all are alike: without a deviation nothing is known of chance.

    >>> round(paired_p([1.0, 2.0, 3.0]), 4)
    0.0742
    """
    from scipy.special import stdtr

    known = [value for value in differences if math.isfinite(value)]
    if len(known) < FEWEST or _alike(known):
        return math.nan
    t = fmean(known) / (stdev(known) / math.sqrt(len(known)))
    return 2.0 * float(stdtr(len(known) - 1, -abs(t)))


def seeds_to_tell_apart(differences: Sequence[float], power: float = 0.8) -> int | None:
    """Return the seeds with which a paired t test at 5 % detects a mean difference of this size with the given power.

    None where it cannot be said (fewer than 3 differences, no spread, no difference), 1,000 at most.
    Source: noncentral t distribution; Cohen (1988), Statistical Power Analysis, ch. 2.
    """
    from scipy import stats

    known = [value for value in differences if math.isfinite(value)]
    if len(known) < FEWEST or _alike(known) or abs(fmean(known)) < ROUNDING:
        return None
    size = abs(fmean(known)) / stdev(known)
    # The normal approximation is never above the answer, and a few seeds below it.
    first = math.floor(((stats.norm.ppf(0.975) + stats.norm.ppf(power)) / size) ** 2)
    for n in range(min(max(FEWEST, first), MOST_SEEDS), MOST_SEEDS):
        if stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, size * math.sqrt(n)) >= power:
            return n
    return MOST_SEEDS


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values by Holm's step-down method; NaNs stay and do not count.

    Source: Holm (1979), Scand. J. Statist. 6, 65.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected = list(p_values)
    order = sorted((i for i, p in enumerate(p_values) if not math.isnan(p)), key=lambda i: p_values[i])
    highest = 0.0
    for number, i in enumerate(order):
        highest = max(highest, min(1.0, p_values[i] * (len(order) - number)))
        corrected[i] = highest
    return corrected


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for the false discovery rate; NaNs stay and do not count.

    Source: Benjamini, Hochberg (1995), J. R. Statist. Soc. B 57, 289.

    >>> [round(p, 3) for p in benjamini_hochberg([0.01, 0.04, 0.03])]
    [0.03, 0.04, 0.04]
    """
    from scipy import stats

    p = np.asarray(p_values, dtype=np.float64)
    known = ~np.isnan(p)
    if known.any():
        p[known] = stats.false_discovery_control(p[known])
    return [float(value) for value in p]


def mean_ranks(scores: ArrayLike, *, higher: bool) -> Values:
    """Return the average rank of each column over rows without a NaN; 1 is best.

    >>> mean_ranks([[0.9, 0.8], [0.7, 0.8]], higher=True)
    array([1.5, 1.5])
    """
    from scipy import stats

    table = np.asarray(scores, dtype=np.float64)
    table = table[np.isfinite(table).all(axis=1)]
    if not len(table):
        return np.full(np.asarray(scores).shape[1], math.nan)
    ranks: Values = stats.rankdata(-table if higher else table, axis=1).mean(axis=0)
    return ranks


def friedman(scores: ArrayLike) -> tuple[float, float]:
    """Return the p of Friedman's test, and the difference of average ranks that tells two columns apart.

    scores: (datasets, values); a row is a mean over seeds, since seeds of one dataset are no independent rows. Least
    difference: Nemenyi's at 5 %. NaN for fewer than 3 columns or 5 complete rows.
    Source: Demšar (2006), J. Mach. Learn. Res. 7, 1, sec. 3.2.
    """
    from scipy import stats

    table = np.asarray(scores, dtype=np.float64)
    table = table[np.isfinite(table).all(axis=1)] if table.size else table
    if table.ndim != 2 or len(table) < FEWEST_DATASETS or table.shape[1] < 3:
        return math.nan, math.nan
    rows, columns = table.shape
    with warnings.catch_warnings():
        # 0 / 0 where every row is one tie.
        warnings.simplefilter("ignore", RuntimeWarning)
        p = float(stats.friedmanchisquare(*table.T).pvalue)
    critical = float(stats.studentized_range.ppf(0.95, columns, np.inf)) / math.sqrt(2.0)
    return p, critical * math.sqrt(columns * (columns + 1) / (6.0 * rows))
