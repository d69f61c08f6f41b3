"""Heavy-tailed self-regularisation: the power law in the spectrum of a weight matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from analysis.measures._values import Values, quiet
from analysis.measures.spectral import singular_values

FEWEST = 8  # eigenvalues that a fit wants


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
    starts = np.flatnonzero(np.diff(logs, prepend=-np.inf) > 0.0)  # ties start at their first
    fits = [_fit_from(logs, int(start)) for start in starts[logs[starts] < logs[-1]]]
    distance, alpha, start = min(fits)
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
    """The fitted exponent, the goodness of its fit, and the eigenvalues in the tail."""
    fit = fit_power_law(np.square(singular_values(weights)))
    return {"alpha": fit.alpha, "alpha_distance": fit.distance, "alpha_n": float(fit.n)}


def _fit_from(logs: Values, start: int) -> tuple[float, float, int]:
    """Distance, exponent and start of the fit to the values from start on."""
    above = logs[start:] - logs[start]
    exponent = above.size / float(above.sum())
    distance = np.abs(-np.expm1(-exponent * above) - np.arange(above.size) / above.size).max()
    return float(distance), 1.0 + exponent, start
