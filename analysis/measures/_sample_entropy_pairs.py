"""Exact match counts for templates of 2 and 3 values, by counting boxes of points instead of enumerating pairs.

Every value becomes an integer rank, and every tolerance window a range of ranks, decided once by the same float64
predicate as brute force. Templates stand in order of their first value, so that the partners of each that come later
are a range of positions; the second and third value then ask how many points of that range lie in a box of ranks.

A slab is a run of templates whose ranges all contain the slab itself and end within a fringe of one another. What its
templates share, the rest of the slab and the core after it, is put on a grid; only the fringe is looked at point by
point. Slabs are independent. A large group of equal values makes one large slab without a fringe.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

Values = NDArray[np.float64]
Ranks = NDArray[np.uint32]
Bits = NDArray[np.uint64]
# Rows of the template array; spans count ranks beyond the low one.
Y, Z, Y_LOW, Y_SPAN, Z_LOW, Z_SPAN, END = range(7)
# Windows up to this long are scanned point by point.
DIRECT = 1_000
# The longest fringe of a slab, in units of sqrt(n).
FRINGE = 5.0
# Cells of a grid for each template that asks it, and at most.
GRID, CELLS = 16, 1 << 22
# The most templates in one task, where a slab is shared out among threads.
CHUNK = 65_536


def match_counts(values: Values, reach: float, threads: int = 1) -> tuple[int, int, int]:
    """Count pairs of templates that match for 3 values and for 2, and pairs of values that match.

    Needs 3 values or more.
    """
    order = np.argsort(values)
    low, high = windows(values[order], reach)
    close = int(high.sum(dtype=np.int64)) - values.size * (values.size - 1) // 2
    ranks = templates(order, low, high)
    tasks = list(_tasks(ranks[END].astype(np.int64), values.size, threads))
    if threads == 1 or len(tasks) == 1:
        counts = [_run(ranks, task) for task in tasks]
    else:
        with ThreadPoolExecutor(threads) as pool:
            counts = list(pool.map(lambda task: _run(ranks, task), tasks))
    return sum(a for a, _ in counts) // 2, sum(b for _, b in counts) // 2, close


def _run(ranks: Ranks, task: tuple[int, ...]) -> tuple[int, int]:
    a, b = count_directly(ranks, *task) if len(task) == 2 else count_slab(ranks, *task)
    return int(a), int(b)


def _tasks(ends: NDArray[np.int64], n: int, threads: int) -> Iterator[tuple[int, ...]]:
    """Yield arguments of `count_directly` (two) and of `count_slab` (five) that cover every template once."""
    wide = np.flatnonzero(ends - np.arange(ends.size) > DIRECT)
    fringe = max(DIRECT, int(FRINGE * n**0.5))
    start = 0
    while start < ends.size:
        end = int(ends[start])
        if end - start <= DIRECT:
            nearest = int(np.searchsorted(wide, start))
            stop = min(int(wide[nearest]) if nearest < wide.size else ends.size, start + CHUNK)
            yield start, stop
        else:
            stop = min(int(np.searchsorted(ends, end + fringe, "right")), end + 1)
            shares = min(threads, -(-(stop - start) // CHUNK))
            cuts = [start + (stop - start) * share // shares for share in range(shares + 1)]
            yield from ((start, stop, first, last, n) for first, last in pairwise(cuts))
        start = stop


def _popcount(typing_context: Any, word: Any) -> Any:
    """Return the number of bits set in a 64-bit word, as one instruction."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


popcount: Any = intrinsic(_popcount)


def compiled(function: Any) -> Any:
    """Compile on first use, without the interpreter's lock, and keep the machine code where a folder can be written."""
    try:
        return njit(cache=True, nogil=True)(function)
    # Neither the source tree nor the user's cache folder can be written.
    except RuntimeError:
        return njit(nogil=True)(function)


@compiled
def windows(values: Values, reach: float) -> tuple[Ranks, Ranks]:
    """Return the first and last rank within reach of each rank of the sorted values."""
    n = values.size
    low, high = np.empty(n, np.uint32), np.empty(n, np.uint32)
    first = last = 0
    for i in range(n):
        while last + 1 < n and values[last + 1] - values[i] <= reach:
            last += 1
        while values[i] - values[first] > reach:
            first += 1
        low[i], high[i] = first, last
    return low, high


