"""The measures against other packages, published values and theory, and the promises that all of them keep."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from analysis.measures import MEASURES, measure_tensor
from analysis.measures.baselines import gaussian, shuffled
from analysis.measures.compressibility import compressed_bytes, compressibility
from analysis.measures.fisher_shannon import fisher_shannon, fisher_shannon_terms
from analysis.measures.heavy_tail import alpha, fit_power_law
from analysis.measures.jensen_shannon import complexity_of_shares, jensen_shannon_complexity
from analysis.measures.lmc import _gaussian_lmc, lmc, lmc_terms, lmc_z
from analysis.measures.moments import kurtosis, l2_norm, participation_ratio, skew, sparsity, standard_deviation
from analysis.measures.multiscale import multiscale_entropy, multiscale_terms
from analysis.measures.ordinal import pattern_shares, permutation_complexity, permutation_entropy
from analysis.measures.spectral import effective_rank, singular_values, spectral_entropy, stable_rank, svd_entropy

Array = np.ndarray[Any, Any]


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


# What holds for every measure -----------------------------------------------------------------------------------------

TENSORS: dict[str, Array] = {
    "empty": np.empty(0),
    "empty matrix": np.empty((0, 3)),
    "one": np.array([0.3]),
    "scalar": np.array(2.5),
    "two": np.array([0.1, -0.2]),
    "three": np.array([1.0, 2.0, 3.0]),
    "zeros": np.zeros((6, 5)),
    "constant": np.full((4, 3, 3, 3), 0.1),
    "negative zeros": np.full(12, -0.0),
    "rank one": np.outer(np.arange(1.0, 9.0), np.arange(1.0, 12.0)),
    "not a number": np.array([[1.0, math.nan], [2.0, 3.0]]),
    "infinite": np.array([[1.0, math.inf], [-math.inf, 3.0]]),
    "huge": normal(20, 30) * 1e307,
    "whole range": np.array([[-1.7e308, 1.7e308], [0.0, 1.0]]),
    "tiny": normal(20, 30) * 1e-305,
    "subnormal": np.array([[5e-324, 0.0, -5e-324], [1e-323, 0.0, 5e-324]]),
    "one float apart": np.tile([1.0, math.nextafter(1.0, 2.0)], 40),
    "outlier": np.concatenate([normal(300), [1e300]]),
    "float32": normal(16, 3, 3, 3).astype(np.float32),
    "float16": normal(40, 10).astype(np.float16),
    "strided": normal(40, 40)[::2, ::-3],
    "integers": np.arange(-30, 30).reshape(6, 10),
    "sparse": np.where(normal(50, 20, seed=1) > 1.3, normal(50, 20), 0.0),
}


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("tensor", TENSORS)
def test_any_tensor_gives_every_column_and_no_warning(measure: str, tensor: str) -> None:
    weights = TENSORS[tensor]
    before = weights.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = measure_tensor(weights, [measure])
    assert list(found) == list(MEASURES[measure].columns)
    assert all(type(value) is float for value in found.values())
    np.testing.assert_array_equal(weights, before)
    if tensor.startswith(("empty", "not a number", "infinite")):
        assert math.isnan(found[measure])


@pytest.mark.parametrize("name", MEASURES)
def test_an_entry_is_complete(name: str) -> None:
    measure = MEASURES[name]
    assert next(iter(measure.columns)) == name
    assert all(column.startswith(name) for column in measure.columns)
    assert all(about.meaning and about.unit and "\n" not in about.meaning for about in measure.columns.values())
    assert measure.reference


@pytest.mark.parametrize(
    "name", [name for name, measure in MEASURES.items() if not (measure.ordered or measure.initial)]
)
def test_what_is_not_ordered_does_not_heed_order(name: str) -> None:
    weights = np.round(normal(30, 20), 3)
    turned = weights[::-1, ::-1]
    assert measure_tensor(turned, [name])[name] == pytest.approx(measure_tensor(weights, [name])[name], rel=1e-9)


@pytest.mark.parametrize("name", [name for name, measure in MEASURES.items() if measure.ordered])
def test_what_is_ordered_heeds_order(name: str) -> None:
    weights = np.sort(normal(900))
    mixed = np.random.default_rng(5).permutation(weights)
    assert measure_tensor(weights, [name])[name] != pytest.approx(measure_tensor(mixed, [name])[name], rel=1e-3)


SCALELESS = [
    name for name in MEASURES if name not in ("weight_mean", "weight_std", "weight_min", "weight_max", "weight_norm")
]


@pytest.mark.parametrize("name", SCALELESS)
@pytest.mark.parametrize("scale", [2.0**-1000, 2.0**-9, 2.0**1000])
def test_scale_does_not_matter(name: str, scale: float) -> None:
    weights = normal(30, 20)
    expected = measure_tensor(weights, [name])[name]
    assert measure_tensor(weights * scale, [name])[name] == pytest.approx(expected, rel=1e-9, nan_ok=True)


def test_default_measures_are_those_marked() -> None:
    expected = [column for measure in MEASURES.values() if measure.default for column in measure.columns]
    assert list(measure_tensor(normal(12, 12))) == expected
    assert len(set(expected)) == len(expected)


def test_an_unknown_measure_is_named() -> None:
    with pytest.raises(KeyError, match=rf"entropi.*choose from {next(iter(MEASURES))}"):
        measure_tensor(normal(5), ["entropi"])


def test_the_table_is_light_to_read() -> None:
    code = "import sys, analysis.measures; assert not {'torch', 'ray', 'numba', 'scipy', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# Histograms -----------------------------------------------------------------------------------------------------------


def lmc_by_definition(x: Array, bins: int, reference: bool = False) -> float:
    counts, _ = np.histogram(x[:10_000] if reference else x, bins=bins)
    p = counts / counts.sum()
    entropy = stats.entropy(p, base=2) if reference else stats.entropy(p) / math.log(bins)
    return float(entropy * ((p - 1 / bins) ** 2).sum())


@pytest.mark.parametrize("n", [2, 27, 1600, 30_000])
@pytest.mark.parametrize("bins", [2, 10, 100])
def test_lmc_is_its_definition(n: int, bins: int) -> None:
    x = np.round(normal(n), 2)
    assert lmc(x, bins) == pytest.approx(lmc_by_definition(x, bins), rel=1e-12)
    assert lmc(x, bins, definition="reference") == pytest.approx(lmc_by_definition(x, bins, True), rel=1e-12)


def test_lmc_meets_published_values() -> None:
    """Of 27 Gaussian values the reference gives about 0.18, of uniform ones it vanishes with their number."""
    small = [lmc(normal(27, seed=seed), definition="reference") for seed in range(200)]
    assert np.mean(small) == pytest.approx(0.179, abs=0.03)
    assert lmc(np.random.default_rng(0).random(100_000)) < 2e-4
    assert lmc(np.arange(100.0)) == pytest.approx(0.0, abs=1e-15)


def test_lmc_terms() -> None:
    terms = lmc_terms([0.0, 0.0, 0.0, 1.0], bins=2)
    assert (terms.disequilibrium, terms.bins, terms.low, terms.high, terms.n) == (0.125, 2, 0.0, 1.0, 4)
    assert terms.entropy == pytest.approx(stats.entropy([0.75, 0.25], base=2))
    assert lmc_terms([3.0] * 9).value == lmc_terms(normal(9), bins=1).value == 0.0


@pytest.mark.parametrize("n", [3, 10, 500])
def test_lmc_surrogates_are_gaussian_samples(n: int) -> None:
    drawn = [lmc(normal(n, seed=seed)) for seed in range(600)]
    mean, deviation = _gaussian_lmc(n, 100, 0)
    error = math.hypot(deviation / math.sqrt(200), float(np.std(drawn)) / math.sqrt(600))
    assert mean == pytest.approx(np.mean(drawn), abs=4 * error)
    assert deviation == pytest.approx(np.std(drawn), rel=0.25)


def test_lmc_z_knows_gaussian_from_other() -> None:
    assert np.std([lmc_z(normal(2000, seed=seed)) for seed in range(100)]) == pytest.approx(1.0, abs=0.3)
    assert abs(lmc_z(np.random.default_rng(0).random(2000))) > 3
    assert lmc_z(normal(50), seed=1) != lmc_z(normal(50), seed=2)
    assert math.isnan(lmc_z([1.0, 2.0]))


def test_fisher_shannon_meets_theory() -> None:
    rng = np.random.default_rng(0)
    assert fisher_shannon(normal(200_000)) == pytest.approx(1.0, abs=0.03)
    # Laplace of scale b: I = 1 / b^2, H = 1 + ln 2b.
    assert fisher_shannon(rng.laplace(size=400_000)) == pytest.approx(2 * math.e / math.pi, rel=0.12)
    assert fisher_shannon(rng.logistic(size=200_000)) == pytest.approx(
        math.exp(4) / 3 / (2 * math.pi * math.e), rel=0.04
    )
    assert fisher_shannon_terms(normal(200_000)).entropy_power == pytest.approx(1.0, abs=0.02)
    assert math.isnan(fisher_shannon(np.concatenate([normal(1000), [1e9]])))


# Order ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("delay", [1, 2])
def test_ordinal_measures_are_those_of_ordpy(order: int, delay: int) -> None:
    ordpy = pytest.importorskip("ordpy")
    for x in (normal(700), np.round(normal(700)), np.cumsum(normal(700)), np.sin(np.arange(700) / 9)):
        h, c = ordpy.complexity_entropy(x, dx=order, taux=delay)
        assert permutation_entropy(x, order, delay) == pytest.approx(h, abs=1e-12)
        assert permutation_complexity(x, order, delay) == pytest.approx(c, abs=1e-9)


@pytest.mark.parametrize(
    ("series", "expected"), [([4, 7, 9, 10, 6, 11, 3], 0.918), ([1, 2, 3, 4], 0.0), ([1, 3, 2], 0.0), ([1], math.nan)]
)
def test_permutation_entropy_meets_published_values(series: list[float], expected: float) -> None:
    """The first is the example of Bandt and Pompe: 4 rises and 2 falls, 0.918 bits."""
    assert permutation_entropy(series, order=2 if len(series) > 3 else 3) == pytest.approx(
        expected, abs=5e-4, nan_ok=True
    )


def test_complexity_of_shares_meets_published_values() -> None:
    """The examples of ordpy's manual, and the two ends: order and disorder."""
    assert complexity_of_shares(np.array([1 / 3, 1 / 15, 4 / 15, 2 / 15, 1 / 5]), 6) == pytest.approx(
        0.16576716623440763
    )
    assert complexity_of_shares(np.full(24, 1 / 24), 24) == pytest.approx(0.0, abs=1e-15)
    assert complexity_of_shares(np.array([1.0]), 24) == 0.0
    assert jensen_shannon_complexity(np.arange(1000.0)) == pytest.approx(0.0, abs=1e-12)


