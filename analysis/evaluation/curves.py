"""The curves of predictions: ROC, precision by recall, reliability, and accuracy where the surest are answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from analysis.evaluation.calibration import Calibration
from analysis.evaluation.predictions import Predictions
from trainables.metrics.calibration import (
    Reliability,
    accuracy_by_coverage,
    confidences,
    is_correct,
    reliability,
    with_temperature,
)
from trainables.metrics.per_class import positives

Real = NDArray[np.float64]
# a curve of a class against the rest by its presence and scores: across, up, and the area
Curve: TypeAlias = Callable[[NDArray[np.bool_], Real], tuple[Real, Real, float]]


@dataclass(frozen=True)
class ClassCurves:
    """The curves of one class against the rest, one for each network. number: of the class; area: the mean over them.

    networks: (across, up) of each.
    """

    name: str
    number: int
    networks: tuple[tuple[Real, Real], ...]
    area: float


def roc_curves(predictions: Sequence[Predictions]) -> list[ClassCurves]:
    """Return sensitivity over 1 − specificity of each class (of the last, for two) that a split has; area: AUC."""
    from sklearn.metrics import auc, roc_curve

    def curve(present: NDArray[np.bool_], scores: Real) -> tuple[Real, Real, float]:
        across, up, _ = roc_curve(present, scores)
        return across, up, float(auc(across, up))

    return _class_curves(predictions, curve)


def precision_recall_curves(predictions: Sequence[Predictions]) -> list[ClassCurves]:
    """Return precision over recall of each class (of the last, for two) that a split has; area: average precision."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    def curve(present: NDArray[np.bool_], scores: Real) -> tuple[Real, Real, float]:
        precision, recall, _ = precision_recall_curve(present, scores)
        return recall, precision, float(average_precision_score(present, scores))

    return _class_curves(predictions, curve)


def _class_curves(predictions: Sequence[Predictions], curve: Curve) -> list[ClassCurves]:
    first = predictions[0]
    classes = [len(first.class_names) - 1] if first.task == "binary-class" else range(len(first.class_names))
    found = []
    for number, c in enumerate(classes):
        present = positives(first.labels, len(first.class_names))[:, c]
        if present.any() and not present.all():
            drawn = [curve(present, one.scores[:, c]) for one in predictions]
            area = float(np.mean([area for _, _, area in drawn]))
            networks = tuple((across, up) for across, up, _ in drawn)
            found.append(ClassCurves(first.class_names[c], number, networks, area))
    return found


@dataclass(frozen=True)
class CalibrationCurves:
    """Reliability as trained and with the temperature, by name; accuracy of the surest share of images."""

    reliabilities: dict[str, Reliability]
    answered: Real
    accuracy: Real


def calibration_curves(predictions: Predictions, fitted: Calibration) -> CalibrationCurves:
    """Return how right a network is at each confidence, and where only its surest answers are taken."""
    labels, scores, task = predictions.labels, predictions.scores, predictions.task
    correct = is_correct(labels, scores, task)
    after = with_temperature(scores, fitted.temperature, task)
    named = {
        f"as trained: ECE {fitted.errors['ece']:.3f}": scores,
        f"temperature {fitted.temperature:.2f}: ECE {fitted.tempered['ece']:.3f}": after,
    }
    confidence = confidences(scores, task)
    reliabilities = {name: reliability(confidences(own, task), correct) for name, own in named.items()}
    if correct.ndim == 2:
        confidence, correct = confidence.mean(axis=1), correct.mean(axis=1)
    return CalibrationCurves(reliabilities, *accuracy_by_coverage(confidence, correct))
