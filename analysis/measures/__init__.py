"""The table of measures of a weight tensor. Adding one is a function and an entry here.

Importing this package costs numpy alone; SciPy and Numba are imported by the functions that need them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np

from analysis.measures import (
    compressibility,
    distance,
    fisher_shannon,
    heavy_tail,
    jensen_shannon,
    lmc,
    moments,
    multiscale,
    ordinal,
    sample_entropy,
    spectral,
)
from analysis.measures.definition import Column, Measure, number, z_score

LMC = "López-Ruiz, Mancini, Calbet (1995), Phys. Lett. A 209, 321"
SAMPLE_ENTROPY = "Richman, Moorman (2000), Am. J. Physiol. Heart Circ. Physiol. 278, H2039"
MOMENTS = "Joanes, Gill (1998), The Statistician 47, 183"

MEASURES: dict[str, Measure] = {
    "lmc": Measure(
        lmc.lmc_columns,
        {
            "lmc": Column("LMC statistical complexity: entropy times disequilibrium of the histogram"),
            "lmc_entropy": Column("normalised Shannon entropy of the histogram"),
            "lmc_disequilibrium": Column("squared distance of the histogram from equal shares"),
            "lmc_bins": Column("number of histogram bins", "bins"),
            "lmc_low": Column("lower end of the histogram", "weight"),
            "lmc_high": Column("upper end of the histogram", "weight"),
            "lmc_n": Column("number of values in the histogram", "values"),
            "lmc_z": Column("LMC against Gaussian samples of the same size", "sd"),
        },
        LMC,
        sized=True,
    ),
    "sample_entropy": Measure(
        sample_entropy.sample_entropy_columns,
        {
            "sample_entropy": Column("Sample Entropy, m = 2, r = 0.2 standard deviations", "nat"),
            "sample_entropy_a": Column("pairs of templates that match for 3 values", "pairs"),
            "sample_entropy_b": Column("pairs of templates that match for 2 values", "pairs"),
            "sample_entropy_n": Column("number of values", "values"),
            "sample_entropy_r": Column("tolerance of a match", "weight"),
            "sample_entropy_shuffled": Column("Sample Entropy to expect of the same weights in random order", "nat"),
        },
        SAMPLE_ENTROPY,
        ordered=True,
        sized=True,
    ),
    "permutation_entropy": Measure(
        ordinal.permutation_entropy_columns,
        {
            "permutation_entropy": Column("normalised permutation entropy of patterns of 3"),
            "permutation_entropy_complexity": Column("Jensen-Shannon complexity of patterns of 3"),
            "permutation_entropy_missing": Column("share of the patterns that never occur"),
            "permutation_entropy_shuffled": Column("permutation entropy of the same weights in random order"),
        },
        "Bandt, Pompe (2002), Phys. Rev. Lett. 88, 174102; Rosso et al. (2007), Phys. Rev. Lett. 99, 154102",
        ordered=True,
        sized=True,
        default=False,
    ),
    "spectral_entropy": Measure(
        spectral.spectral_entropy_columns,
        {
            "spectral_entropy": Column("normalised entropy of the power spectrum"),
            "spectral_entropy_shuffled": Column("spectral entropy of the same weights in random order"),
        },
        "Inouye et al. (1991), Electroencephalogr. Clin. Neurophysiol. 79, 204",
        ordered=True,
        sized=True,
        default=False,
    ),
    "compressibility": Measure(
        compressibility.compressibility_columns,
        {
            "compressibility": Column("8-bit size over compressed size"),
            "compressibility_bytes": Column("compressed size of the weights at 8 bits", "bytes"),
            "compressibility_shuffled": Column("compressibility of the same weights in random order"),
        },
        "Deutsch (1996), RFC 1951",
        ordered=True,
        sized=True,
        default=False,
    ),
    "jensen_shannon_complexity": number(
        "jensen_shannon_complexity",
        jensen_shannon.jensen_shannon_complexity,
        "Jensen-Shannon complexity of the histogram in 100 bins",
        "Lamberti, Martin, Plastino, Rosso (2004), Physica A 334, 119",
        sized=True,
    ),
    "fisher_shannon": Measure(
        fisher_shannon.fisher_shannon_columns,
        {
            "fisher_shannon": Column("Fisher-Shannon complexity: 1 for Gaussian weights, more for others"),
            "fisher_shannon_information": Column("Fisher information of the standardised weights"),
            "fisher_shannon_power": Column("entropy power of the standardised weights"),
        },
        "Vignat, Bercher (2003), Phys. Lett. A 312, 27",
        sized=True,
    ),
    "effective_rank": Measure(
        spectral.effective_rank_columns,
        {
            "effective_rank": Column("effective rank of the matrix (outputs, everything else)"),
            "effective_rank_share": Column("effective rank over the matrix' smaller side"),
        },
        "Roy, Vetterli (2007), EUSIPCO, 606",
        sized=True,
    ),
    "stable_rank": Measure(
        spectral.stable_rank_columns,
        {
            "stable_rank": Column("stable rank of the matrix (outputs, everything else)"),
            "stable_rank_share": Column("stable rank over the matrix' smaller side"),
        },
        "Rudelson, Vershynin (2007), J. ACM 54, 21",
        sized=True,
    ),
    "svd_entropy": number(
        "svd_entropy",
        spectral.svd_entropy,
        "normalised entropy of the squared singular values",
        "Alter, Brown, Botstein (2000), PNAS 97, 10101",
        sized=True,
    ),
    "alpha": Measure(
        heavy_tail.alpha_columns,
        {
            "alpha": Column("exponent of the heavy tail of the matrix' eigenvalues"),
            "alpha_distance": Column("Kolmogorov-Smirnov distance of that fit"),
            "alpha_n": Column("eigenvalues in the tail", "values"),
        },
        "Martin, Mahoney (2021), J. Mach. Learn. Res. 22, 165",
        sized=True,
    ),
    "participation_ratio": number(
        "participation_ratio",
        moments.participation_ratio,
        "share of weights that carry the energy: 1/n for one, 1 for all alike",
        "Bell, Dean (1970), Discuss. Faraday Soc. 50, 55",
    ),
    "weight_mean": number("weight_mean", moments.mean, "mean weight", MOMENTS, unit="weight"),
    "weight_std": number(
        "weight_std", moments.standard_deviation, "standard deviation of the weights (ddof 0)", MOMENTS, unit="weight"
    ),
    "weight_min": number("weight_min", moments.smallest, "smallest weight", MOMENTS, unit="weight", sized=True),
    "weight_max": number("weight_max", moments.largest, "largest weight", MOMENTS, unit="weight", sized=True),
    "weight_skew": number("weight_skew", moments.skew, "skewness of the weights", MOMENTS),
    "weight_kurtosis": number(
        "weight_kurtosis", moments.kurtosis, "excess kurtosis of the weights: 0 for Gaussian ones", MOMENTS
    ),
    "weight_norm": number(
        "weight_norm", moments.l2_norm, "Euclidean norm of the tensor", MOMENTS, unit="weight", sized=True
    ),
    "weight_sparsity": number(
        "weight_sparsity",
        moments.sparsity,
        "share of weights that are exactly zero",
        "Hurley, Rickard (2009), IEEE Trans. Inf. Theory 55, 4723",
    ),
    "weight_negative": number("weight_negative", moments.negative_share, "share of weights below zero", MOMENTS),
    "initial_distance": Measure(
        distance.initial_distance_columns,
        {
            "initial_distance": Column("distance from the initial weights, over their norm"),
            "initial_distance_norm": Column("distance from the initial weights", "weight"),
            "initial_distance_cosine": Column("cosine between the weights and their initial values"),
        },
        "Nagarajan, Kolter (2019), Generalization in deep networks: the role of distance from initialization",
        initial=True,
    ),
    "multiscale_entropy": Measure(
        multiscale.multiscale_entropy_columns,
        {
            "multiscale_entropy": Column("mean Sample Entropy over scales 1 to 5", "nat"),
            **{f"multiscale_entropy_{s}": Column(f"Sample Entropy at scale {s}", "nat") for s in range(2, 6)},
        },
        "Costa, Goldberger, Peng (2002), Phys. Rev. Lett. 89, 068102",
        ordered=True,
        sized=True,
        default=False,
    ),
    "lmc_reference": number(
        "lmc_reference",
        partial(lmc.lmc, definition="reference"),
        "LMC complexity of the first 10,000 weights, with entropy in bits",
        LMC,
        unit="bit",
        sized=True,
        default=False,
    ),
    "sample_entropy_reference": number(
        "sample_entropy_reference",
        partial(sample_entropy.sample_entropy, definition="reference"),
        "Sample Entropy of the first 10,000 weights, with one template less for A",
        SAMPLE_ENTROPY,
        unit="nat",
        ordered=True,
        sized=True,
        default=False,
    ),
    "sample_entropy_z": z_score("sample_entropy", sample_entropy.sample_entropy, "Sample Entropy"),
    "permutation_entropy_z": z_score("permutation_entropy", ordinal.permutation_entropy, "permutation entropy"),
    "spectral_entropy_z": z_score("spectral_entropy", spectral.spectral_entropy, "spectral entropy"),
    "multiscale_entropy_z": z_score("multiscale_entropy", multiscale.multiscale_entropy, "multiscale entropy"),
    "compressibility_z": z_score("compressibility", compressibility.compressibility, "compressibility"),
}


def measure_tensor(
    weights: np.ndarray[Any, Any],
    names: Iterable[str] | None = None,
    initial: np.ndarray[Any, Any] | None = None,
) -> dict[str, float]:
    """Return all columns of one tensor, of the measures named or else of every default one.

    initial: the tensor before training; measures that compare with it are NaN without it.

    >>> measure_tensor(np.array([0.0, 1.0]), ["lmc"])["lmc_high"]
    1.0
    """
    chosen = [name for name, measure in MEASURES.items() if measure.default] if names is None else list(names)
    if unknown := [name for name in chosen if name not in MEASURES]:
        raise KeyError(f"unknown measure {unknown[0]!r}; choose from {', '.join(MEASURES)}")
    tensor = np.asarray(weights, dtype=np.float64)
    result: dict[str, float] = {}
    for measure in (MEASURES[name] for name in chosen):
        columns = measure.function(tensor, initial) if measure.initial else measure.function(tensor)
        result.update({key: float(value) for key, value in columns.items()})
    return result
