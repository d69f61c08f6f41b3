"""The distance that training has moved the weights from where they began."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from analysis.measures._values import finite, flat, quiet, rescaled


@quiet
def initial_distance(weights: ArrayLike, initial: ArrayLike) -> float:
    """Distance of the weights from their initial values, over the norm of the initial ones: 0 before training.

    Formula: ||w - w0|| / ||w0||, Euclidean. Degenerate: all-zero, empty or non-finite initial values, weights that are
    not finite, or different shapes give NaN.
    Source: Nagarajan and Kolter (2019), Generalization in deep networks: the role of distance from initialization.

    >>> initial_distance([3.0, 4.0, 2.0], [3.0, 4.0, 0.0])
    0.4
    """
    return initial_distance_columns(weights, initial)["initial_distance"]


@quiet
def initial_distance_columns(weights: ArrayLike, initial: ArrayLike | None = None) -> dict[str, float]:
    """Return relative and absolute distance, and the cosine between the weights and their initial values."""
    relative = absolute = cosine = math.nan
    if initial is not None and np.shape(initial) == np.shape(weights):
        both = np.concatenate([flat(weights), flat(initial)])
        if finite(both):
            scaled, shift = rescaled(both)
            now, then = np.split(scaled, 2)
            moved, before, after = (math.sqrt(float(np.dot(v, v))) for v in (now - then, then, now))
            absolute = math.ldexp(moved, shift) if moved else 0.0
            relative = moved / before if before else math.nan
            cosine = float(np.dot(now, then)) / (before * after) if before and after else math.nan
    return {
        "initial_distance": relative,
        "initial_distance_norm": absolute,
        "initial_distance_cosine": min(max(cosine, -1.0), 1.0),
    }