def test_histogram_complexity_is_that_of_ordpy() -> None:
    ordpy = pytest.importorskip("ordpy")
    x = normal(5000)
    shares = np.histogram(x, bins=120)[0] / x.size
    expected = ordpy.complexity_entropy(shares, dx=5, probs=True)[1]  # 5! = 120 states
    assert jensen_shannon_complexity(x, bins=120) == pytest.approx(expected, abs=1e-12)


def test_pattern_shares_add_up() -> None:
    assert pattern_shares(normal(1000), 5).sum() == pytest.approx(1.0)
    for order, delay in ((1, 1), (8, 1), (3, 0)):
        with pytest.raises(ValueError, match="order"):
            pattern_shares(normal(9), order, delay)


@pytest.mark.parametrize("n", [2, 3, 64, 1001])
def test_spectral_entropy_is_that_of_a_periodogram(n: int) -> None:
    signal = pytest.importorskip("scipy.signal")
    x = np.cumsum(normal(n)) + 5.0
    power = signal.periodogram(x)[1]
    assert spectral_entropy(x) == pytest.approx(stats.entropy(power) / math.log(power.size), abs=1e-9)


@pytest.mark.slow  # antropy compiles itself as it is imported
def test_order_measures_are_those_of_antropy() -> None:
    antropy = pytest.importorskip("antropy")
    x = np.cumsum(normal(999))
    assert permutation_entropy(x) == pytest.approx(antropy.perm_entropy(x, normalize=True), abs=1e-12)
    assert spectral_entropy(x) == pytest.approx(antropy.spectral_entropy(x, sf=1.0, normalize=True), abs=1e-9)


