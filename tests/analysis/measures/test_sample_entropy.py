"""Sample Entropy against brute force, other packages, and the laws it obeys."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.measures import _sample_entropy_pairs
from analysis.measures._sample_entropy_pairs import match_counts
from analysis.measures.sample_entropy import sample_entropy, sample_entropy_counts, sample_entropy_estimate

Values = NDArray[np.float64]


def normal(n: int, seed: int = 0) -> Values:
    return np.random.default_rng(seed).standard_normal(n)


def mostly_zero(n: int) -> Values:
    return np.where(np.random.default_rng(1).random(n) < 0.9, 0.0, normal(n))


def levels(n: int) -> Values:
    return np.round(normal(n) * 40.0) / 127.0


def staircase(n: int) -> Values:
    return np.arange(n) // 7 * 0.1


def exact_steps(n: int) -> Values:
    """Values exactly r apart: where `<` and `<=` part, and where a rounded x + r would go wrong."""
    return np.random.default_rng(2).choice([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], n)


SERIES: dict[str, Callable[[int], Values]] = {
    "normal": normal,
    "float32": lambda n: normal(n).astype(np.float32).astype(np.float64),
    "uniform": lambda n: np.random.default_rng(3).random(n),
    "cauchy": lambda n: np.random.default_rng(4).standard_cauchy(n),
    "lognormal": lambda n: np.exp(3.0 * normal(n)),
    "mostly zero": mostly_zero,
    "levels": levels,
    "ternary": lambda n: np.sign(np.round(normal(n))),
    "exact steps": exact_steps,
    "ramp": lambda n: np.arange(n, dtype=np.float64),
    "staircase": staircase,
    "walk": lambda n: np.cumsum(normal(n)),
    "sine": lambda n: np.sin(np.arange(n) / 9.0),
    "alternating": lambda n: np.arange(n) % 2 * 1.0,
    "constant": lambda n: np.full(n, 0.1),
    "one outlier": lambda n: np.concatenate([np.zeros(n - 1), [1e9]]),
    "two scales": lambda n: np.concatenate([normal(n // 2), 1e3 * normal(n - n // 2, 1)]),
    "geometric": lambda n: 1.01 ** (np.arange(n) % 2000),
    "minus zero": lambda n: np.where(np.arange(n) % 3 == 0, -0.0, 0.0) + (np.arange(n) % 50 == 0),
}


def brute_counts(x: Values, m: int, tolerance: float, strict: bool = False) -> tuple[int, int]:
    """A and B by looking at every pair of templates."""
    starts = np.arange(x.size - m)
    matched = [0, 0]
    for i in starts[:-1]:
        later = starts[i + 1 :]
        distance = np.max([np.abs(x[later + step] - x[i + step]) for step in range(m)], axis=0)
        longer = np.maximum(distance, np.abs(x[later + m] - x[i + m]))
        for length, d in enumerate((longer, distance)):
            matched[length] += int(np.count_nonzero(d < tolerance if strict else d <= tolerance))
    return matched[0], matched[1]


@pytest.mark.parametrize("name", SERIES)
@pytest.mark.parametrize("n", [3, 4, 5, 60, 256, 257, 1500])
def test_counts_are_those_of_brute_force(name: str, n: int) -> None:
    x = SERIES[name](n)
    for strict in (False, True):
        found = sample_entropy_counts(x, strict=strict)
        if n > 3:
            expected = brute_counts(x, 2, 0.2 * x.std() if x.min() < x.max() else 0.0, strict)
            assert (found.a, found.b) == expected
        else:
            assert math.isnan(found.value)


@pytest.mark.parametrize("m", [1, 2, 3, 5])
@pytest.mark.parametrize("r", [0.0, 0.05, 0.5, 2.0, 100.0])
@pytest.mark.parametrize("name", ["normal", "levels", "mostly zero", "sine"])
def test_any_length_and_tolerance(name: str, m: int, r: float) -> None:
    x = SERIES[name](400)
    for strict in (False, True):
        found = sample_entropy_counts(x, m, r, strict=strict)
        assert (found.a, found.b) == brute_counts(x, m, r * x.std(), strict)


@pytest.mark.parametrize("name", SERIES)
def test_sample_entropy_pairs_are_exact_where_they_are_at_work(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small slabs put the grid, the fringe and the shares of threads to work on few values."""
    monkeypatch.setattr(_sample_entropy_pairs, "DIRECT", 10)
    monkeypatch.setattr(_sample_entropy_pairs, "FRINGE", 0.5)
    monkeypatch.setattr(_sample_entropy_pairs, "CHUNK", 100)
    for n in (3, 50, 1500):
        x = SERIES[name](n)
        for r in (0.001, 0.2, 1.0):
            a, b, close = match_counts(x, r * x.std(), threads=2)
            assert (a, b) == brute_counts(x, 2, r * x.std())
            assert close == (np.count_nonzero(np.abs(x[:, None] - x) <= r * x.std()) - n) // 2


