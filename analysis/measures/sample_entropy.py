"""Sample Entropy: the rarity with which stretches of m values that resemble each other still do so one value later.

Exact for any length: by brute force up to `SMALL` values, by slabs of a sorted series for m = 2
(`_sample_entropy_pairs`), and on a k-d tree for other m. All decide whether two values match by the same float64
predicate, |xi - xj| <= r.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from analysis.measures._match_counts import match_counts
from analysis.measures._values import Values, deviation, finite, flat, quiet, rescaled

Definition = Literal["exact", "reference"]
Device = Literal["cpu", "cuda", "auto"]
# The published study looked at the first 10,000 values of a tensor.
REFERENCE_VALUES = 10_000
PAIRS_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class SampleEntropy:
    """Sample Entropy in nats with its counts; all but n are NaN where the input has no Sample Entropy.

    a, b: pairs of templates that match for m + 1 and for m values. n: number of values. r: tolerance, in weights.
    shuffled: the value to expect of the same values in random order, -ln of the share of value pairs within r.
    """

    value: float
    a: float
    b: float
    n: int
    r: float
    shuffled: float


@dataclass(frozen=True, slots=True)
class SampleEntropyEstimate:
    """Sample Entropy estimated from random pairs of templates, with its standard error and confidence interval."""

    value: float
    low: float
    high: float
    error: float
    a: int
    b: int
    pairs: int
    n: int
    r: float


@quiet
def sample_entropy_counts(
    x: ArrayLike,
    m: int = 2,
    r: float = 0.2,
    *,
    definition: Definition = "exact",
    strict: bool = False,
    threads: int | None = None,
    device: Device | str = "cpu",
) -> SampleEntropy:
    """Sample Entropy with its match counts, exact for any length.

    Formula: -ln(A / B), where B and A count the pairs among the n - m templates that match for m and for m + 1 values:
    largest difference <= r standard deviations (ddof 0), or < with `strict`; no template is matched with itself.
    `definition="reference"` takes the first 10,000 values, and one template less for A.
    `threads` defaults to OMP_NUM_THREADS or the processors at hand; the counts do not depend on it.
    `device`: "cuda" counts on a GPU with PyTorch, "auto" where that should pay (m other than 2); the same counts.
    Degenerate: n <= m + 1, a value that is not finite, or B = 0 gives NaN; A = 0 < B gives inf (reference: NaN).
    Source: Richman and Moorman (2000), Am. J. Physiol. Heart Circ. Physiol. 278, H2039.

    >>> found = sample_entropy_counts([1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 5.0])
    >>> found.a, found.b
    (2, 4)
    """
    _check(m, r, definition)
    raw = flat(x)[: REFERENCE_VALUES if definition == "reference" else None]
    if raw.size <= m + 1 or not finite(raw):
        return SampleEntropy(math.nan, math.nan, math.nan, raw.size, math.nan, math.nan)
    values, shift = rescaled(raw)
    tolerance, reach = _tolerance(values, r, strict)
    a, b, close = match_counts(values, m, reach, threads, device)
    if definition == "reference":
        a -= _last_template_matches(values, m, reach)
    shuffled = _entropy(close, raw.size * (raw.size - 1) // 2)
    value = math.nan if definition == "reference" and a == 0 else _entropy(a, b)
    return SampleEntropy(value, a, b, raw.size, math.ldexp(tolerance, shift), shuffled)


def sample_entropy(
    x: ArrayLike,
    m: int = 2,
    r: float = 0.2,
    *,
    definition: Definition = "exact",
    strict: bool = False,
    device: Device | str = "cpu",
) -> float:
    """Sample Entropy in nats; see `sample_entropy_counts` for the formula, degenerate cases and source.

    >>> sample_entropy([1.0] * 10)
    0.0
    >>> round(sample_entropy([1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 5.0]), 6)
    0.693147
    >>> sample_entropy([1.0, 2.0])
    nan
    """
    return sample_entropy_counts(x, m, r, definition=definition, strict=strict, device=device).value


@quiet
def sample_entropy_within(x: ArrayLike, tolerance: float, m: int = 2) -> float:
    """Sample Entropy in nats with a tolerance in the units of the values; otherwise as `sample_entropy_counts`.

    >>> round(sample_entropy_within([1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 5.0], 0.5), 6)
    0.693147
    """
    values = flat(x)
    if values.size <= m + 1 or not finite(values):
        return math.nan
    a, b, _ = match_counts(values, m, tolerance, None)
    return _entropy(a, b)


@quiet
def sample_entropy_estimate(
    x: ArrayLike,
    m: int = 2,
    r: float = 0.2,
    *,
    pairs: int = 10_000_000,
    confidence: float = 0.95,
    seed: int = 0,
    strict: bool = False,
) -> SampleEntropyEstimate:
    """Sample Entropy from random pairs of templates, in time that does not depend on the number of values.

    Formula: p = A' / B' of the sampled matches; value -ln p, standard error sqrt((1 - p) / A'), normal interval.
    Degenerate: NaN as for `sample_entropy`; A' = 0 gives inf, with a lower limit alone (rule of three).
    Source: delta method for the log of a binomial share; Richman and Moorman (2000), appendix.

    >>> import numpy as np
    >>> found = sample_entropy_estimate(np.random.default_rng(0).normal(size=10_000), pairs=100_000)
    >>> found.low < 2.196 < found.high
    True
    """
    _check(m, r, "exact")
    raw = flat(x)
    if raw.size <= m + 1 or not finite(raw):
        return SampleEntropyEstimate(math.nan, math.nan, math.nan, math.nan, 0, 0, 0, raw.size, math.nan)
    values, shift = rescaled(raw)
    tolerance, reach = _tolerance(values, r, strict)
    a, b = _sampled_counts(values, m, reach, pairs, np.random.default_rng(seed))
    value, low, high, error = _interval(a, b, confidence)
    return SampleEntropyEstimate(value, low, high, error, a, b, pairs, raw.size, math.ldexp(tolerance, shift))


def sample_entropy_columns(x: ArrayLike) -> dict[str, float]:
    """Return every Sample Entropy column of one tensor."""
    counts = sample_entropy_counts(x)
    return {
        "sample_entropy": counts.value,
        "sample_entropy_a": counts.a,
        "sample_entropy_b": counts.b,
        "sample_entropy_n": counts.n,
        "sample_entropy_r": counts.r,
        "sample_entropy_shuffled": counts.shuffled,
    }


def _check(m: int, r: float, definition: str) -> None:
    if m < 1:
        raise ValueError(f"m is {m}; the template length is at least 1")
    if not 0 <= r < math.inf:
        raise ValueError(f"r is {r}; the tolerance is a number of standard deviations, 0 or more")
    if definition not in ("exact", "reference"):
        raise ValueError(f"definition is {definition!r}; choose 'exact' or 'reference'")


def _tolerance(values: Values, r: float, strict: bool) -> tuple[float, float]:
    """Return the tolerance, and the largest distance within it: below it by one float where it is itself excluded."""
    tolerance = r * deviation(values)
    return tolerance, math.nextafter(tolerance, -math.inf) if strict else tolerance


def _entropy(matches: int, among: int) -> float:
    if among == 0:
        return math.nan
    return math.log(among / matches) if matches else math.inf


def _last_template_matches(values: Values, m: int, reach: float) -> int:
    """Count matches over m + 1 values that involve the last template, which the reference leaves out of A."""
    templates = np.lib.stride_tricks.sliding_window_view(values, m + 1)
    distance = np.abs(templates[:-1] - templates[-1]).max(axis=1)
    return int((distance <= reach).sum())


def _sampled_counts(values: Values, m: int, reach: float, pairs: int, rng: np.random.Generator) -> tuple[int, int]:
    a = b = 0
    templates = values.size - m
    for done in range(0, pairs, PAIRS_AT_ONCE):
        first = rng.integers(templates, size=min(PAIRS_AT_ONCE, pairs - done))
        # Never the template itself.
        second = (first + rng.integers(1, templates, size=first.size)) % templates
        for step in range(m + 1):
            near = np.abs(values[first + step] - values[second + step]) <= reach
            first, second = first[near], second[near]
            b += first.size if step == m - 1 else 0
        a += first.size
    return a, b


def _interval(a: int, b: int, confidence: float) -> tuple[float, float, float, float]:
    """Return value, lower and upper limit, and standard error."""
    from scipy.special import ndtri

    value = _entropy(a, b)
    if a == 0:
        return value, math.log(b / 3.0) if b > 3 else 0.0 if b else math.nan, value, math.nan
    error = math.sqrt((1.0 - a / b) / a)
    reach = float(ndtri(0.5 + confidence / 2.0)) * error
    return value, max(value - reach, 0.0), value + reach, error