@compiled
def templates(order: NDArray[np.intp], low: Ranks, high: Ranks) -> Ranks:
    """Return templates by their first value: ranks of the other two, their windows, and their partners' end."""
    n = order.size
    by_index = np.empty((n, 3), np.uint32)
    for rank in range(n):
        row = by_index[order[rank]]
        row[0], row[1], row[2] = rank, low[rank], high[rank]
    result = np.empty((7, n - 2), np.uint32)
    # The ranks at which no template of 3 values starts.
    tail, other = by_index[n - 2, 0], by_index[n - 1, 0]
    k = 0
    for rank in range(n):
        i = order[rank]
        if i >= n - 2:
            continue
        for step in range(2):
            row = by_index[i + 1 + step]
            result[Y + step, k] = row[0]
            result[Y_LOW + 2 * step, k] = row[1]
            result[Y_SPAN + 2 * step, k] = row[2] - row[1]
        end = high[rank]
        result[END, k] = end - (end >= tail) - (end >= other)
        k += 1
    return result


@compiled
def scan(
    ys: Ranks, zs: Ranks, y_low: np.uint32, y_span: np.uint32, z_low: np.uint32, z_span: np.uint32
) -> tuple[np.uint32, np.uint32]:
    """Count points in a box, and points in its y range; 32-bit throughout, since that fills a vector register."""
    inside, aligned = np.uint32(0), np.uint32(0)
    for j in range(ys.size):
        near = np.uint32(ys[j] - y_low) <= y_span
        aligned = np.uint32(aligned + near)
        inside = np.uint32(inside + (near & (np.uint32(zs[j] - z_low) <= z_span)))
    return inside, aligned


@compiled
def count_directly(t: Ranks, start: int, stop: int) -> tuple[int, int]:
    """Return twice the matches (3 values, 2 values) of the templates from start to stop with later ones, by pairs."""
    a = b = 0
    for k in range(start, stop):
        inside, aligned = scan(
            t[Y, k + 1 : t[END, k] + 1],
            t[Z, k + 1 : t[END, k] + 1],
            t[Y_LOW, k],
            t[Y_SPAN, k],
            t[Z_LOW, k],
            t[Z_SPAN, k],
        )
        a += inside
        b += aligned
    return 2 * a, 2 * b


@compiled
def local_ranks(ranks: Ranks, n: int) -> tuple[Bits, Ranks]:
    """Return a bitset of ranks, and how many of them stand before each of its words."""
    bits = np.zeros((n >> 6) + 1, np.uint64)
    for j in range(ranks.size):
        bits[ranks[j] >> 6] |= np.uint64(1) << np.uint64(ranks[j] & 63)
    before = np.empty(bits.size, np.uint32)
    total = np.uint32(0)
    for word in range(bits.size):
        before[word] = total
        total = np.uint32(total + popcount(bits[word]))
    return bits, before


@compiled
def local(bits: Bits, before: Ranks, rank: int) -> np.int64:
    """Count the members of the bitset that are below a rank."""
    word = rank >> 6
    below = (np.uint64(1) << np.uint64(rank & 63)) - np.uint64(1)
    return np.int64(before[word]) + np.int64(popcount(bits[word] & below))


@compiled
def strip(others: Ranks, start: np.int64, stop: np.int64, low: np.int64, high: np.int64) -> np.int64:
    """Count points from start to stop whose other coordinate is in [low, high); negative where stop is before start."""
    first, width = np.uint32(low), np.uint32(high - low)
    points = others[stop:start] if stop < start else others[start:stop]
    count = np.uint32(0)
    for j in range(points.size):
        count = np.uint32(count + (np.uint32(points[j] - first) < width))
    return -np.int64(count) if stop < start else np.int64(count)


