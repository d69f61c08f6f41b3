"""Figures of each class, averages over classes, and thresholds for a wanted sensitivity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.evaluation.bootstrap import Interval, Real, proportion_interval, weighted_auc
from analysis.evaluation.predictions import Predictions
from trainables.data.arrays import MULTI_LABEL
from trainables.metrics.per_class import ClassFigures, class_figures, confusion_matrix, positives

FIGURES = ("precision", "recall", "specificity", "npv", "f1")
COUNTS = ("tp", "fp", "tn", "fn")
SENSITIVITY = 0.95


@dataclass(frozen=True)
class ClassRow:
    """One class against the rest: figures and counts, mean over seeds, and recall's interval over images (Wilson).

    auc: area under its ROC curve; ap: average precision. NaN where undefined.
    """

    name: str
    support: int
    figures: dict[str, float]
    counts: dict[str, float]
    auc: float
    ap: float
    recall_95: Interval


@dataclass(frozen=True)
class OperatingPoint:
    """The threshold of a class's probability that reaches a sensitivity on val, and its figures on another split.

    chosen: sensitivity and specificity on the split where it was chosen. found: sensitivity, specificity, precision and
    npv on the split that is evaluated.
    """

    name: str
    threshold: float
    chosen: dict[str, float]
    found: dict[str, float]
    sensitivity_95: Interval


def class_rows(predictions: Sequence[Predictions]) -> list[ClassRow]:
    """Return the figures of each class, mean over the networks, which saw the same images."""
    first = predictions[0]
    counted = [class_figures(p.labels, p.predicted, len(p.class_names)) for p in predictions]
    areas = np.mean([_areas(p) for p in predictions], axis=0)
    return [_class_row(first, counted, areas, c) for c in range(len(first.class_names))]


def _class_row(first: Predictions, counted: Sequence[ClassFigures], areas: Real, c: int) -> ClassRow:
    figures = {name: float(np.mean([getattr(one, name)[c] for one in counted])) for name in FIGURES}
    counts = {name: float(np.mean([getattr(one, name)[c] for one in counted])) for name in COUNTS}
    support = int(counted[0].support[c])
    interval = proportion_interval(figures["recall"], support)
    return ClassRow(first.class_names[c], support, figures, counts, float(areas[0, c]), float(areas[1, c]), interval)


def _areas(predictions: Predictions) -> Real:
    """Return AUC and average precision of each class against the rest: (2, C)."""
    present = positives(predictions.labels, len(predictions.class_names))
    once = np.ones((len(predictions), 1), np.float32)
    areas = [
        (float(weighted_auc(present[:, c], predictions.scores[:, c], once)[0]),
         average_precision(present[:, c], predictions.scores[:, c]))
        for c in range(present.shape[1])
    ]  # fmt: skip
    return np.array(areas).T


def average_precision(present: np.ndarray, scores: Real) -> float:
    """Return the area under the precision–recall curve as steps, as scikit-learn's; NaN where all images agree."""
    if not np.isfinite(scores).all() or present.all() or not present.any():
        return math.nan
    order = np.argsort(-scores, kind="stable")
    # The last image of each threshold.
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.cumsum(present[order])[ends]
    return float((np.diff(hits, prepend=0) / hits[-1] * hits / (ends + 1)).sum())


def averages(predictions: Sequence[Predictions]) -> dict[str, dict[str, float]]:
    """Return macro and weighted means of each figure, mean over networks: `{"macro": {"precision": ...}, ...}`.

    Classes where a figure is undefined are left out of its mean.
    """
    counted = [class_figures(p.labels, p.predicted, len(p.class_names)) for p in predictions]
    return {
        how: {name: float(np.mean([one.average(name, how) for one in counted])) for name in FIGURES}
        for how in ("macro", "weighted")
    }


def mean_confusion(predictions: Sequence[Predictions]) -> Real:
    """Return the counts of (true, predicted), mean over networks: (C, C), or (L, 2, 2) for multi-label."""
    return np.mean([confusion_matrix(p.labels, p.predicted, len(p.class_names)) for p in predictions], axis=0)


def operating_points(
    chosen_on: Predictions, predictions: Predictions, sensitivity: float = SENSITIVITY
) -> list[OperatingPoint]:
    """Return each class's highest threshold with the wanted sensitivity on one split, and its figures on another."""
    classes = range(len(predictions.class_names))
    return [_operating_point(chosen_on, predictions, c, sensitivity) for c in classes]


def _operating_point(chosen_on: Predictions, predictions: Predictions, c: int, sensitivity: float) -> OperatingPoint:
    there, here = (positives(p.labels, len(p.class_names))[:, c] for p in (chosen_on, predictions))
    threshold = threshold_for(there, chosen_on.scores[:, c], sensitivity)
    chosen = at_threshold(there, chosen_on.scores[:, c], threshold)
    found = at_threshold(here, predictions.scores[:, c], threshold)
    interval = proportion_interval(found["sensitivity"], int(here.sum()))
    kept = {name: chosen[name] for name in ("sensitivity", "specificity")}
    return OperatingPoint(predictions.class_names[c], threshold, kept, found, interval)


def threshold_for(present: np.ndarray, scores: Real, sensitivity: float = SENSITIVITY) -> float:
    """Return the highest threshold at or above which the wanted share of a class's images lies; NaN without any.

    >>> threshold_for(np.array([True, True, False]), np.array([0.9, 0.6, 0.7]), 0.95)
    0.6
    """
    ranked = np.sort(scores[present])[::-1]
    return float(ranked[math.ceil(sensitivity * len(ranked) - 1e-9) - 1]) if len(ranked) else math.nan


def at_threshold(present: np.ndarray, scores: Real, threshold: float) -> dict[str, float]:
    """Return sensitivity, specificity, precision and npv where all scores from the threshold on name the class."""
    if math.isnan(threshold):
        return dict.fromkeys(("sensitivity", "specificity", "precision", "npv"), math.nan)
    named = scores >= threshold
    tp, fp = float((named & present).sum()), float((named & ~present).sum())
    fn, tn = float((~named & present).sum()), float((~named & ~present).sum())
    pairs = {
        "sensitivity": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "precision": (tp, tp + fp),
        "npv": (tn, tn + fn),
    }
    return {name: above / below if below else math.nan for name, (above, below) in pairs.items()}


def absent_classes(predictions: Predictions) -> list[str]:
    """Return the classes that a split lacks (or, for multi-label, that all its images have alike)."""
    present = positives(predictions.labels, len(predictions.class_names))
    alike = present.sum(axis=0) % len(present) == 0 if predictions.task == MULTI_LABEL else present.sum(axis=0) == 0
    return [name for name, absent in zip(predictions.class_names, alike.tolist(), strict=True) if absent]


def class_document(rows: Sequence[ClassRow]) -> list[dict[str, Any]]:
    """Return class rows as JSON holds them."""
    return [
        {"class": row.name, "support": row.support, **row.figures, **row.counts, "auc": row.auc, "ap": row.ap,
         "recall_images_95": [row.recall_95.low, row.recall_95.high]}
        for row in rows
    ]  # fmt: skip
