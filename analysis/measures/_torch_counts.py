"""The match counts of exact Sample Entropy in PyTorch, for a GPU and any m: integers, equal to those of the CPU.

1. Values become ranks. Whether two values match, |xi - xj| <= r in float64, is decided once for each rank, as the first
   and the last rank that match it: differences to a sorted series do not fall, so a bisection finds both exactly.
2. Templates are put in the order of their first value. A template's partners are then its successors up to its last
   rank, in one stretch; each pair is looked at once.
3. For blocks of templates and stretches of partners, the other values are compared by rank, 32-bit integers, and
   matches are counted in int64. A block has at most `PAIRS_AT_ONCE` pairs, which bounds the memory.

Work grows with the number of pairs whose first values match: about 5.6 % of all for Gaussian values at r = 0.2.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from analysis.measures._values import Values

# The masks of one block take at most 4 bytes each.
PAIRS_AT_ONCE = 1 << 24
# Templates of a block at most: its stretch of partners is that of its first and last together.
ROWS = 512
# Up to here the k-d tree of other m than 2 takes half a second.
TREE_PAYS = 30_000


def device_for(device: str, n: int, m: int) -> torch.device | None:
    """Return the device to count on, for `cuda` or `auto`; None where the compiled method on the CPU is quicker."""
    if device == "auto":
        # The compiled method for m = 2 looks at far fewer pairs.
        pays = m != 2 and n >= TREE_PAYS
        return torch.device("cuda") if pays and torch.cuda.is_available() else None
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device is {device!r}; choose 'cpu', 'cuda' or 'auto'") from None
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device is {device!r}, but PyTorch finds no GPU here; choose 'cpu' or 'auto'")
    return chosen


def match_counts(values: Values, m: int, reach: float, device: torch.device) -> tuple[int, int, int]:
    """Count pairs of templates that match for m + 1 and for m values, and pairs of values that match.

    values: float64, finite, more than m + 1 of them; reach: the largest distance that matches, 0 or more.
    """
    series = torch.from_numpy(np.ascontiguousarray(values)).to(device, torch.float64)
    ordered, order = torch.sort(series, stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=device)
    first, last = _first_match(ordered, reach), _last_match(ordered, reach)
    # Later ranks that match each.
    close = int((last - torch.arange(len(last), device=device)).sum())
    a, b = _pairs(rank, first, last, order[order < len(series) - m], m)
    return a, b, close


def _last_match(ordered: Tensor, reach: float) -> Tensor:
    """Return for each rank the last whose value is within reach of it."""
    ranks = torch.arange(len(ordered), device=ordered.device)
    # The rank low matches, those beyond high do not.
    low, high = ranks.clone(), torch.full_like(ranks, len(ordered) - 1)
    for _ in range(len(ordered).bit_length()):
        middle = (low + high + 1) // 2
        near = (ordered[middle] - ordered).abs() <= reach
        low, high = torch.where(near, middle, low), torch.where(near, high, middle - 1)
    return low


def _first_match(ordered: Tensor, reach: float) -> Tensor:
    """Return for each rank the first whose value is within reach of it: the last of the series turned round."""
    return len(ordered) - 1 - _last_match(-ordered.flip(0), reach).flip(0)


def _pairs(rank: Tensor, first: Tensor, last: Tensor, templates: Tensor, m: int) -> tuple[int, int]:
    """Count matches over m + 1 and over m values. templates: their first positions, by the rank of the first value."""
    small = torch.int32 if len(rank) < 2**31 else torch.int64
    begins = rank[templates]
    # One past the last partner, as an index of `templates`.
    ends = torch.searchsorted(begins, last[begins], right=True)
    # Ranks of the second value and those that follow.
    after = [rank[templates + step] for step in range(1, m + 1)]
    spans = [(first[column].to(small), last[column].to(small), column.to(small)) for column in after]
    limits = ends.tolist()
    count = len(limits)
    inside = torch.zeros(2, dtype=torch.int64, device=rank.device)
    start = 0
    while start < count:
        rows = max(1, min(ROWS, count - start, PAIRS_AT_ONCE // max(1, limits[start] - start)))
        stop = start + rows
        for left in range(start + 1, limits[stop - 1], max(1, PAIRS_AT_ONCE // rows)):
            right = min(left + max(1, PAIRS_AT_ONCE // rows), limits[stop - 1])
            inside += _block(spans, ends, (start, stop), (left, right), m)
        start = stop
    a, b = inside.tolist()
    return a, b


def _block(
    spans: list[tuple[Tensor, Tensor, Tensor]], ends: Tensor, rows: tuple[int, int], columns: tuple[int, int], m: int
) -> Tensor:
    """Count matches over m + 1 and over m values among templates of `rows` and later partners of `columns`."""
    partners = torch.arange(*columns, device=ends.device)
    templates = torch.arange(*rows, device=ends.device)
    near = (partners > templates[:, None]) & (partners < ends[rows[0] : rows[1], None])
    counts = []
    for step, (low, high, ranks) in enumerate(spans, start=1):
        if step == m:
            counts.append(near.sum())
        other = ranks[columns[0] : columns[1]]
        near &= other >= low[rows[0] : rows[1], None]
        near &= other <= high[rows[0] : rows[1], None]
    return torch.stack([near.sum(), *counts])