@compiled
def grid(ys: Ranks, zs: Ranks, n: int, queries: int) -> tuple[Bits, Ranks, Bits, Ranks, Ranks, Ranks, Ranks, int]:
    """Return points by local rank in either direction, and cumulative counts on a grid of equally filled lines."""
    size = ys.size
    y_bits, y_before = local_ranks(ys, n)
    z_bits, z_before = local_ranks(zs, n)
    z_by_y, y_by_z = np.empty(size, np.uint32), np.empty(size, np.uint32)
    for j in range(size):
        y, z = local(y_bits, y_before, ys[j]), local(z_bits, z_before, zs[j])
        z_by_y[y], y_by_z[z] = z, y
    shift = 3
    while (size >> shift) ** 2 > min(GRID * queries, CELLS):
        shift += 1
    lines = ((size - 1) >> shift) + 2
    table = np.zeros((lines, lines), np.uint32)
    for y in range(size):
        table[(y >> shift) + 1, (z_by_y[y] >> shift) + 1] += 1
    for row in range(1, lines):
        total = np.uint32(0)
        for column in range(1, lines):
            total = np.uint32(total + table[row, column])
            table[row, column] = total + table[row - 1, column]
    return y_bits, y_before, z_bits, z_before, z_by_y, y_by_z, table, shift


@compiled
def count_on_grid(t: Ranks, start: int, stop: int, first: int, last: int, n: int) -> tuple[int, int]:
    """Count points from start to stop in the boxes of the templates from first to last: (y and z, y alone), summed."""
    a = b = 0
    if start >= stop:
        return a, b
    size = stop - start
    y_bits, y_before, z_bits, z_before, z_by_y, y_by_z, table, shift = grid(
        t[Y, start:stop], t[Z, start:stop], n, last - first
    )
    half = (1 << shift) >> 1
    for k in range(first, last):
        bottom = local(y_bits, y_before, np.int64(t[Y_LOW, k]))
        top = local(y_bits, y_before, np.int64(t[Y_LOW, k]) + t[Y_SPAN, k] + 1)
        left = local(z_bits, z_before, np.int64(t[Z_LOW, k]))
        right = local(z_bits, z_before, np.int64(t[Z_LOW, k]) + t[Z_SPAN, k] + 1)
        b += top - bottom
        # The nearest grid lines, on either side: what the grid counts too much, a strip takes away.
        r0, r1 = (bottom + half) >> shift, (top + half) >> shift
        c0, c1 = (left + half) >> shift, (right + half) >> shift
        y0, y1 = min(r0 << shift, size), min(r1 << shift, size)
        z0, z1 = min(c0 << shift, size), min(c1 << shift, size)
        a += np.int64(table[r1, c1]) - table[r0, c1] - table[r1, c0] + table[r0, c0]
        a += strip(z_by_y, bottom, y0, left, right) + strip(z_by_y, y1, top, left, right)
        a += strip(y_by_z, left, z0, y0, y1) + strip(y_by_z, z1, right, y0, y1)
    return a, b


@compiled
def count_fringe(t: Ranks, start: int, stop: int, first: int, last: int, n: int) -> tuple[int, int]:
    """Count matches of the templates from first to last among the points from start to stop in their windows."""
    a = b = 0
    bits, before = local_ranks(t[Y, start:stop], n)
    position, zs = np.empty(stop - start, np.uint32), np.empty(stop - start, np.uint32)
    for j in range(start, stop):
        y = local(bits, before, np.int64(t[Y, j]))
        position[y], zs[y] = j, t[Z, j]
    for k in range(first, last):
        bottom = local(bits, before, np.int64(t[Y_LOW, k]))
        top = local(bits, before, np.int64(t[Y_LOW, k]) + t[Y_SPAN, k] + 1)
        inside, aligned = scan(position[bottom:top], zs[bottom:top], np.uint32(0), t[END, k], t[Z_LOW, k], t[Z_SPAN, k])
        a += inside
        b += aligned
    return a, b


@compiled
def count_slab(t: Ranks, start: int, stop: int, first: int, last: int, n: int) -> tuple[int, int]:
    """Return twice the matches of the templates from first to last, part of the slab start to stop, with later ones.

    Within a slab all first values match, so its pairs are counted from both sides, each template finding itself too.
    """
    shared, reached = np.int64(t[END, start]) + 1, np.int64(t[END, stop - 1]) + 1
    a_slab, b_slab = count_on_grid(t, start, stop, first, last, n)
    a_core, b_core = count_on_grid(t, stop, shared, first, last, n)
    a_fringe, b_fringe = count_fringe(t, shared, reached, first, last, n)
    own = last - first
    return a_slab - own + 2 * (a_core + a_fringe), b_slab - own + 2 * (b_core + b_fringe)
