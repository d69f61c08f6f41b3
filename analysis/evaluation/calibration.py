"""Calibration of a trial's networks: fitted on val, tried on the split that is evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.evaluation.predictions import Predictions
from trainables.metrics.calibration import (
    ConformalSets,
    accuracy_by_coverage,
    brier_scores,
    classwise_errors,
    confidences,
    conformal_sets,
    conformal_threshold,
    equal_mass_error,
    expected_error,
    fit_temperature,
    is_correct,
    log_loss,
    with_temperature,
)

COVERAGE = 0.9
# Shares of the images that are answered in selective prediction.
ANSWERED = (1.0, 0.9, 0.8, 0.7, 0.5)


@dataclass(frozen=True)
class Calibration:
    """The calibration of one network.

    errors: ece (15 bins of equal width), ece_equal_mass, classwise (mean over classes), brier and log_loss; tempered:
    the same once probabilities have the temperature that fits val. classwise_by_class: before.

    selective: accuracy of the surest share of the answers.
    """

    errors: dict[str, float]
    temperature: float
    tempered: dict[str, float]
    classwise_by_class: tuple[float, ...]
    conformal: ConformalSets
    selective: dict[float, float]


def calibration_errors(predictions: Predictions) -> dict[str, float]:
    """Compute ece, ece_equal_mass, classwise, brier and log_loss of predictions."""
    labels, scores, task = predictions.labels, predictions.scores, predictions.task
    return {
        "ece": expected_error(labels, scores, task),
        "ece_equal_mass": equal_mass_error(labels, scores, task),
        "classwise": float(np.nanmean(classwise_errors(labels, scores))),
        "brier": float(brier_scores(labels, scores).mean()),
        "log_loss": log_loss(labels, scores),
    }


def calibrate(fitted_on: Predictions, predictions: Predictions) -> Calibration:
    """Fit temperature and conformal threshold on one split (val) and try them on another."""
    labels, scores, task = predictions.labels, predictions.scores, predictions.task
    temperature = fit_temperature(fitted_on.labels, fitted_on.scores, task)
    tempered = replace(predictions, scores=with_temperature(scores, temperature, task))
    sets = conformal_sets(labels, scores, conformal_threshold(fitted_on.labels, fitted_on.scores, COVERAGE))
    return Calibration(
        calibration_errors(predictions), temperature, calibration_errors(tempered),
        tuple(map(float, classwise_errors(labels, scores))), sets, selective_accuracy(predictions),
    )  # fmt: skip


def selective_accuracy(predictions: Predictions, shares: Sequence[float] = ANSWERED) -> dict[float, float]:
    """Return accuracy where only the surest share of images is answered; an image of multi-label is right in part."""
    confidence = confidences(predictions.scores, predictions.task)
    correct = is_correct(predictions.labels, predictions.scores, predictions.task)
    if correct.ndim == 2:
        confidence, correct = confidence.mean(axis=1), correct.mean(axis=1)
    answered, accuracy = accuracy_by_coverage(confidence, correct)
    return {share: float(accuracy[np.searchsorted(answered, share - 1e-9)]) for share in shares}