def test_multiscale_entropy_is_its_definition() -> None:
    x = normal(900)
    tolerance = 0.2 * x.std()
    for scale, found in enumerate(multiscale_terms(x), start=1):
        coarse = [x[i : i + scale].mean() for i in range(0, 900 // scale * scale, scale)]
        windows = np.lib.stride_tricks.sliding_window_view(np.array(coarse), 3)
        a, b = (np.count_nonzero(stats_distance(windows[:, :width]) <= tolerance) for width in (3, 2))
        assert found == pytest.approx(math.log((b - len(windows)) / (a - len(windows))), abs=1e-12)
    assert multiscale_entropy(x) == pytest.approx(np.mean(multiscale_terms(x)))


def stats_distance(points: Array) -> Array:
    return np.asarray(np.abs(points[:, None] - points).max(axis=2))


def test_multiscale_entropy_falls_for_noise_alone() -> None:
    """Costa et al. (2002), figure 1: white noise falls with scale."""
    terms = multiscale_terms(normal(20_000))
    assert terms == sorted(terms, reverse=True)
    # Means of s independent values have 1 / sqrt(s) of the spread: match probability erf(r sqrt(s) / 2).
    assert terms == pytest.approx([-math.log(math.erf(0.1 * math.sqrt(s))) for s in range(1, 6)], abs=0.03)


def test_compressibility_is_the_size_left_by_zlib() -> None:
    x = np.arange(256.0).repeat(4)
    assert compressed_bytes(x) == len(zlib.compress(np.arange(256, dtype=np.uint8).repeat(4).tobytes(), 6))
    assert compressibility(np.random.default_rng(0).random(50_000)) == pytest.approx(1.0, abs=0.01)
    assert compressibility(np.zeros(50_000)) > 500


# Matrices -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(8, 5), (5, 8), (16, 4, 3, 3), (1, 9), (9, 1), (70, 70)])
def test_spectra_are_those_of_a_decomposition(shape: tuple[int, ...]) -> None:
    weights = normal(*shape) * 0.01
    s = np.linalg.svd(weights.reshape(shape[0], -1), compute_uv=False)
    assert singular_values(weights) == pytest.approx(s / s[0], abs=1e-7)
    assert effective_rank(weights) == pytest.approx(math.exp(stats.entropy(s)), rel=1e-7)
    assert stable_rank(weights) == pytest.approx(np.linalg.norm(weights) ** 2 / s[0] ** 2, rel=1e-9)
    if s.size > 1:
        assert svd_entropy(weights) == pytest.approx(stats.entropy(s**2) / math.log(s.size), rel=1e-7)


@pytest.mark.parametrize("rank", [1, 3, 10])
def test_ranks_of_known_matrices(rank: int) -> None:
    basis = np.linalg.qr(normal(40, 40))[0]
    weights = basis[:, :rank] @ np.linalg.qr(normal(30, 30, seed=1))[0][:rank]
    assert effective_rank(weights) == pytest.approx(rank, rel=1e-6)
    assert stable_rank(weights) == pytest.approx(rank, rel=1e-9)
    assert measure_tensor(weights, ["stable_rank"])["stable_rank_share"] == pytest.approx(rank / 30)


def test_vectors_have_no_rank() -> None:
    for measure in (effective_rank, stable_rank, svd_entropy, alpha):
        assert math.isnan(measure(normal(50)))


@pytest.mark.parametrize("exponent", [1.5, 2.5, 4.0])
def test_power_laws_are_found(exponent: float) -> None:
    x = (1.0 - np.random.default_rng(0).random(3000)) ** (-1.0 / (exponent - 1.0))
    assert fit_power_law(x).alpha == pytest.approx(exponent, rel=0.1)
    mixed = np.concatenate([np.random.default_rng(1).random(3000), x[x > 1.5]])
    assert fit_power_law(mixed).alpha == pytest.approx(exponent, rel=0.15)


def test_power_law_is_that_of_the_powerlaw_package() -> None:
    powerlaw = pytest.importorskip("powerlaw")
    x = np.abs(np.random.default_rng(0).standard_t(3, 300))
    expected = powerlaw.Fit(x, verbose=False)
    found = fit_power_law(x)
    assert (found.alpha, found.distance, found.low) == pytest.approx(
        (expected.alpha, expected.D, expected.xmin), rel=1e-9
    )


def test_alpha_is_that_of_weightwatcher() -> None:
    """Measured with weightwatcher 0.7.7 on this matrix as a linear layer."""
    weights = np.random.default_rng(3).standard_t(3, size=(120, 90))
    found = measure_tensor(weights, ["alpha"])
    assert found["alpha"] == pytest.approx(2.791437, abs=1e-6)
    assert found["alpha_distance"] == pytest.approx(0.076478, abs=1e-6)
    assert found["alpha_n"] == 26


def test_power_law_wants_a_tail() -> None:
    for x in ([], [1.0] * 50, [1.0, 2.0, 3.0], [0.0] * 20):
        assert math.isnan(fit_power_law(x).alpha)


# Moments and baselines ------------------------------------------------------------------------------------------------

MOMENTS: dict[str, tuple[Callable[[Any], float], Callable[[Array], float]]] = {
    "standard deviation": (standard_deviation, np.std),
    "skew": (skew, stats.skew),
    "kurtosis": (kurtosis, stats.kurtosis),
    "norm": (l2_norm, np.linalg.norm),
    "sparsity": (sparsity, lambda x: 1 - np.count_nonzero(x) / x.size),
    "participation": (participation_ratio, lambda x: (x**2).sum() ** 2 / (x**4).sum() / x.size),
}


@pytest.mark.parametrize("name", MOMENTS)
def test_moments_are_those_of_scipy(name: str) -> None:
    ours, theirs = MOMENTS[name]
    for x in (normal(1000) + 3.0, np.round(normal(77)), np.random.default_rng(0).standard_t(2, 500)):
        assert ours(x) == pytest.approx(theirs(x), rel=1e-9)


def test_moments_hold_at_any_magnitude() -> None:
    assert standard_deviation(normal(99) * 1e-300) == pytest.approx(normal(99).std() * 1e-300)
    assert standard_deviation([0.1] * 10) == 0.0
    assert l2_norm([3e200, 4e200]) == pytest.approx(5e200)
    assert l2_norm([1.7e308] * 4) == math.inf
    assert kurtosis(normal(99) * 1e200) == pytest.approx(stats.kurtosis(normal(99)))


def test_baselines() -> None:
    trend = np.arange(500) + normal(500)
    found = shuffled(permutation_entropy, trend)
    assert found.z < -5
    assert found.mean == pytest.approx(1.0, abs=0.01)
    assert found == shuffled(permutation_entropy, trend)
    assert found.mean != shuffled(permutation_entropy, trend, seed=1).mean
    assert math.isnan(shuffled(permutation_entropy, [1.0] * 9).z)
    assert gaussian(kurtosis, np.random.default_rng(0).random(2000)).z < -5
    assert abs(gaussian(kurtosis, normal(2000), 50).z) < 4
    assert shuffled(permutation_entropy, np.arange(1000.0), 3).repeats == 3
