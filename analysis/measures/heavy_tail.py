"""Heavy-tailed self-regularisation: the power law in the spectrum of a weight matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.measures._values import Values, quiet
from analysis.measures.spectral import singular_values

# Eigenvalues that a fit needs.
FEWEST = 8
# Numbers of many fits in one array.
AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """Exponent of a power law above low, its Kolmogorov-Smirnov distance, and the number of values above low."""

    alpha: float
    distance: float
    low: float
    n: int


@quiet
def fit_power_law(x: ArrayLike) -> PowerLaw:
    """The power law p(x) ~ x^-alpha that fits the upper tail of positive values best.

    Formula: alpha = 1 + n / sum ln(x / low) over the n values from low on; low has the least Kolmogorov-Smirnov
    distance.
    Degenerate: NaN for fewer than 8 positive values, or where all are alike.
    Source: Clauset, Shalizi, Newman (2009), SIAM Rev. 51, 661, eq. 3.1 and 3.9.

    >>> import numpy as np
    >>> round(fit_power_law(1.0 / (1.0 - np.arange(1000) / 1000)).alpha, 1)
    2.0
    """
    values = np.sort(np.asarray(x, dtype=np.float64).reshape(-1))
    values = values[values > 0.0]
    if values.size < FEWEST or values[0] == values[-1] or not np.isfinite(values).all():
        return PowerLaw(math.nan, math.nan, math.nan, 0)
    logs = np.log(values)
    # Ties start at their first.
    starts = np.flatnonzero(np.diff(logs, prepend=-np.inf) > 0.0)
    distance, alpha, start = _best_fit(logs, starts[logs[starts] < logs[-1]])
    return PowerLaw(alpha, distance, float(values[start]), values.size - start)


def alpha(weights: ArrayLike) -> float:
    """Heavy-tail exponent alpha of the eigenvalues of W'W: 2 to 4 in well-trained layers, above 6 near random.

    Formula: `fit_power_law` of the squared singular values of the tensor as (outputs, everything else).
    Degenerate: NaN for fewer than 2 axes, fewer than 8 eigenvalues above zero, or a non-finite tensor.
    Source: Martin and Mahoney (2021), J. Mach. Learn. Res. 22, 165, sec. 3.

    >>> import numpy as np
    >>> alpha(np.random.default_rng(0).normal(size=(100, 100))) > 1
    True
    """
    return alpha_columns(weights)["alpha"]


def alpha_columns(weights: ArrayLike) -> dict[str, float]:
    """Return the fitted exponent, the goodness of its fit, and the eigenvalues in the tail."""
    fit = fit_power_law(np.square(singular_values(weights)))
    return {"alpha": fit.alpha, "alpha_distance": fit.distance, "alpha_n": float(fit.n)}


def _best_fit(logs: Values, starts: NDArray[np.intp]) -> tuple[float, float, int]:
    """Return distance, exponent and start of the best fit to the values from any of the starts on."""
    at_once = max(1, AT_ONCE // logs.size)
    return min(_fit_block(logs, starts[first : first + at_once]) for first in range(0, starts.size, at_once))


def _fit_block(logs: Values, starts: NDArray[np.intp]) -> tuple[float, float, int]:
    column = starts[:, None]
    rank, count = np.arange(logs.size) - column, logs.size - column
    above = np.where(rank >= 0, logs - logs[column], 0.0)
    exponents = count / above.sum(axis=1, keepdims=True)
    gaps = np.abs(-np.expm1(-exponents * above) - rank / count)
    distances = np.where(rank >= 0, gaps, 0.0).max(axis=1)
    best = int(distances.argmin())
    return float(distances[best]), 1.0 + float(exponents[best, 0]), int(starts[best])
