"""Measures of ordinal patterns: which of neighbouring values is larger, not by how much."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from analysis.measures._values import Values, finite, flat
from analysis.measures.baselines import shuffled
from analysis.measures.jensen_shannon import complexity_of_shares, shannon

ORDER = 3


def pattern_shares(x: ArrayLike, order: int = ORDER, delay: int = 1) -> Values:
    """Shares of the ordinal patterns that occur; equal values rank in order of appearance.

    Degenerate: no shares where the series is shorter than one pattern or not finite.
    Source: Bandt and Pompe (2002), Phys. Rev. Lett. 88, 174102.

    >>> pattern_shares([4.0, 7.0, 9.0, 10.0, 6.0, 11.0, 3.0], order=2)
    array([0.66666667, 0.33333333])
    """
    if not 2 <= order <= 7 or delay < 1:
        raise ValueError(f"order is {order} and delay {delay}; give an order of 2 to 7 and a delay of 1 or more")
    values = flat(x)
    count = values.size - (order - 1) * delay
    if count < 1 or not finite(values):
        return values[:0]
    # Which of each two values is larger tells the patterns apart, and costs less than sorting every window.
    code = np.zeros(count, np.int64)
    for bit, (i, j) in enumerate(combinations(range(order), 2)):
        code |= (values[i * delay :][:count] > values[j * delay :][:count]).astype(np.int64) << bit
    seen = np.bincount(code)
    return seen[seen > 0] / count


def permutation_entropy(x: ArrayLike, order: int = ORDER, delay: int = 1) -> float:
    """Permutation entropy, normalised to [0, 1] by ln(order!).

    Formula: -sum p ln p / ln(order!) over ordinal patterns; equal values rank in order of appearance.
    Degenerate: a series shorter than a pattern, or a non-finite one, gives NaN; a constant series gives 0.
    Source: Bandt and Pompe (2002), Phys. Rev. Lett. 88, 174102, eq. 2.

    >>> round(permutation_entropy([4.0, 7.0, 9.0, 10.0, 6.0, 11.0, 3.0], order=2), 6)
    0.918296
    """
    p = pattern_shares(x, order, delay)
    return shannon(p) / math.log(math.factorial(order)) if p.size else math.nan


def permutation_complexity(x: ArrayLike, order: int = ORDER, delay: int = 1) -> float:
    """Jensen-Shannon complexity of the ordinal patterns: with permutation entropy, the complexity-entropy plane.

    Degenerate: as `permutation_entropy`.
    Source: Rosso, Larrondo, Martin, Plastino, Fuentes (2007), Phys. Rev. Lett. 99, 154102, eq. 1-3.

    >>> round(permutation_complexity([4.0, 7.0, 9.0, 10.0, 6.0, 11.0, 3.0], order=2), 6)
    0.061128
    """
    p = pattern_shares(x, order, delay)
    return complexity_of_shares(p, math.factorial(order)) if p.size else math.nan


def permutation_entropy_columns(x: ArrayLike) -> dict[str, float]:
    """Return permutation entropy, its complexity, its patterns, and the entropy of shuffled values."""
    p = pattern_shares(x)
    return {
        "permutation_entropy": permutation_entropy(x),
        "permutation_entropy_complexity": permutation_complexity(x),
        "permutation_entropy_missing": 1.0 - p.size / math.factorial(ORDER) if p.size else math.nan,
        "permutation_entropy_shuffled": shuffled(permutation_entropy, x).mean,
    }
