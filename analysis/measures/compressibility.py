"""Compressibility: how few bytes the weights need once rounded to 8 bits."""

from __future__ import annotations

import math
import zlib

import numpy as np
from numpy.typing import ArrayLike

from analysis.measures._values import Values, finite, flat, quiet, unit_interval
from analysis.measures.baselines import shuffled


@quiet
def compressed_bytes(x: ArrayLike) -> float:
    """Bytes left of the values after rounding to 256 equal levels of [min, max] and DEFLATE at level 6.

    Degenerate: empty or non-finite input gives NaN; constant values are all the lowest level.
    Source: DEFLATE is RFC 1951; as a bound on complexity, Li and Vitanyi (2008), sec. 8.

    >>> compressed_bytes([0.0] * 1000) < 30
    True
    """
    values = flat(x)
    if not finite(values):
        return math.nan
    levels = np.rint(unit_interval(values) * 255.0).astype(np.uint8)
    return float(len(zlib.compress(levels.tobytes(), 6)))


def compressibility(x: ArrayLike) -> float:
    """Factor by which compression shrinks the 8-bit values: 1 for uniform noise, large for regular weights.

    Formula: n / compressed bytes; below 1 for short series, which DEFLATE's 8 bytes of frame outweigh.
    Degenerate cases and source: as `compressed_bytes`.

    >>> compressibility([0.0] * 1000) > 30
    True
    """
    return _factor(flat(x))


def compressibility_columns(x: ArrayLike) -> dict[str, float]:
    """Return the factor, the bytes, and the factor of shuffled values."""
    return {
        "compressibility": compressibility(x),
        "compressibility_bytes": compressed_bytes(x),
        "compressibility_shuffled": shuffled(_factor, x).mean,
    }


def _factor(values: Values) -> float:
    return values.size / compressed_bytes(values)
