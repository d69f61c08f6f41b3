"""Multiscale entropy: Sample Entropy of ever coarser views of the series, at one tolerance."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from analysis.measures._values import Values, deviation, finite, flat, quiet, rescaled
from analysis.measures.sample_entropy import sample_entropy_within

SCALES = 5


@quiet
def multiscale_terms(x: ArrayLike, scales: int = SCALES, m: int = 2, r: float = 0.2) -> list[float]:
    """Sample Entropy in nats at scales 1 to `scales`.

    Formula: at scale s, Sample Entropy of the means of s successive values, with r standard deviations of the series
    itself as the tolerance at every scale. Independent values fall with scale, 1/f noise stays level.
    Degenerate: a scale too coarse to leave m + 2 values gives NaN, as does empty or non-finite input.
    Source: Costa, Goldberger, Peng (2002), Phys. Rev. Lett. 89, 068102.

    >>> multiscale_terms([1.0] * 20, scales=2)
    [0.0, 0.0]
    """
    if scales < 1:
        raise ValueError(f"scales is {scales}; give at least 1")
    values = flat(x)
    if not finite(values):
        return [math.nan] * scales
    values = rescaled(values)[0]
    tolerance = r * deviation(values)
    return [sample_entropy_within(_coarse(values, scale), tolerance, m) for scale in range(1, scales + 1)]


def multiscale_entropy(x: ArrayLike, scales: int = SCALES, m: int = 2, r: float = 0.2) -> float:
    """Mean Sample Entropy over scales 1 to `scales`, in nats: the complexity index over the number of scales.

    Formula, degenerate cases and source: as `multiscale_terms`; NaN or infinite where a scale is.

    >>> multiscale_entropy([1.0] * 20)
    0.0
    """
    return float(np.mean(multiscale_terms(x, scales, m, r)))


def multiscale_entropy_columns(x: ArrayLike) -> dict[str, float]:
    """Return the mean over scales, and each scale beyond the first (which is Sample Entropy)."""
    terms = multiscale_terms(x)
    later = {f"multiscale_entropy_{scale}": value for scale, value in enumerate(terms[1:], start=2)}
    return {"multiscale_entropy": float(np.mean(terms)), **later}


def _coarse(values: Values, scale: int) -> Values:
    blocks = values.size // scale
    means: Values = values[: blocks * scale].reshape(blocks, scale).mean(axis=1)
    return means
