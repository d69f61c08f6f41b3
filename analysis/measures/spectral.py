"""Measures of spectra: of the series' frequencies, and of the weight matrix' singular values."""

from __future__ import annotations

import math
from hashlib import blake2b

import numpy as np
from numpy.typing import ArrayLike

from analysis.measures._values import Values, finite, flat, matrix, quiet, rescaled
from analysis.measures.baselines import shuffled
from analysis.measures.jensen_shannon import shannon

# The last spectrum: several measures ask for it in turn.
_recent: dict[bytes, Values] = {}


@quiet
def spectral_entropy(x: ArrayLike) -> float:
    """Entropy of the power spectrum of the series, normalised to [0, 1] by the log of the number of frequencies.

    Formula: -sum p ln p / ln K, p the one-sided periodogram of x - mean over K = n // 2 + 1 frequencies, as shares.
    White noise gives about 1 - 0.42 / ln K. Degenerate: constant, fewer than 2 values or non-finite input gives NaN.
    Source: Inouye et al. (1991), Electroencephalogr. Clin. Neurophysiol. 79, 204.

    >>> import numpy as np
    >>> round(spectral_entropy(np.sin(np.arange(64) * np.pi / 4)), 6)
    0.0
    """
    values = flat(x)
    if not finite(values) or values.min() == values.max():
        return math.nan
    values = rescaled(values)[0]
    power = np.square(np.abs(np.fft.rfft(values - values.mean())))
    # Both signs of every frequency but 0 and the highest.
    power[1 : -1 if values.size % 2 == 0 else None] *= 2.0
    return shannon(power / power.sum()) / math.log(power.size)


def spectral_entropy_columns(x: ArrayLike) -> dict[str, float]:
    """Return spectral entropy, and that of shuffled values."""
    return {"spectral_entropy": spectral_entropy(x), "spectral_entropy_shuffled": shuffled(spectral_entropy, x).mean}


@quiet
def singular_values(weights: ArrayLike) -> Values:
    """Singular values of the weights as an (outputs, everything else) matrix, largest first, over the largest.

    From the Gram matrix, which is much quicker than a decomposition: those below 1e-7 of the largest count as 0.
    Degenerate: none for fewer than 2 axes, an empty, non-finite or all-zero tensor.

    >>> singular_values([[3.0, 0.0], [0.0, 4.0]])
    array([1.  , 0.75])
    """
    tensor = np.ascontiguousarray(weights, dtype=np.float64)
    key = blake2b(tensor.data, person=str(tensor.shape[:1]).encode()[:16]).digest()
    spectrum = _recent.get(key)
    if spectrum is None:
        spectrum = _spectrum(matrix(tensor))
        _recent.clear()
        _recent[key] = spectrum
    return spectrum.copy()


def effective_rank(weights: ArrayLike) -> float:
    """Effective rank exp(H) of a weight matrix: between 1 and its smaller side.

    Formula: H = -sum p ln p over p = s / sum s, s the singular values of the tensor as (outputs, everything else).
    Degenerate: NaN for tensors of fewer than 2 axes, and for empty, non-finite or all-zero ones.
    Source: Roy and Vetterli (2007), The effective rank, EUSIPCO, definition 1.

    >>> effective_rank([[2.0, 0.0], [0.0, 2.0]])
    2.0
    """
    s = singular_values(weights)
    return math.exp(shannon(s / s.sum())) if s.size else math.nan


def stable_rank(weights: ArrayLike) -> float:
    """Stable rank of a weight matrix, sum s^2 / max s^2: between 1 and its rank.

    Degenerate: as `effective_rank`.
    Source: Rudelson and Vershynin (2007), J. ACM 54, 21, sec. 1.

    >>> stable_rank([[2.0, 0.0], [0.0, 1.0]])
    1.25
    """
    s = singular_values(weights)
    return float(np.square(s).sum()) if s.size else math.nan


def svd_entropy(weights: ArrayLike) -> float:
    """Entropy of the energy of the singular values, normalised to [0, 1] by the log of the matrix' smaller side.

    Formula: -sum p ln p / ln L over p = s^2 / sum s^2. Degenerate: as `effective_rank`, and NaN for one row or column.
    Source: Alter, Brown, Botstein (2000), PNAS 97, 10101, eq. 2.

    >>> svd_entropy([[2.0, 0.0], [0.0, 2.0]])
    1.0
    """
    energy = np.square(singular_values(weights))
    return shannon(energy / energy.sum()) / math.log(energy.size) if energy.size > 1 else math.nan


def effective_rank_columns(weights: ArrayLike) -> dict[str, float]:
    """Return effective rank, and its share of the matrix' smaller side."""
    return _with_share("effective_rank", effective_rank(weights), weights)


def stable_rank_columns(weights: ArrayLike) -> dict[str, float]:
    """Return stable rank, and its share of the matrix' smaller side."""
    return _with_share("stable_rank", stable_rank(weights), weights)


def _with_share(name: str, rank: float, weights: ArrayLike) -> dict[str, float]:
    shape = np.shape(weights)
    return {name: rank, f"{name}_share": rank / min(shape[0], math.prod(shape[1:])) if rank > 0.0 else math.nan}


def _spectrum(values: Values | None) -> Values:
    if values is None or not values.any():
        return np.empty(0)
    wide = values if values.shape[0] <= values.shape[1] else values.T
    energy = np.linalg.eigvalsh(wide @ wide.T)[::-1]
    floor = energy[0] * energy.size * np.finfo(np.float64).eps
    spectrum: Values = np.sqrt(np.where(energy > floor, energy, 0.0) / energy[0])
    return spectrum
