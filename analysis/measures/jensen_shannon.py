"""Jensen-Shannon statistical complexity: entropy times the divergence from equal shares."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from analysis.measures._values import Values, finite, flat, histogram, quiet

BINS = 100


def shannon(p: Values) -> float:
    """Shannon entropy of shares, in nats."""
    positive = p[p > 0.0]
    return float(-(positive * np.log(positive)).sum()) + 0.0


def complexity_of_shares(p: Values, states: int) -> float:
    """Complexity C = Q0 JSD(p, uniform) H / ln N of shares over N states, of which p may leave out empty ones.

    Source: Lamberti, Martin, Plastino, Rosso (2004), Physica A 334, 119, eq. 5-9.

    >>> round(complexity_of_shares(np.array([5, 1, 4, 2, 3]) / 15, states=6), 6)
    0.165767
    """
    if states < 2:
        return 0.0
    uniform = 1.0 / states
    unseen = states - p.size
    middle = shannon((p + uniform) / 2.0) - unseen * (uniform / 2.0) * math.log(uniform / 2.0)
    divergence = middle - shannon(p) / 2.0 - math.log(states) / 2.0
    one = (states + 1) / states * math.log(states + 1) - 2.0 * math.log(2 * states) + math.log(states)
    return max(divergence, 0.0) / (-0.5 * one) * shannon(p) / math.log(states)


@quiet
def jensen_shannon_complexity(x: ArrayLike, bins: int = BINS) -> float:
    """Jensen-Shannon complexity of the histogram of the values, dimensionless, in [0, 1).

    Formula: C = Q0 JSD(p, uniform) H / ln N with p over N = `bins` equal bins of [min, max].
    Degenerate: a constant series or one bin gives 0; empty or non-finite input gives NaN.
    Source: Lamberti, Martin, Plastino, Rosso (2004), Physica A 334, 119, eq. 5-9.

    >>> jensen_shannon_complexity([1.0, 1.0])
    0.0
    """
    values = flat(x)
    if not finite(values):
        return math.nan
    return complexity_of_shares(histogram(values, bins) / values.size, bins)
