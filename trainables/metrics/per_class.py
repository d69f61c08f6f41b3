"""Figures of right and wrong answers: by class, and of a whole confusion matrix. Undefined is NaN.

Confusion matrices are (..., C, C), rows the true class and columns the predicted one, so that thousands of resampled
ones are computed at once. Checked against scikit-learn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainables.data.arrays import MULTI_LABEL, Task

Real = NDArray[np.float64]
Whole = NDArray[np.int64]


def predicted_labels(scores: Real, task: Task) -> Whole:
    """Turn probabilities (N, C) into answers like MedMNIST: above 0.5 for two classes and labels, else the highest.

    Returns (N,) class numbers, or (N, L) zeros and ones for multi-label.
    """
    if task == MULTI_LABEL:
        return (scores > 0.5).astype(np.int64)
    if task == "binary-class":
        return (scores[:, -1] > 0.5).astype(np.int64)
    return scores.argmax(axis=1).astype(np.int64)


def positives(labels: Whole, n_classes: int) -> NDArray[np.bool_]:
    """Tell for each image and class whether the class is there: (N, C) from (N,) class numbers or (N, L) labels."""
    return labels == 1 if labels.ndim == 2 else labels[:, None] == np.arange(n_classes)


def confusion_matrix(labels: Whole, predicted: Whole, n_classes: int) -> Real:
    """Count (true, predicted) pairs: (C, C); for multi-label (L, 2, 2), one for each label."""
    if labels.ndim == 2:
        cells = 2 * labels + predicted
        return np.stack([(cells == cell).sum(axis=0) for cell in range(4)], axis=-1).reshape(-1, 2, 2).astype(float)
    return np.bincount(labels * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes).astype(
        float
    )  # fmt: skip


@dataclass(frozen=True)
class ClassFigures:
    """Figures of each class against the rest, (C,) each. support: images of the class."""

    tp: Real
    fp: Real
    fn: Real
    tn: Real

    @property
    def support(self) -> Real:
        """Return the images of each class."""
        return self.tp + self.fn

    @property
    def precision(self) -> Real:
        """Share of right answers among those that name the class; also called positive predictive value."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> Real:
        """Share of the class's images that are found; also called sensitivity."""
        return ratio(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> Real:
        """Share of the other images that are not taken for the class."""
        return ratio(self.tn, self.tn + self.fp)

    @property
    def npv(self) -> Real:
        """Share of right answers among those that do not name the class."""
        return ratio(self.tn, self.tn + self.fn)

    @property
    def f1(self) -> Real:
        """Harmonic mean of precision and recall: 0 where none is found, NaN where the class occurs nowhere."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    def average(self, name: str, how: str) -> float:
        """Mean of a figure over the classes where it is defined: `macro`, or `weighted` by support."""
        values = np.asarray(getattr(self, name), float)
        weights = self.support if how == "weighted" else np.ones_like(values)
        known = np.isfinite(values)
        return float(ratio((values * weights)[known].sum(), weights[known].sum()))


def ratio(above: NDArray[np.floating], below: NDArray[np.floating]) -> Real:
    """Divide above by below, NaN where below is 0."""
    above, below = np.broadcast_arrays(np.asarray(above, float), np.asarray(below, float))
    return np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0)


def class_figures(labels: Whole, predicted: Whole, n_classes: int) -> ClassFigures:
    """Count each class against the rest. labels, predicted: (N,) class numbers, or (N, L) zeros and ones."""
    true, named = positives(labels, n_classes), positives(predicted, n_classes)
    pairs = ((true & named), (~true & named), (true & ~named), (~true & ~named))
    return ClassFigures(*(pair.sum(axis=0).astype(np.float64) for pair in pairs))


def accuracy_of(confusion: Real) -> Real:
    """Share of images on the diagonal."""
    return ratio(np.trace(confusion, axis1=-2, axis2=-1), confusion.sum(axis=(-2, -1)))


def recalls_of(confusion: Real) -> Real:
    """Recall of each class, (..., C)."""
    return ratio(np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(axis=-1))


def balanced_accuracy_of(confusion: Real) -> Real:
    """Mean recall over the classes that occur."""
    return _mean_of_known(recalls_of(confusion))


def f1_macro_of(confusion: Real) -> Real:
    """Mean F1 over the classes that occur or are predicted."""
    hit = np.diagonal(confusion, axis1=-2, axis2=-1)
    return _mean_of_known(ratio(2 * hit, confusion.sum(axis=-1) + confusion.sum(axis=-2)))


def _mean_of_known(values: Real) -> Real:
    known = np.isfinite(values)
    return ratio(np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1))


def mcc_of(confusion: Real) -> Real:
    """Matthews' correlation of true and predicted class, of any number of classes (Gorodkin 2004, eq. 8)."""
    true, predicted, n = confusion.sum(axis=-1), confusion.sum(axis=-2), confusion.sum(axis=(-2, -1))
    hit = np.trace(confusion, axis1=-2, axis2=-1)
    variances = (n**2 - (true**2).sum(axis=-1)) * (n**2 - (predicted**2).sum(axis=-1))
    return ratio(hit * n - (true * predicted).sum(axis=-1), np.sqrt(variances))


def kappa_of(confusion: Real, *, quadratic: bool = False) -> Real:
    """Cohen's kappa: agreement beyond chance. quadratic: errors count by the squared distance of ordinal classes."""
    n_classes = confusion.shape[-1]
    distance = np.subtract.outer(np.arange(n_classes), np.arange(n_classes))
    cost = (distance**2 if quadratic else distance != 0).astype(float)
    true, predicted, n = confusion.sum(axis=-1), confusion.sum(axis=-2), confusion.sum(axis=(-2, -1))
    expected = ratio((cost * true[..., :, None] * predicted[..., None, :]).sum(axis=(-2, -1)), n)
    return 1 - ratio((cost * confusion).sum(axis=(-2, -1)), expected)


def whole_figures(confusion: Real, task: Task) -> dict[str, Real]:
    """Figures of one confusion matrix, or of each of many; of multi-label (..., L, 2, 2) the means over labels.

    acc, balanced_acc, f1_macro, mcc, kappa, and kappa_quadratic where the classes are ordinal.
    """
    if task == MULTI_LABEL:
        binary = whole_figures(confusion, "binary-class")
        f1 = ratio(2 * confusion[..., 1, 1], confusion[..., 1, :].sum(axis=-1) + confusion[..., :, 1].sum(axis=-1))
        return {name: _mean_of_known(values) for name, values in {**binary, "f1_macro": f1}.items()}
    figures = {
        "acc": accuracy_of(confusion),
        "balanced_acc": balanced_accuracy_of(confusion),
        "f1_macro": f1_macro_of(confusion),
        "mcc": mcc_of(confusion),
        "kappa": kappa_of(confusion),
    }
    return figures | ({"kappa_quadratic": kappa_of(confusion, quadratic=True)} if task == "ordinal-regression" else {})
