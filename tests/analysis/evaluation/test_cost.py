"""The interval of a latency is by order statistics, and has no upper end where passes are too few for one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from analysis.evaluation.bootstrap import Interval
from analysis.evaluation.cost import ENOUGH, LEAST, quantile_interval
from analysis.evaluation.gate import judge
from analysis.trial_evaluation.tables import span


@pytest.mark.parametrize("n", [LEAST, ENOUGH - 1, ENOUGH, 100, 1000])
def test_the_interval_of_a_95th_percentile_holds_it_in_95_of_100_samples(n: int) -> None:
    """Its ends are the values of so low and so high a rank that a binomial count lies between them."""
    found = quantile_interval(np.arange(1.0, n + 1), 0.95)
    below = binom.cdf(found.low - 1, n, 0.95)
    above = 0.0 if found.high == math.inf else binom.sf(found.high - 1, n, 0.95)
    assert below <= 0.025
    assert above <= 0.025
    assert (found.high == math.inf) == (n < ENOUGH)


def test_a_latency_without_an_upper_end_does_not_pass() -> None:
    open_end = Interval(0.1, math.inf)
    assert [judge(0.2, open_end, "<", limit) for limit in (0.5, 0.05)] == ["not decided", "fail"]
    assert span(open_end) == "0.100 or more"
