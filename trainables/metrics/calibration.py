"""Trust in predicted probabilities: calibration, temperature, conformal sets, selective prediction.

Scores are probabilities (N, C): rows that sum to 1, or for multi-label independent ones of each label.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainables.data.arrays import MULTI_LABEL, Task
from trainables.metrics.per_class import positives, predicted_labels, ratio

Real = NDArray[np.float64]
# Bins of equal width, as many as Guo et al. (2017) take.
BINS = 15
# The smallest probability whose logarithm is taken; float32 hardly goes below.
TINY = 1e-38
# The largest probability of one label whose logit is taken.
SURE = 1 - 2**-24
TEMPERATURES = (0.01, 100.0)


@dataclass(frozen=True)
class Reliability:
    """Mean confidence and share of right answers in bins of equal width of confidence; NaN where a bin is empty.

    edges: (bins + 1,).
    """

    edges: Real
    counts: Real
    confidence: Real
    accuracy: Real

    @property
    def error(self) -> float:
        """Expected calibration error: mean gap of confidence and accuracy, weighted by the bins' counts."""
        total = self.counts.sum()
        gaps = np.nan_to_num(np.abs(self.accuracy - self.confidence)) * self.counts
        return float(gaps.sum() / total) if total else math.nan


def confidences(scores: Real, task: Task) -> Real:
    """Return the probability of the answer that is given: (N,), or (N, L) for multi-label."""
    return np.maximum(scores, 1 - scores) if task == MULTI_LABEL else scores.max(axis=1)


def is_correct(labels: NDArray[np.int64], scores: Real, task: Task) -> NDArray[np.bool_]:
    """Tell whether each answer is right: (N,), or (N, L) for multi-label."""
    return predicted_labels(scores, task) == labels


def bin_of(confidence: Real, bins: int = BINS) -> NDArray[np.int64]:
    """Return the number of the bin of each confidence; a bin holds its upper edge."""
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def reliability(confidence: Real, correct: NDArray[np.bool_], bins: int = BINS) -> Reliability:
    """Sort answers into bins of equal width of their confidence, or of the probability of one class."""
    where, known = bin_of(confidence.ravel(), bins), correct.ravel().astype(float)
    counts = np.bincount(where, minlength=bins).astype(float)
    means = [ratio(np.bincount(where, values, bins).astype(float), counts) for values in (confidence.ravel(), known)]
    return Reliability(np.linspace(0, 1, bins + 1), counts, *means)


def expected_error(labels: NDArray[np.int64], scores: Real, task: Task, bins: int = BINS) -> float:
    """Expected calibration error of the given answers (Naeini et al. 2015; Guo et al. 2017, eq. 3).

    >>> expected_error(np.array([0, 1]), np.array([[0.75, 0.25], [0.75, 0.25]]), "binary-class")
    0.25
    """
    return reliability(confidences(scores, task), is_correct(labels, scores, task), bins).error


def equal_mass_error(labels: NDArray[np.int64], scores: Real, task: Task, bins: int = BINS) -> float:
    """Expected calibration error over bins that hold equally many answers (Nixon et al. 2019)."""
    confidence, correct = confidences(scores, task).ravel(), is_correct(labels, scores, task).ravel()
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    gaps = [abs(correct[part].mean() - confidence[part].mean()) * len(part) for part in parts]
    return float(sum(gaps) / len(order))


def classwise_errors(labels: NDArray[np.int64], scores: Real, bins: int = BINS) -> Real:
    """Expected calibration error of each class's probability against its frequency (Kull et al. 2019): (C,)."""
    present = positives(labels, scores.shape[1])
    return np.array([reliability(scores[:, c], present[:, c], bins).error for c in range(scores.shape[1])])


def brier_scores(labels: NDArray[np.int64], scores: Real) -> Real:
    """Squared distance of each image's probabilities from the truth, (N,): the sum over classes (Brier 1950).

    0 is best and 2 worst; for two classes it is twice the distance of the positive one. Multi-label: mean over labels.
    """
    squares = (scores - positives(labels, scores.shape[1])) ** 2
    return squares.mean(axis=1) if labels.ndim == 2 else squares.sum(axis=1)


