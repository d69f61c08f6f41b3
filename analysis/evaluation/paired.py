"""Tests of two networks on the same images: DeLong for AUC, McNemar for accuracy, a paired bootstrap for any figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.evaluation.bootstrap import (
    DRAWS,
    Interval,
    Labels,
    Real,
    auc_of_draws,
    percentile_interval,
    proportion_interval,
    resample_weights,
)
from trainables.data.arrays import Task

ROUNDING = 1e-12


@dataclass(frozen=True)
class PairedTest:
    """A test of two networks: first less second, its 95 % interval and two-sided p."""

    method: str
    first: float
    second: float
    interval: Interval
    p: float

    @property
    def difference(self) -> float:
        """Return first less second."""
        return self.first - self.second


def delong(present: NDArray[np.bool_], first: Real, second: Real) -> PairedTest:
    """Compare two correlated areas under the ROC curve (DeLong et al. 1988, by mid-ranks as Sun & Xu 2014).

    present: whether an image belongs to the class; first, second: the two networks' scores, (N,) each. p is 1 where the
    two rank alike, NaN for fewer than 2 images of either kind; no interval where neither area has a deviation.
    """
    from scipy.stats import norm

    of_positives, of_negatives = placements(present, np.stack([first, second]))
    areas = of_positives.mean(axis=1)
    if min(of_positives.shape[1], of_negatives.shape[1]) < 2:
        return PairedTest("DeLong", float(areas[0]), float(areas[1]), Interval(), math.nan)
    covariance = np.cov(of_positives) / of_positives.shape[1] + np.cov(of_negatives) / of_negatives.shape[1]
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    difference, deviation = float(areas[0] - areas[1]), math.sqrt(max(variance, 0.0))
    if deviation < ROUNDING:
        p = 1.0 if abs(difference) < ROUNDING else math.nan
        return PairedTest("DeLong", float(areas[0]), float(areas[1]), Interval(), p)
    reach = float(norm.ppf(0.975)) * deviation
    p = float(2 * norm.sf(abs(difference) / deviation))
    return PairedTest("DeLong", float(areas[0]), float(areas[1]), Interval(difference - reach, difference + reach), p)


def placements(present: NDArray[np.bool_], scores: Real) -> tuple[Real, Real]:
    """Return DeLong's structural components, ties half.

    For each positive the share of negatives below it, and for each negative the share of positives above it. scores:
    (networks, N).
    """
    from scipy.stats import rankdata

    inside, outside = scores[:, present], scores[:, ~present]
    m, n = inside.shape[1], outside.shape[1]
    everywhere = rankdata(np.concatenate([inside, outside], axis=1), axis=1)
    below = (everywhere[:, :m] - rankdata(inside, axis=1)) / n
    above = 1 - (everywhere[:, m:] - rankdata(outside, axis=1)) / m
    return below, above


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> PairedTest:
    """Compare the accuracy of two networks by the images on which one alone is right, exactly (McNemar 1947).

    first, second: whether each is right, (N,). The interval is Newcombe's for paired proportions (1998, method 10).
    """
    from scipy.stats import binomtest

    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    disagree = only_first + only_second
    p = float(binomtest(only_first, disagree).pvalue) if disagree else 1.0
    interval = paired_proportions(first, second)
    return PairedTest("McNemar, exact", float(first.mean()), float(second.mean()), interval, p)


def paired_proportions(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Interval:
    """Return the 95 % interval of the difference of two shares of the same images (Newcombe 1998, method 10)."""
    n, one, two = len(first), float(first.mean()), float(second.mean())
    both, neither = int((first & second).sum()), int((~first & ~second).sum())
    a_only, b_only = int((first & ~second).sum()), int((~first & second).sum())
    below = math.sqrt(float(first.sum()) * float((~first).sum()) * float(second.sum()) * float((~second).sum()))
    product = both * neither - a_only * b_only
    corrected = max(product - n / 2, 0.0) if product > 0 else float(product)
    phi = corrected / below if below else 0.0
    of_one, of_two = proportion_interval(one, n), proportion_interval(two, n)
    low = math.hypot(one - of_one.low, of_two.high - two)
    down = math.sqrt(max(low**2 - 2 * phi * (one - of_one.low) * (of_two.high - two), 0.0))
    high = math.hypot(of_one.high - one, two - of_two.low)
    up = math.sqrt(max(high**2 - 2 * phi * (of_one.high - one) * (two - of_two.low), 0.0))
    return Interval(one - two - down, one - two + up)


def independent_proportions(
    first: float, n_first: float, second: float, n_second: float, confidence: float = 0.95
) -> Interval:
    """Return the interval of the difference of two shares of different images.

    Source: Newcombe (1998), method 10 for two groups.
    """
    one, two = proportion_interval(first, n_first, confidence), proportion_interval(second, n_second, confidence)
    difference = first - second
    return Interval(
        difference - math.hypot(first - one.low, two.high - second),
        difference + math.hypot(one.high - first, second - two.low),
    )


def auc_in_draws(labels: Labels, networks: Sequence[Real], task: Task, draws: int = DRAWS) -> list[Real]:
    """Return the AUC of each network, (draws,), in the same draws of images. networks: the scores (N, C) of each."""
    pieces = [
        [auc_of_draws(labels, scores, task, weights) for scores in networks]
        for weights in resample_weights(len(labels), draws)
    ]
    return [np.concatenate([piece[i] for piece in pieces]) for i in range(len(networks))]


def paired_bootstrap(first: float, second: float, differences: Real) -> PairedTest:
    """Test two figures by their differences in the same draws of images.

    p: twice the share of draws on the other side of no difference, each side counted with one draw more (Davison &
    Hinkley 1997, eq. 4.11), so that it is never 0.
    """
    return PairedTest("paired bootstrap", first, second, percentile_interval(differences), bootstrap_p(differences))


def bootstrap_p(differences: Real) -> float:
    """Return the two-sided p that a difference is 0, from its draws; 1 where all are 0, NaN where none is defined."""
    known = differences[np.isfinite(differences)]
    if not len(known):
        return math.nan
    sides = [(1 + int((side * known <= 0).sum())) / (1 + len(known)) for side in (1, -1)]
    return min(1.0, 2 * min(sides))
