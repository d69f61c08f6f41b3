"""AUC and ACC as MedMNIST defines them (Yang et al. 2023; `medmnist.evaluator`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainables.data.arrays import Task


def auc(labels: NDArray[np.int64], scores: NDArray[np.floating], task: Task) -> float:
    """Area under the ROC curve: of the last column (binary), or the mean over classes or labels, one against the rest.

    labels (N,) or (N, L); scores (N, C) probabilities. NaN where a class is absent or a score is not finite.
    The rank form of Mann & Whitney: 35 times faster than a call of scikit-learn for each class at 270 images, and
    tested against it.
    """
    if not np.isfinite(scores).all():
        return float("nan")
    positive = _positives(labels, scores.shape[1], task)
    columns = scores[:, -1:] if task == "binary-class" else scores
    n_positive = positive.sum(axis=0).astype(np.float64)
    n_pairs = n_positive * (len(labels) - n_positive)
    ranked = zip(columns.T, positive.T, strict=True)
    rank_sum = np.array([_rank_sum(values, chosen) for values, chosen in ranked])
    above = rank_sum - n_positive * (n_positive + 1) / 2
    return float(np.mean(np.divide(above, n_pairs, out=np.full_like(above, np.nan), where=n_pairs > 0)))


def _rank_sum(values: NDArray[np.floating], chosen: NDArray[np.bool_]) -> float:
    """Return the sum of some values' ranks among all, from 1; equal values share their mean rank.

    In place of `scipy.stats.rankdata`, whose import costs a worker a second.
    """
    ordered, found = np.sort(values), values[chosen]
    ranks = np.searchsorted(ordered, found, "left") + np.searchsorted(ordered, found, "right") + 1
    return float(ranks.sum()) / 2


def accuracy(labels: NDArray[np.int64], scores: NDArray[np.floating], task: Task) -> float:
    """Share of right answers: threshold 0.5 (binary, multi-label, mean over labels) or the highest score."""
    if not np.isfinite(scores).all():
        return float("nan")
    if task == "multi-label, binary-class":
        return float(np.mean((scores > 0.5) == (labels == 1)))
    if task == "binary-class":
        return float(np.mean((scores[:, -1] > 0.5) == (labels == 1)))
    return float(np.mean(scores.argmax(axis=1) == labels))


def _positives(labels: NDArray[np.int64], n_classes: int, task: Task) -> NDArray[np.bool_]:
    if task == "multi-label, binary-class":
        return labels == 1
    if task == "binary-class":
        return (labels == 1)[:, None]
    return labels[:, None] == np.arange(n_classes)
