"""Headline figures of predictions, and their intervals: over other images, and over other seeds.

The two answer different questions. Resampled images say what other patients would give with these networks; seeds say
what training again would give on these images.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.estimates_and_tests import mean_interval
from trainables.data.arrays import MULTI_LABEL, Task
from trainables.metrics.calibration import BINS, bin_of, brier_scores, confidences, is_correct
from trainables.metrics.per_class import positives, predicted_labels, ratio, whole_figures

Real = NDArray[np.float64]
Labels = NDArray[np.int64]
DRAWS = 1000
# Weights that are held at a time.
CELLS = 2**23
# One seed for all resampling: the same images are drawn for every network of a dataset, so that draws are paired.
SEED = 0
HIGHER = {"acc": True, "auc": True, "balanced_acc": True, "f1_macro": True, "mcc": True, "kappa": True,
          "kappa_quadratic": True, "ece": False, "brier": False}  # fmt: skip

# Limits of figures that do not lie in 0 to 1.
LIMITS = {"mcc": (-1.0, 1.0), "kappa": (-1.0, 1.0), "kappa_quadratic": (-1.0, 1.0), "brier": (0.0, 2.0)}
# Figures whose resampled values lie too high.
BIASED = ("ece",)
# Draws that differ by no more than this are alike.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Interval:
    """A 95 % interval; NaN where there is none."""

    low: float = math.nan
    high: float = math.nan

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Figure:
    """A figure, mean over seeds.

    images: its interval over resampled images; seeds: over trainings (Student's t). undefined: draws of images in which
    it is not defined, as AUC where a class was not drawn.
    """

    value: float
    images: Interval
    seeds: Interval
    by_seed: tuple[float, ...]
    undefined: int = 0


def resample_weights(n: int, draws: int = DRAWS, seed: int = SEED) -> Iterator[NDArray[np.float32]]:
    """Draw the number of times that each image stands in each bootstrap draw: (n, draws) in pieces of some draws."""
    piece = max(1, min(draws, CELLS // max(n, 1)))
    if n * draws <= CELLS:
        yield _kept_weights(n, draws, seed)
        return
    rng = np.random.default_rng(seed)
    for start in range(0, draws, piece):
        yield _draw(n, min(piece, draws - start), rng)


@lru_cache(maxsize=2)
def _kept_weights(n: int, draws: int, seed: int) -> NDArray[np.float32]:
    return _draw(n, draws, np.random.default_rng(seed))


def _draw(n: int, draws: int, rng: np.random.Generator) -> NDArray[np.float32]:
    chosen = rng.integers(0, n, (draws, n), dtype=np.int32).astype(np.int64)
    cells = (chosen * draws + np.arange(draws)[:, None]).ravel()
    return np.bincount(cells, minlength=n * draws).reshape(n, draws).astype(np.float32)


def weighted_auc(present: NDArray[np.bool_], scores: Real, weights: NDArray[np.float32]) -> Real:
    """Return the AUC of one class in each draw: (draws,). NaN where a draw lacks the class, or all others.

    present, scores: (N,); weights: (N, draws). Pairs of a positive and a negative image that are ranked rightly count
    1 and ties 1/2, by their weights.
    """
    rows = np.flatnonzero(present)
    rows = rows[np.argsort(scores[rows], kind="stable")]
    # Row k: the weight of the k positives with the lowest scores.
    lowest = np.zeros((len(rows) + 1, weights.shape[1]), np.float32)
    np.cumsum(weights[rows], axis=0, out=lowest[1:])
    below, upto = (np.searchsorted(scores[rows], scores[~present], side) for side in ("left", "right"))
    of_negatives = weights[~present]
    above = 2 * lowest[-1] - lowest[below] - lowest[upto]
    pairs = np.einsum("rd,rd->d", of_negatives, above, dtype=np.float64) / 2
    return ratio(pairs, of_negatives.sum(axis=0, dtype=np.float64) * lowest[-1].astype(np.float64))


def auc_of_draws(labels: Labels, scores: Real, task: Task, weights: NDArray[np.float32]) -> Real:
    """Return MedMNIST's AUC in each draw: of the last column for two classes, else the mean over classes or labels."""
    present = positives(labels, scores.shape[1])
    columns = [scores.shape[1] - 1] if task == "binary-class" else range(scores.shape[1])
    return np.mean([weighted_auc(present[:, c], scores[:, c], weights) for c in columns], axis=0)


def confusion_of_draws(labels: Labels, scores: Real, task: Task, weights: NDArray[np.float32]) -> Real:
    """Return the confusion matrix of each draw: (draws, C, C), or (draws, L, 2, 2) for multi-label."""
    predicted, n_classes = predicted_labels(scores, task), scores.shape[1]
    if task == MULTI_LABEL:
        cells = 2 * labels + predicted
        counts = [(cells == cell).T.astype(np.float32) @ weights for cell in range(4)]
        return np.stack(counts, axis=-1).transpose(1, 0, 2).reshape(-1, n_classes, 2, 2).astype(np.float64)
    which = np.zeros((n_classes**2, len(labels)), np.float32)
    which[labels * n_classes + predicted, np.arange(len(labels))] = 1
    return (which @ weights).T.reshape(-1, n_classes, n_classes).astype(np.float64)


def ece_of_draws(labels: Labels, scores: Real, task: Task, weights: NDArray[np.float32], bins: int = BINS) -> Real:
    """Return the expected calibration error of each draw."""
    confidence, correct = confidences(scores, task), is_correct(labels, scores, task)
    gaps, where = (correct - confidence).reshape(len(labels), -1), bin_of(confidence, bins).reshape(len(labels), -1)
    sums = [np.where(where == number, gaps, 0).sum(axis=1) for number in range(bins)]
    return np.abs(np.stack(sums) @ weights).sum(axis=0) / (weights.sum(axis=0) * gaps.shape[1])


def headline(labels: Labels, scores: Real, task: Task, weights: NDArray[np.float32] | None = None) -> dict[str, Real]:
    """Return the headline figures of one network in each draw, or of all images once where no weights are given.

    acc, auc, balanced_acc, f1_macro, mcc, kappa, kappa_quadratic (ordinal), ece, brier. All NaN where a score is not
    finite.
    """
    weights = np.ones((len(labels), 1), np.float32) if weights is None else weights
    if not np.isfinite(scores).all():
        names = [name for name in HIGHER if name != "kappa_quadratic" or task == "ordinal-regression"]
        return {name: np.full(weights.shape[1], math.nan) for name in names}
    whole = whole_figures(confusion_of_draws(labels, scores, task, weights), task)
    return {
        "acc": whole.pop("acc"),
        "auc": auc_of_draws(labels, scores, task, weights),
        **whole,
        "ece": ece_of_draws(labels, scores, task, weights),
        "brier": brier_scores(labels, scores) @ weights / weights.sum(axis=0),
    }


def draws_of(labels: Labels, scores: Sequence[Real], task: Task, draws: int = DRAWS) -> dict[str, Real]:
    """Return each headline figure in each draw, mean over networks: the same images are drawn for all of them."""
    pieces = []
    for weights in resample_weights(len(labels), draws):
        headlines = [headline(labels, one, task, weights) for one in scores]
        pieces.append({name: np.mean([figures[name] for figures in headlines], axis=0) for name in headlines[0]})
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def percentile_interval(values: Real, confidence: float = 0.95) -> Interval:
    """Return the percentile bootstrap interval of a figure's draws; draws in which it is undefined are left out.

    None where draws are all alike, as the AUC of perfect separation: they say nothing of chance.
    """
    known = values[np.isfinite(values)]
    if len(known) < len(values) / 2 or not len(known) or np.ptp(known) <= ROUNDING:
        return Interval()
    return Interval(*(float(v) for v in np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])))


