"""Spearman's correlation within blocks, with exact or permutation p-values where trials are few."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice, permutations, product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]
# Trials from which a correlation is given at all.
FEWEST = 6
# Degrees of freedom from which Student's t stands in for the permutations.
ENOUGH = 10
# Permutations within blocks: all of them where there are no more, else as many at random.
PERMUTATIONS = 10_000
ROUNDING = 1e-9


@dataclass(frozen=True)
class Correlation:
    """A rank correlation over n trials with its 95 % interval and p-value; NaN where there is none."""

    rho: float
    low: float
    high: float
    p: float
    n: int


def spearman(
    x: ArrayLike, y: ArrayLike, blocks: ArrayLike | None = None, controls: Sequence[ArrayLike] = ()
) -> Correlation:
    """Spearman's correlation within blocks, linearly adjusted for the ranks of controls; pairs with a NaN are left out.

    Formula: Pearson's correlation of the ranks within each block, divided by its size and centred there, after a linear
    regression on those of the controls. With one block and no control this is Spearman's rho.
    Interval: tanh(atanh(rho) ± 1.96 sqrt((1 + rho² / 2) / (n - 3 - k))) for k controls and further blocks; none at 1.
    p: from 10 degrees of freedom (n - 2 - k) on Student's t; below, and at a rho of 1, the share of
    permutations of y within blocks that are as extreme: of all of them, or of 9,999 at random and the one that was
    seen, so that it is never 0.
    Degenerate: NaN for n < 6, for fewer than 2 degrees of freedom, or where x or y does not vary.
    Source: Bonett, Wright (2000), Psychometrika 65, 23; Conover (1999), Practical Nonparametric Statistics, sec. 5.4;
    Freedman, Lane (1983), J. Bus. Econ. Stat. 1, 292 (permutation of residuals).

    >>> round(spearman([1, 2, 3, 4, 5, 6], [1, 3, 2, 5, 4, 6]).rho, 6)
    0.885714
    """
    columns = [np.asarray(values, dtype=np.float64) for values in (x, y, *controls)]
    labels = np.zeros(columns[0].size, int) if blocks is None else np.unique(np.asarray(blocks), return_inverse=True)[1]
    known = np.isfinite(columns).all(axis=0)
    labels = np.unique(labels[known], return_inverse=True)[1]
    ranks = [_block_ranks(values[known], labels) for values in columns]
    varying = [rank for rank in ranks[2:] if rank.size and np.ptp(rank) > 0.0]
    n, lost = int(known.sum()), len(varying) + max(int(labels.max(initial=0)), 0)
    nothing = Correlation(math.nan, math.nan, math.nan, math.nan, n)
    if n < FEWEST or n - 2 - lost < 2:
        return nothing
    left, right = (_residual(rank, varying) for rank in ranks[:2])
    scale = math.sqrt(float(left @ left) * float(right @ right))
    if scale <= 1e-12 * n:
        return nothing
    rho = min(max(float(left @ right) / scale, -1.0), 1.0)
    low, high = _interval(rho, n - 3 - lost)
    by_t = n - 2 - lost >= ENOUGH and not math.isnan(low)
    p = _p_of_t(rho, n - 2 - lost) if by_t else _p_of_permutations(left, right, labels)
    return Correlation(rho, low, high, p, n)


def _block_ranks(values: Values, labels: NDArray[np.intp]) -> Values:
    """Return the ranks within each block, ties at their mean, centred and divided by the block's size.

    labels: from 0, each of them there.
    """
    if not values.size:
        return values
    order = np.lexsort((values, labels))
    ordered, owner = values[order], labels[order]
    new = np.concatenate([[True], (ordered[1:] != ordered[:-1]) | (owner[1:] != owner[:-1])])
    first = np.flatnonzero(new)
    middle = first + (np.diff(first, append=values.size) - 1) / 2
    sizes = np.bincount(labels)
    centre = np.cumsum(sizes) - (sizes + 1) / 2
    ranks = np.empty(values.size)
    ranks[order] = (middle[np.cumsum(new) - 1] - centre[owner]) / sizes[owner]
    return ranks


def _residual(values: Values, controls: Sequence[Values]) -> Values:
    if not controls:
        return values
    design = np.column_stack(controls)
    residual: Values = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return residual


def _interval(rho: float, freedom: int) -> tuple[float, float]:
    if abs(rho) > 1.0 - ROUNDING or freedom < 1:
        return math.nan, math.nan
    reach = 1.959964 * math.sqrt((1.0 + rho * rho / 2.0) / freedom)
    return math.tanh(math.atanh(rho) - reach), math.tanh(math.atanh(rho) + reach)


def _p_of_t(rho: float, freedom: int) -> float:
    from scipy import stats

    return 2.0 * float(stats.t.sf(abs(rho) * math.sqrt(freedom / (1.0 - rho * rho)), freedom))


def _p_of_permutations(left: Values, right: Values, labels: NDArray[np.intp]) -> float:
    orders, exact = _orders(tuple(int(label) for label in labels))
    products = np.abs(right[orders] @ left)
    extreme = int((products >= abs(float(left @ right)) - ROUNDING).sum())
    return extreme / len(orders) if exact else (1 + extreme) / (1 + len(orders))


@cache
def _orders(labels: tuple[int, ...]) -> tuple[NDArray[np.intp], bool]:
    """Return orders of the rows that keep every row in its block, and whether these are all of them."""
    blocks = [np.flatnonzero(np.asarray(labels) == label) for label in range(max(labels) + 1)]
    if math.prod(math.factorial(len(block)) for block in blocks) <= PERMUTATIONS:
        return np.array([_placed(blocks, parts) for parts in product(*map(permutations, blocks))]), True
    rng = np.random.default_rng(0)
    drawn = ([rng.permutation(block) for block in blocks] for _ in iter(int, 1))
    return np.array([_placed(blocks, parts) for parts in islice(drawn, PERMUTATIONS - 1)]), False


def _placed(blocks: Sequence[NDArray[np.intp]], parts: Iterable[Any]) -> NDArray[np.intp]:
    order = np.empty(sum(map(len, blocks)), np.intp)
    for block, part in zip(blocks, parts, strict=True):
        order[block] = part
    return order
