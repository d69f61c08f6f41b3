"""Tests of two networks on the same images, against statsmodels, the papers' formulas and published examples."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.proportion import confint_proportions_2indep

from analysis.evaluation.paired import (
    auc_in_draws,
    bootstrap_p,
    delong,
    independent_proportions,
    mcnemar,
    paired_bootstrap,
    paired_proportions,
)

RNG = np.random.default_rng(2)
PRESENT = RNG.random(90) < 0.4
FIRST = np.round(RNG.normal(size=90) + 1.2 * PRESENT, 1)
SECOND = np.round(RNG.normal(size=90) + 0.7 * PRESENT, 1)


def slow_delong(present: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Difference and p by the formulas of DeLong, DeLong & Clarke-Pearson (1988), pair by pair."""

    def kernel(x: float, y: float) -> float:
        return 1.0 if y < x else 0.5 if y == x else 0.0

    areas, inside, outside = [], [], []
    for scores in (first, second):
        table = np.array([[kernel(x, y) for y in scores[~present]] for x in scores[present]])
        areas.append(table.mean())
        inside.append(table.mean(axis=1))
        outside.append(table.mean(axis=0))
    m, n = present.sum(), (~present).sum()
    covariance = np.zeros((2, 2))
    for r, s in itertools.product(range(2), repeat=2):
        s10 = ((inside[r] - areas[r]) * (inside[s] - areas[s])).sum() / (m - 1)
        s01 = ((outside[r] - areas[r]) * (outside[s] - areas[s])).sum() / (n - 1)
        covariance[r, s] = s10 / m + s01 / n
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    difference = areas[0] - areas[1]
    return difference, float(2 * norm.sf(abs(difference) / math.sqrt(variance)))


def test_delong_is_the_papers_formula() -> None:
    found = delong(PRESENT, FIRST, SECOND)
    difference, p = slow_delong(PRESENT, FIRST, SECOND)
    assert found.first == pytest.approx(roc_auc_score(PRESENT, FIRST), abs=1e-12)
    assert found.difference == pytest.approx(difference, abs=1e-12)
    assert found.p == pytest.approx(p, abs=1e-9)
    assert found.interval.low < found.difference < found.interval.high
    assert (found.interval.low > 0) == (found.p < 0.05)


def test_delong_of_equal_networks_and_of_too_few_images() -> None:
    assert delong(PRESENT, FIRST, FIRST).p == 1.0
    apart = PRESENT.astype(float)
    for second in (2 * apart, -apart):
        # Perfect separation by both, or the wrong way round: no deviation, and nothing known of chance.
        assert math.isnan(delong(PRESENT, apart, second).interval.low)
    assert math.isnan(delong(PRESENT, apart, -apart).p)
    one = np.arange(90) == 4
    assert math.isnan(delong(one, FIRST, SECOND).p)


@pytest.mark.parametrize(("only_first", "only_second"), [(12, 5), (0, 0), (0, 7), (40, 31)])
def test_mcnemar_is_statsmodels(only_first: int, only_second: int) -> None:
    first = np.repeat([True, True, False, False], [50, only_first, only_second, 20])
    second = np.repeat([True, False, True, False], [50, only_first, only_second, 20])
    theirs = statsmodels_mcnemar([[50, only_first], [only_second, 20]], exact=True).pvalue
    assert mcnemar(first, second).p == pytest.approx(theirs, abs=1e-12)


def test_newcombes_paired_interval() -> None:
    """Newcombe (1998), Statist. Med. 17, 2635, method 10: 36, 12, 2, 0 of 50 pairs give 0.0569 to 0.3404."""
    first = np.repeat([True, True, False, False], [36, 12, 2, 0])
    second = np.repeat([True, False, True, False], [36, 12, 2, 0])
    found = paired_proportions(first, second)
    assert (found.low, found.high) == pytest.approx((0.0569, 0.3404), abs=5e-5)


def test_newcombes_interval_of_two_groups_is_statsmodels() -> None:
    theirs = confint_proportions_2indep(56, 70, 48, 80, method="newcomb", compare="diff")
    found = independent_proportions(0.8, 70, 0.6, 80)
    assert (found.low, found.high) == pytest.approx(theirs, abs=1e-9)
    assert (found.low, found.high) == pytest.approx(
        (0.0524, 0.3339), abs=5e-5
    )  # Newcombe (1998), table II, (a), method 10


def test_the_paired_bootstrap_agrees_with_delong() -> None:
    labels = PRESENT.astype(np.int64)
    networks = [np.stack([1 - s, s], axis=1) for s in ((FIRST + 4) / 10, (SECOND + 4) / 10)]
    one, two = auc_in_draws(labels, networks, "binary-class", draws=4000)
    exact = delong(PRESENT, FIRST, SECOND)
    found = paired_bootstrap(exact.first, exact.second, one - two)
    assert found.p == pytest.approx(exact.p, abs=0.02)
    assert (found.interval.low, found.interval.high) == pytest.approx(
        (exact.interval.low, exact.interval.high), abs=0.02
    )


def test_the_bootstrap_p_is_never_0() -> None:
    assert bootstrap_p(np.full(999, 0.3)) == pytest.approx(0.002)
    assert bootstrap_p(np.zeros(999)) == 1.0
    assert math.isnan(bootstrap_p(np.array([math.nan])))
