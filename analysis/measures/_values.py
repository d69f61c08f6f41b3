"""The values that measures count: one flat float64 series from any array, and its histogram."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]
P = ParamSpec("P")
R = TypeVar("R")

# Squares and sums of magnitudes between these neither vanish nor overflow.
SMALLEST, LARGEST = 1e-100, 1e100


def quiet(function: Callable[P, R]) -> Callable[P, R]:
    """Let an undefined result be a NaN and not a warning, since degenerate tensors are ordinary input here."""

    @wraps(function)
    def silenced(*args: P.args, **kwargs: P.kwargs) -> R:
        with np.errstate(all="ignore"):
            return function(*args, **kwargs)

    return silenced


def flat(weights: ArrayLike) -> Values:
    """Return the weights as one contiguous float64 series in C order (float32 widens exactly)."""
    return np.ascontiguousarray(weights, dtype=np.float64).reshape(-1)


def finite(values: Values) -> bool:
    """Tell whether there is a value, and every one is a finite number."""
    return values.size > 0 and bool(np.isfinite(values).all())


def rescaled(values: Values) -> tuple[Values, int]:
    """Return the values times 2**-shift: an exact scaling that keeps squares finite, only for extreme magnitudes."""
    largest = float(np.abs(values).max())
    if largest == 0.0 or SMALLEST < largest < LARGEST:
        return values, 0
    shift = math.frexp(largest)[1]
    return np.ldexp(values, -shift), shift


def deviation(values: Values) -> float:
    """Return the standard deviation (ddof 0); exactly 0 for constant values, whatever rounding does."""
    return 0.0 if values.min() == values.max() else float(values.std())


def matrix(weights: ArrayLike) -> Values | None:
    """Return the weights as (outputs, everything else), scaled to a largest entry near 1; None below 2 axes."""
    tensor = np.asarray(weights, dtype=np.float64)
    if tensor.ndim < 2 or not finite(tensor):
        return None
    shift = math.frexp(float(np.abs(tensor).max()))[1]
    return np.ldexp(tensor, -shift).reshape(tensor.shape[0], -1)


def histogram(values: Values, bins: int) -> NDArray[np.int64]:
    """Count values in equal bins over [min, max]; constant values share one bin."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return np.bincount([0], weights=[values.size], minlength=bins).astype(np.int64)
    try:
        return np.histogram(values, bins=bins)[0].astype(np.int64)
    # The range overflows, or is too narrow for float64 to hold its bin edges.
    except ValueError:
        return np.histogram(unit_interval(values), bins=bins, range=(0.0, 1.0))[0].astype(np.int64)


def unit_interval(values: Values) -> Values:
    """Shift and scale the values to [0, 1]; constant ones to 0."""
    halved = values / 2.0 if not np.isfinite(values.max() - values.min()) else values
    lifted = halved - halved.min()
    unit: Values = lifted / (lifted.max() or 1.0)
    return unit
