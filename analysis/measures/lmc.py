"""LMC statistical complexity of the histogram of the weights: high between perfect order and perfect disorder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.measures._values import Values, finite, flat, histogram, quiet

Definition = Literal["exact", "reference"]
BINS = 100
# The published study looked at the first 10,000 values of a tensor.
REFERENCE_VALUES = 10_000
SURROGATES = 200


@dataclass(frozen=True, slots=True)
class LmcTerms:
    """LMC complexity and its factors, with the histogram's range."""

    value: float
    entropy: float
    disequilibrium: float
    bins: int
    low: float
    high: float
    n: int


@quiet
def lmc_terms(x: ArrayLike, bins: int = BINS, *, definition: Definition = "exact") -> LmcTerms:
    """LMC complexity C = H·D of a histogram, with H, D and the range they came from.

    Formula: p over N = `bins` equal bins of [min, max]; H = -sum p ln p / ln N in [0, 1]; D = sum (p - 1/N)^2.
    `definition="reference"` takes the first 10,000 values and H = -sum p log2 p in bits, not normalised.
    Degenerate: a constant series or one bin gives C = 0; no value, or one that is not finite, gives NaN.
    Source: Lopez-Ruiz, Mancini, Calbet (1995), A statistical measure of complexity, Phys. Lett. A 209, eq. 1-4.

    >>> lmc_terms([0.0, 0.0, 0.0, 1.0], bins=2).disequilibrium
    0.125
    """
    if bins < 1:
        raise ValueError(f"bins is {bins}; give at least 1")
    values = flat(x)[: REFERENCE_VALUES if definition == "reference" else None]
    if not finite(values):
        return LmcTerms(math.nan, math.nan, math.nan, bins, math.nan, math.nan, values.size)
    unit = math.log(2.0) if definition == "reference" else math.log(bins) or 1.0
    entropy, disequilibrium = _terms(histogram(values, bins)[None, :], unit)
    value, low, high = float((entropy * disequilibrium)[0]), float(values.min()), float(values.max())
    return LmcTerms(value, float(entropy[0]), float(disequilibrium[0]), bins, low, high, values.size)


def lmc(x: ArrayLike, bins: int = BINS, *, definition: Definition = "exact") -> float:
    """LMC complexity C = H·D, dimensionless; see `lmc_terms` for the formula, degenerate cases and source.

    >>> lmc([1.0, 1.0, 1.0])
    0.0
    >>> round(lmc([0.0, 0.0, 0.0, 1.0], bins=2), 6)
    0.10141
    """
    return lmc_terms(x, bins, definition=definition).value


def lmc_z(x: ArrayLike, bins: int = BINS, *, seed: int = 0) -> float:
    """Standard score of LMC among 200 Gaussian samples of the same size.

    Formula: (C - mean C_s) / sd C_s over seeded surrogates s. LMC does not change with shift or scale (but
    by rounding: values on about as many levels as there are bins fall on the edges of bins, 0.5 % for int8 weights), so
    surrogates of equal n and standard deviation are those of standard normal values.
    Degenerate: NaN where LMC is NaN or the surrogates do not vary (fewer than 3 values).
    Source: surrogate testing, Theiler et al. (1992), Physica D 58, sec. 2.

    >>> import numpy as np
    >>> abs(lmc_z(np.random.default_rng(1).normal(size=5000))) < 4
    True
    """
    return _z(lmc_terms(x, bins), seed)


def lmc_columns(x: ArrayLike) -> dict[str, float]:
    """Return every LMC column of one tensor."""
    terms = lmc_terms(x)
    return {
        "lmc": terms.value,
        "lmc_entropy": terms.entropy,
        "lmc_disequilibrium": terms.disequilibrium,
        "lmc_bins": terms.bins,
        "lmc_low": terms.low,
        "lmc_high": terms.high,
        "lmc_n": terms.n,
        "lmc_z": _z(terms, seed=0),
    }


@quiet
def _z(terms: LmcTerms, seed: int) -> float:
    mean, deviation = _gaussian_lmc(terms.n, terms.bins, seed) if terms.n > 2 else (math.nan, 0.0)
    return (terms.value - mean) / deviation if deviation > 0 else math.nan


def _terms(counts: NDArray[np.int64], unit: float) -> tuple[Values, Values]:
    """Return entropy and disequilibrium of each row of counts."""
    p = counts / counts.sum(axis=-1, keepdims=True)
    entropy = -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=-1) / unit + 0.0
    disequilibrium = np.square(p - 1.0 / counts.shape[-1]).sum(axis=-1)
    return entropy, disequilibrium


@lru_cache(maxsize=4096)
def _gaussian_lmc(n: int, bins: int, seed: int) -> tuple[float, float]:
    """Return mean and standard deviation of LMC over Gaussian samples of n values.

    Sampled exactly without drawing n values: given its extremes, the rest of a sample is independent and truncated to
    lie between them, so that the bin counts are multinomial.
    """
    from scipy.special import ndtr

    rng = np.random.default_rng(seed)
    edges = np.linspace(*_extremes(n, rng), bins + 1, axis=-1)
    mass = np.clip(np.diff(ndtr(edges), axis=-1), 0.0, None)
    counts = rng.multinomial(n - 2, mass / mass.sum(axis=-1, keepdims=True))
    counts[:, 0] += 1
    counts[:, -1] += 1
    entropy, disequilibrium = _terms(counts, math.log(bins) or 1.0)
    complexity = entropy * disequilibrium
    return float(complexity.mean()), float(complexity.std(ddof=1))


def _extremes(n: int, rng: np.random.Generator) -> tuple[Values, Values]:
    """Draw minima and maxima of samples of n standard normal values from their joint distribution."""
    from scipy.special import ndtri

    lowest = rng.beta(1.0, n, SURROGATES)
    above = lowest + (1.0 - lowest) * rng.random(SURROGATES) ** (1.0 / (n - 1))
    return ndtri(lowest), ndtri(np.minimum(above, 1.0 - 2.0**-53))