def log_loss(labels: NDArray[np.int64], scores: Real) -> float:
    """Mean negative logarithm of the probability of what is true, in nats; multi-label: mean over images and labels."""
    if labels.ndim == 2:
        return float(-np.log(np.clip(np.where(labels == 1, scores, 1 - scores), TINY, 1)).mean())
    return float(-np.log(np.clip(scores[np.arange(len(labels)), labels], TINY, 1)).mean())


def with_temperature(scores: Real, temperature: float, task: Task) -> Real:
    """Return the probabilities of the logits divided by a temperature; above 1 they are less sure.

    No answer changes.
    """
    if task == MULTI_LABEL:
        clipped = np.clip(scores, 1 - SURE, SURE)
        return 1 / (1 + np.exp(-(np.log(clipped) - np.log1p(-clipped)) / temperature))
    logits = np.log(np.clip(scores, TINY, 1)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(labels: NDArray[np.int64], scores: Real, task: Task) -> float:
    """Find the temperature with the smallest log loss, between 0.01 and 100 (Guo et al. 2017, section 4.2)."""
    from scipy.optimize import minimize_scalar

    fit = minimize_scalar(
        lambda log_t: log_loss(labels, with_temperature(scores, math.exp(log_t), task)),
        bounds=tuple(map(math.log, TEMPERATURES)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(math.exp(fit.x))


def conformal_threshold(labels: NDArray[np.int64], scores: Real, coverage: float = 0.9) -> float:
    """Fit the lowest probability that a class needs to stand in a prediction set, on images that were not trained on.

    A set then holds the true class with at least this probability, if the images are exchangeable (Sadinle et al. 2019;
    Angelopoulos & Bates 2023, section 1). Of multi-label it holds at least this share of an image's labels in the mean
    over images that have any (conformal risk control of the false negative rate, Angelopoulos et al. 2024, section 2).
    0 (all classes) where there are too few images.
    """
    present = positives(labels, scores.shape[1])
    images, classes = np.nonzero(present)
    order = np.argsort(-scores[images, classes], kind="stable")
    # The share of its image's labels that each true label is.
    shares = 1 / present.sum(axis=1)[images[order]]
    held = np.cumsum(shares) >= (len(np.unique(images)) + 1) * coverage - 1e-9
    return float(scores[images, classes][order[held.argmax()]]) if held.any() else 0.0


@dataclass(frozen=True)
class ConformalSets:
    """Prediction sets on a split: the share that holds the true class, their mean size, and how many have each size.

    coverage: for multi-label, the share of an image's labels that its set holds, mean over images with any. sizes:
    images with 0, 1, ... C classes in their set. class_coverage: coverage of the images of each class.
    """

    threshold: float
    coverage: float
    mean_size: float
    sizes: tuple[int, ...]
    class_coverage: tuple[float, ...]


def conformal_sets(labels: NDArray[np.int64], scores: Real, threshold: float) -> ConformalSets:
    """Return the sets of the classes with at least the threshold's probability."""
    inside, present = scores >= threshold, positives(labels, scores.shape[1])
    held = inside & present
    covered = ratio(held.sum(axis=1), present.sum(axis=1))
    known = covered[np.isfinite(covered)]
    sizes = np.bincount(inside.sum(axis=1), minlength=scores.shape[1] + 1)
    by_class = ratio(held.sum(axis=0), present.sum(axis=0))
    return ConformalSets(
        threshold, float(known.mean()) if len(known) else math.nan, float(inside.sum(axis=1).mean()),
        tuple(map(int, sizes)), tuple(map(float, by_class)),
    )  # fmt: skip


def accuracy_by_coverage(confidence: Real, correct: NDArray[np.bool_]) -> tuple[Real, Real]:
    """Return the share of images that are answered, the surest first, and the accuracy of those answers: (N,) each."""
    order = np.argsort(-confidence, kind="stable")
    answered = np.arange(1, len(order) + 1)
    return answered / len(order), np.cumsum(correct[order]) / answered
