"""Location, spread, shape, norm and sparsity of the weights, whatever their order."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from analysis.measures._values import Values, deviation, finite, flat, quiet, rescaled


def mean(x: ArrayLike) -> float:
    """Mean of the values; NaN for empty or non-finite input.

    >>> mean([1.0, 2.0, 6.0])
    3.0
    """
    values, shift = _rescaled(x)
    return _unscaled(float(values.mean()), shift) if values.size else math.nan


@quiet
def standard_deviation(x: ArrayLike) -> float:
    """Standard deviation of the values (ddof 0); exactly 0 for constant ones, NaN for empty or non-finite input.

    >>> standard_deviation([1.0, 3.0])
    1.0
    """
    values, shift = _rescaled(x)
    return _unscaled(deviation(values), shift) if values.size else math.nan


def smallest(x: ArrayLike) -> float:
    """Smallest value; NaN for empty or non-finite input.

    >>> smallest([3.0, -1.0])
    -1.0
    """
    values = flat(x)
    return float(values.min()) if finite(values) else math.nan


def largest(x: ArrayLike) -> float:
    """Largest value; NaN for empty or non-finite input.

    >>> largest([3.0, -1.0])
    3.0
    """
    values = flat(x)
    return float(values.max()) if finite(values) else math.nan


@quiet
def skew(x: ArrayLike) -> float:
    """Skewness m3 / m2^1.5 of the values, biased form, dimensionless; NaN for constant, empty or non-finite input.

    Source: Joanes and Gill (1998), The Statistician 47, 183, g1.

    >>> skew([1.0, 2.0, 3.0])
    0.0
    """
    scores = _scores(x)
    return float(np.mean(scores * scores * scores)) if scores.size else math.nan


@quiet
def kurtosis(x: ArrayLike) -> float:
    """Excess kurtosis m4 / m2^2 - 3, biased form: 0 for Gaussian values; NaN for constant, empty or non-finite input.

    Source: Joanes and Gill (1998), The Statistician 47, 183, g2.

    >>> kurtosis([-1.0, 1.0, -1.0, 1.0])
    -2.0
    """
    squares = np.square(_scores(x))
    return float(np.mean(squares * squares)) - 3.0 if squares.size else math.nan


@quiet
def l2_norm(x: ArrayLike) -> float:
    """Euclidean norm of the values; NaN for empty or non-finite input.

    >>> l2_norm([3.0, 4.0])
    5.0
    """
    values, shift = _rescaled(x)
    return _unscaled(math.sqrt(float(np.dot(values, values))), shift) if values.size else math.nan


def sparsity(x: ArrayLike) -> float:
    """Share of values that are exactly zero, in [0, 1]; NaN for empty or non-finite input.

    Source: Hurley and Rickard (2009), IEEE Trans. Inf. Theory 55, 4723, the l0 measure.

    >>> sparsity([0.0, 1.0, 0.0, 2.0])
    0.5
    """
    values = flat(x)
    return float((values == 0.0).mean()) if finite(values) else math.nan


def negative_share(x: ArrayLike) -> float:
    """Share of values below zero, in [0, 1]; NaN for empty or non-finite input.

    >>> negative_share([-1.0, 1.0, 0.0, 2.0])
    0.25
    """
    values = flat(x)
    return float((values < 0.0).mean()) if finite(values) else math.nan


@quiet
def participation_ratio(x: ArrayLike) -> float:
    """Share of values that carry the energy: (sum x^2)^2 / (n sum x^4), from 1/n (one value) to 1 (all alike).

    Gaussian values give 1/3. Degenerate: all zeros, empty or non-finite input gives NaN.
    Source: Bell and Dean (1970), Discuss. Faraday Soc. 50, 55.

    >>> participation_ratio([1.0, -1.0, 1.0, -1.0])
    1.0
    >>> participation_ratio([0.0, 0.0, 0.0, 5.0])
    0.25
    """
    values = flat(x)
    if not finite(values) or not values.any():
        return math.nan
    energy = np.square(values / np.abs(values).max())
    return float(energy.sum()) ** 2 / (values.size * float(np.dot(energy, energy)))


def _rescaled(x: ArrayLike) -> tuple[Values, int]:
    values = flat(x)
    return rescaled(values) if finite(values) else (values[:0], 0)


def _scores(x: ArrayLike) -> Values:
    """Return standard scores; none where all values are equal."""
    values, _ = _rescaled(x)
    sd = deviation(values) if values.size else 0.0
    return (values - values.mean()) / sd if sd > 0.0 else values[:0]


def _unscaled(value: float, shift: int) -> float:
    try:
        return math.ldexp(value, shift)
    # A norm can exceed the largest float64 though every value fits.
    except OverflowError:
        return math.copysign(math.inf, value)