@pytest.mark.parametrize("name", SERIES)
def test_sample_entropy_pairs_agree_with_a_k_d_tree(name: str) -> None:
    spatial = pytest.importorskip("scipy.spatial")
    x = SERIES[name](5001)
    points = np.lib.stride_tricks.sliding_window_view(x, 3)
    expected = []
    for width in (3, 2):
        tree = spatial.cKDTree(points[:, :width])
        expected.append((tree.count_neighbors(tree, 0.2 * x.std(), p=np.inf) - len(points)) // 2)
    assert match_counts(x, 0.2 * x.std())[:2] == tuple(expected)


def test_other_packages_agree() -> None:
    x = normal(5500)
    antropy = pytest.importorskip("antropy")
    assert sample_entropy(x) == pytest.approx(antropy.sample_entropy(x), abs=1e-12)
    assert sample_entropy(x, 3) == pytest.approx(antropy.sample_entropy(x, order=3), abs=1e-12)


def test_entropyhub_agrees() -> None:
    hub = pytest.importorskip("EntropyHub")
    x = levels(1500)
    values, a, b = hub.SampEn(x, m=2, r=0.2 * x.std())
    found = sample_entropy_counts(x)
    assert (found.a, found.b) == (int(a[2]), int(b[2]))
    assert found.value == pytest.approx(values[2], abs=1e-12)


def test_gaussian_values_meet_their_theory() -> None:
    """Independent Gaussian values match with probability erf(r / 2), whatever came before."""
    found = sample_entropy_counts(normal(120_000))
    theory = -math.log(math.erf(0.1))
    assert found.value == pytest.approx(theory, abs=0.01)
    assert found.shuffled == pytest.approx(theory, abs=0.003)


def test_shuffled_is_what_shuffling_gives() -> None:
    x = np.sin(np.arange(5000) / 20.0)
    found = sample_entropy_counts(x)
    shuffled = [sample_entropy(np.random.default_rng(seed).permutation(x)) for seed in range(5)]
    assert found.value < 0.2
    assert found.shuffled == pytest.approx(np.mean(shuffled), abs=0.01)


@pytest.mark.parametrize("scale", [1e-305, 1e-200, 2.0**-20, 2.0**20, 1e200, 1e305])
def test_scale_does_not_matter(scale: float) -> None:
    x = np.round(normal(500) * 8.0) / 4.0
    found, scaled = sample_entropy_counts(x), sample_entropy_counts(x * scale)
    assert scaled.value == pytest.approx(found.value, rel=1e-12)
    assert scaled.r == pytest.approx(found.r * scale, rel=1e-9)


DEGENERATE: dict[str, tuple[list[float], float]] = {
    "empty": ([], math.nan),
    "one": ([1.0], math.nan),
    "too short": ([1.0, 2.0, 1.0], math.nan),
    "constant": ([0.1] * 20, 0.0),
    "zeros": ([0.0] * 500, 0.0),
    "nothing matches": ([0.0, 10.0, 20.0, 30.0, 40.0, 50.0], math.nan),
    "nothing goes on": ([0.0, 0.0, 9.0, 0.0, 0.0, -9.0], math.inf),
    "not a number": ([1.0, 2.0, math.nan] * 10, math.nan),
    "infinite": ([1.0, 2.0, math.inf] * 200, math.nan),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_cases(name: str) -> None:
    values, expected = DEGENERATE[name]
    found = sample_entropy(values)
    assert found == pytest.approx(expected, nan_ok=True)
    assert math.copysign(1.0, found) == 1.0


def test_strict_on_a_constant_matches_nothing() -> None:
    assert math.isnan(sample_entropy([0.1] * 20, strict=True))


def test_any_float_array_will_do() -> None:
    x = normal(600).astype(np.float32).reshape(20, 30)
    assert sample_entropy(x) == sample_entropy(x.astype(np.float64).ravel())
    assert sample_entropy(x[::-1, ::2]) == sample_entropy(np.ascontiguousarray(x[::-1, ::2]))
    assert sample_entropy(np.array([1, 2, 1, 2, 1, 2, 5])) == pytest.approx(math.log(2.0))


def test_reference_definition() -> None:
    """The first 10,000 values, and one template less for A."""
    x = np.round(normal(10_500) * 10.0) / 10.0
    head = x[:10_000]
    exact, reference = sample_entropy_counts(head), sample_entropy_counts(x, definition="reference")
    last = np.abs(np.lib.stride_tricks.sliding_window_view(head, 3) - head[-3:]).max(axis=1)
    assert reference.n == 10_000
    assert reference.b == exact.b
    assert exact.a - reference.a == np.count_nonzero(last <= 0.2 * head.std()) - 1 > 0
    assert reference.value == pytest.approx(math.log(reference.b / reference.a))
    assert math.isnan(sample_entropy([0.0, 0.0, 9.0, 0.0, 0.0, -9.0], definition="reference"))


def test_threads_do_not_change_the_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    x = mostly_zero(110_000)
    one = sample_entropy_counts(x, threads=1)
    assert sample_entropy_counts(x, threads=3) == one
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert sample_entropy_counts(x) == one


def test_estimate_covers_the_exact_value() -> None:
    x = normal(30_000)
    exact = sample_entropy(x)
    found = [sample_entropy_estimate(x, pairs=100_000, seed=seed) for seed in range(40)]
    assert sum(e.low <= exact <= e.high for e in found) >= 34
    assert np.std([e.value for e in found]) == pytest.approx(np.mean([e.error for e in found]), rel=0.4)
    assert sample_entropy_estimate(x, pairs=1000, seed=7) == sample_entropy_estimate(x, pairs=1000, seed=7)
    assert sample_entropy_estimate([1.0] * 10, pairs=100).value == 0.0
    assert math.isnan(sample_entropy_estimate([1.0, math.nan] * 10).value)


@pytest.mark.parametrize(
    ("arguments", "word"), [({"m": 0}, "m is 0"), ({"r": -1.0}, "r is"), ({"r": math.nan}, "r is")]
)
def test_bad_arguments_say_so(arguments: dict[str, float], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        sample_entropy([1.0, 2.0, 3.0, 4.0], **arguments)  # type: ignore[arg-type]


def test_short_series_need_no_compiler() -> None:
    code = "import sys; from analysis.measures.sample_entropy import sample_entropy as s; s([1.0, 2.0] * 100)"
    code += "; assert not {'numba', 'scipy', 'torch', 'ray'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
