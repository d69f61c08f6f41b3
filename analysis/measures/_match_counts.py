"""Counts templates that match, by the method that is the quickest for a length, an m and a device."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from analysis.measures._values import Values

# Up to here brute force is as quick as the compiled method, and needs no compiler.
SMALL = 256
# From here on threads pay for themselves.
THREADED = 100_000


def match_counts(
    values: Values, m: int, reach: float, threads: int | None, device: str = "cpu"
) -> tuple[int, int, int]:
    """Count pairs of templates that match for m + 1 and for m values, and pairs of values that match."""
    chosen = None
    if device != "cpu":
        from analysis.measures import _torch_counts

        chosen = _torch_counts.device_for(device, values.size, m)
    # `<` with a tolerance of 0: nothing matches.
    if reach < 0:
        return 0, 0, 0
    if chosen is not None:
        return _torch_counts.match_counts(values, m, reach, chosen)
    if values.size <= SMALL:
        return brute_counts(values, m, reach)
    if m != 2:
        return _tree_counts(values, m, reach)
    from analysis.measures import _sample_entropy_pairs

    return _sample_entropy_pairs.match_counts(values, reach, (threads or _threads()) if values.size >= THREADED else 1)


def _threads() -> int:
    limit = os.environ.get("OMP_NUM_THREADS", "")
    if limit.isdigit() and int(limit):
        return int(limit)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def brute_counts(values: Values, m: int, reach: float) -> tuple[int, int, int]:
    """Count as `match_counts` does, by a table of all pairs: n² bytes."""
    near = np.abs(values[:, None] - values) <= reach
    aligned = near[: values.size - m, : values.size - m]
    for step in range(1, m):
        aligned = aligned & near[step : step - m, step : step - m]
    inside = aligned & near[m:, m:]
    return _pairs(inside), _pairs(aligned), _pairs(near)


def _pairs(matched: NDArray[np.bool_]) -> int:
    """Count pairs in a symmetric table in which each template matches itself."""
    return (int(np.count_nonzero(matched)) - len(matched)) // 2


def _tree_counts(values: Values, m: int, reach: float) -> tuple[int, int, int]:
    from scipy.spatial import cKDTree

    templates = np.lib.stride_tricks.sliding_window_view(values, m + 1)
    points = templates, templates[:, :m], values[:, None]
    a, b, close = ((int(cKDTree(p).count_neighbors(cKDTree(p), reach, p=np.inf)) - len(p)) // 2 for p in points)
    return a, b, close