def seed_interval(values: Sequence[float], least: float = -math.inf, most: float = math.inf) -> Interval:
    """Return Student's t interval of a mean over seeds, cut at the values that the figure can have.

    NaN for fewer than 3 seeds, for seeds that do not differ, or where the figure is undefined for one.
    """
    estimate = mean_interval(values)
    return Interval(max(least, estimate.low), min(most, estimate.high)) if math.isfinite(estimate.low) else Interval()


def estimate_figures(labels: Labels, scores: Sequence[Real], task: Task, draws: int = DRAWS) -> dict[str, Figure]:
    """Estimate every headline figure with its two intervals. scores: the probabilities of each seed's network.

    Intervals over images are percentiles of the draws; for accuracy they are Wilson's (of multi-label data only where
    the draws are all alike), which hold where every answer is right, too; for the calibration error, which is too large
    in a small sample and still larger in a resampled one, they are mirrored at the value (the basic bootstrap, Davison
    & Hinkley 1997) and hold it.

    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 2, 200)
    >>> scores = np.stack([1 - 0.6 * labels, 0.6 * labels], axis=1)
    >>> estimate_figures(labels, [scores], "binary-class")["acc"].value
    1.0
    """
    single = [{name: float(value[0]) for name, value in headline(labels, one, task).items()} for one in scores]
    drawn = draws_of(labels, scores, task, draws) if draws else {}
    found = {name: _figure(name, [figures[name] for figures in single], drawn.get(name)) for name in single[0]}
    if draws and not (task == MULTI_LABEL and math.isfinite(found["acc"].images.low)):
        found["acc"] = replace(found["acc"], images=proportion_interval(found["acc"].value, len(labels)))
    return found


def _figure(name: str, by_seed: list[float], drawn: Real | None) -> Figure:
    value, seeds = float(np.mean(by_seed)), seed_interval(by_seed, *LIMITS.get(name, (0.0, 1.0)))
    if drawn is None:
        return Figure(value, Interval(), seeds, tuple(by_seed))
    images = percentile_interval(drawn)
    if name in BIASED and math.isfinite(images.low):
        images = Interval(max(0.0, 2 * value - images.high), max(value, 2 * value - images.low))
    return Figure(value, images, seeds, tuple(by_seed), int((~np.isfinite(drawn)).sum()))


def proportion_interval(share: float, n: float, confidence: float = 0.95) -> Interval:
    """Return Wilson's interval of a proportion of n images (Wilson 1927), which holds for small n and at 0 and 1, too.

    >>> round(proportion_interval(0.8, 20).low, 4)
    0.584
    """
    from scipy.stats import norm

    if not n or not math.isfinite(share):
        return Interval()
    z = float(norm.ppf((1 + confidence) / 2))
    centre, reach = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return Interval(max(0.0, (centre - reach) / scale), min(1.0, (centre + reach) / scale))


def as_plain(figures: Mapping[str, Figure]) -> dict[str, dict[str, object]]:
    """Return figures as JSON holds them."""
    return {
        name: {
            "value": figure.value,
            "images_95": [figure.images.low, figure.images.high],
            "seeds_95": [figure.seeds.low, figure.seeds.high],
            "by_seed": list(figure.by_seed),
            "undefined_draws": figure.undefined,
        }
        for name, figure in figures.items()
    }
