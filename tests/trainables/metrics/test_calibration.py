"""Calibration against scikit-learn, closed forms and counting by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn import metrics
from sklearn.calibration import calibration_curve

from trainables.data.arrays import MULTI_LABEL
from trainables.metrics.calibration import (
    accuracy_by_coverage,
    brier_scores,
    classwise_errors,
    conformal_sets,
    conformal_threshold,
    equal_mass_error,
    expected_error,
    fit_temperature,
    log_loss,
    reliability,
    with_temperature,
)

RNG = np.random.default_rng(5)
LABELS = RNG.integers(0, 4, 400)
LOGITS = RNG.normal(size=(400, 4)) + 2.0 * (LABELS[:, None] == np.arange(4))
SCORES = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
MULTI, MULTI_SCORES = RNG.integers(0, 2, (150, 3)), RNG.random((150, 3))


def test_the_curve_is_scikit_learns() -> None:
    present, scores = LABELS == 1, SCORES[:, 1]
    found = reliability(scores, present, 10)
    known = found.counts > 0
    share, mean = calibration_curve(present, scores, n_bins=10)
    np.testing.assert_allclose(found.accuracy[known], share, atol=1e-12)
    np.testing.assert_allclose(found.confidence[known], mean, atol=1e-12)


@pytest.mark.parametrize("bins", [5, 15])
def test_the_expected_error_is_counted_by_hand(bins: int) -> None:
    confidence, correct = SCORES.max(axis=1), SCORES.argmax(axis=1) == LABELS
    error = 0.0
    for low in range(bins):
        inside = (confidence > low / bins) & (confidence <= (low + 1) / bins)
        if inside.any():
            error += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    assert expected_error(LABELS, SCORES, "multi-class", bins) == pytest.approx(error, abs=1e-12)


def test_errors_vanish_where_probabilities_are_true() -> None:
    labels = np.repeat([0, 1, 1, 1], 25)
    scores = np.tile([0.25, 0.75], (100, 1))
    assert expected_error(labels, scores, "binary-class") == pytest.approx(0, abs=1e-12)
    assert equal_mass_error(labels, scores, "binary-class", bins=1) == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(classwise_errors(labels, scores), 0, atol=1e-12)


def test_brier_and_log_loss_are_scikit_learns() -> None:
    assert log_loss(LABELS, SCORES) == pytest.approx(metrics.log_loss(LABELS, SCORES), abs=1e-9)
    binary = np.stack([1 - SCORES[:, 1], SCORES[:, 1]], axis=1)
    present = (LABELS == 1).astype(np.int64)
    half = metrics.brier_score_loss(present, SCORES[:, 1])
    assert brier_scores(present, binary).mean() == pytest.approx(2 * half, abs=1e-12)
    truth = np.eye(4)[LABELS]
    assert brier_scores(LABELS, SCORES).mean() == pytest.approx(((SCORES - truth) ** 2).sum(axis=1).mean(), abs=1e-12)
    each = [metrics.brier_score_loss(MULTI[:, i], MULTI_SCORES[:, i]) for i in range(3)]
    assert brier_scores(MULTI, MULTI_SCORES).mean() == pytest.approx(np.mean(each), abs=1e-12)
    each = [metrics.log_loss(MULTI[:, i], MULTI_SCORES[:, i]) for i in range(3)]
    assert log_loss(MULTI, MULTI_SCORES) == pytest.approx(np.mean(each), abs=1e-9)


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_put_in_is_found(true_temperature: float) -> None:
    """Torch minimises the same loss by another way."""
    hot = torch.tensor(LOGITS * true_temperature)
    scores = torch.softmax(hot, dim=1).numpy()
    log_t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_t], max_iter=200, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(hot / log_t.exp(), torch.tensor(LABELS))
        loss.backward()
        return loss

    optimizer.step(closure)
    found = fit_temperature(LABELS, scores, "multi-class")
    assert found == pytest.approx(math.exp(float(log_t.detach())), rel=1e-4)


def test_temperature_divides_the_logits() -> None:
    expected = torch.softmax(torch.tensor(LOGITS) / 2.5, dim=1).numpy()
    np.testing.assert_allclose(with_temperature(SCORES, 2.5, "multi-class"), expected, atol=1e-12)
    logits = np.log(MULTI_SCORES / (1 - MULTI_SCORES))
    expected = 1 / (1 + np.exp(-logits / 2.5))
    np.testing.assert_allclose(with_temperature(MULTI_SCORES, 2.5, MULTI_LABEL), expected, atol=1e-9)


def test_temperature_survives_probabilities_of_0_and_1() -> None:
    sure = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    for task in ("binary-class", MULTI_LABEL):
        assert np.isfinite(with_temperature(sure, 2.0, task)).all()  # type: ignore[arg-type]
    assert np.isfinite(fit_temperature(np.array([0, 1, 1]), sure, "binary-class"))


def test_conformal_sets_hold_the_true_class_as_often_as_promised() -> None:
    """Over many draws of val the coverage is at least 90 % and less than 90 % + 1 / (n + 1)."""
    covered = []
    for seed in range(300):
        order = np.random.default_rng(seed).permutation(400)
        val, test = order[:99], order[99:]
        threshold = conformal_threshold(LABELS[val], SCORES[val], 0.9)
        covered.append(conformal_sets(LABELS[test], SCORES[test], threshold).coverage)
    assert 0.895 < np.mean(covered) < 0.915


def test_conformal_sets_by_hand() -> None:
    labels = np.array([0, 1, 0, 1])
    scores = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8]])
    assert conformal_threshold(labels, scores, 0.6) == 0.7  # ceil(5 * 0.6) = 3rd highest of 0.9 0.8 0.7 0.6
    assert conformal_threshold(labels, scores, 0.9) == 0.0  # too few images: every class is in
    found = conformal_sets(labels, scores, 0.35)
    assert (found.coverage, found.mean_size, found.sizes) == (1.0, 1.25, (0, 3, 1))


def test_conformal_sets_of_labels_hold_the_promised_share_of_them() -> None:
    """Over many draws of val, sets hold at least 90 % of an image's labels in the mean over images that have any."""
    rng = np.random.default_rng(5)
    scores = rng.beta(0.6, 0.9, (400, 6))
    labels = (rng.random(scores.shape) < scores).astype(np.int64)
    assert (labels.sum(axis=1) == 0).any()
    covered = []
    for seed in range(300):
        order = np.random.default_rng(seed).permutation(400)
        val, test = order[:99], order[99:]
        found = conformal_sets(labels[test], scores[test], conformal_threshold(labels[val], scores[val], 0.9))
        covered.append(found.coverage)
    assert 0.895 < np.mean(covered) < 0.915
    assert sum(found.sizes) == 301
    np.testing.assert_allclose(found.class_coverage, [
        metrics.recall_score(labels[test][:, c], scores[test][:, c] >= found.threshold) for c in range(6)
    ])  # fmt: skip


def test_conformal_sets_of_one_label_an_image_are_those_of_classes() -> None:
    """An image with one label misses it or not, so that the share of labels is that of images."""
    labels = np.eye(SCORES.shape[1], dtype=np.int64)[LABELS]
    threshold = conformal_threshold(LABELS, SCORES, 0.9)
    assert conformal_threshold(labels, SCORES, 0.9) == threshold
    assert conformal_sets(labels, SCORES, threshold) == conformal_sets(LABELS, SCORES, threshold)
    none = conformal_sets(np.zeros_like(labels), SCORES, threshold)
    assert np.isnan(none.coverage)


def test_accuracy_by_coverage() -> None:
    answered, accuracy = accuracy_by_coverage(np.array([0.9, 0.6, 0.8]), np.array([True, False, True]))
    np.testing.assert_allclose(answered, [1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(accuracy, [1, 1, 2 / 3])
