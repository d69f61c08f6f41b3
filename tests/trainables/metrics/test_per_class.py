"""Figures of right and wrong answers are scikit-learn's, for every kind of task."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from trainables.metrics.per_class import (
    class_figures,
    confusion_matrix,
    kappa_of,
    predicted_labels,
    whole_figures,
)

RNG = np.random.default_rng(3)
LABELS = RNG.integers(0, 5, 300)
PREDICTED = np.where(RNG.random(300) < 0.6, LABELS, RNG.integers(0, 5, 300))
MULTI_TRUE, MULTI_SCORES = RNG.integers(0, 2, (200, 4)), RNG.random((200, 4))
MULTI_PREDICTED = predicted_labels(MULTI_SCORES, "multi-label, binary-class")
CASES = [(LABELS, PREDICTED, 5), (LABELS % 2, PREDICTED % 2, 2), (MULTI_TRUE, MULTI_PREDICTED, 4)]


@pytest.mark.parametrize(("labels", "predicted", "n_classes"), CASES, ids=["classes", "two", "labels"])
def test_class_figures_are_scikit_learns(labels: np.ndarray, predicted: np.ndarray, n_classes: int) -> None:
    found = class_figures(labels, predicted, n_classes)
    ours = [found.precision, found.recall, found.f1, found.support]
    theirs = metrics.precision_recall_fscore_support(labels, predicted)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
    matrices = metrics.multilabel_confusion_matrix(labels, predicted)
    np.testing.assert_array_equal([found.tn, found.fp, found.fn, found.tp], matrices.reshape(-1, 4).T)
    np.testing.assert_allclose(found.specificity, matrices[:, 0, 0] / matrices[:, 0].sum(axis=1))
    np.testing.assert_allclose(found.npv, matrices[:, 0, 0] / matrices[:, :, 0].sum(axis=1))
    for how in ("macro", "weighted"):
        averaged = metrics.precision_recall_fscore_support(labels, predicted, average=how)[:3]
        ours = [found.average(name, how) for name in ("precision", "recall", "f1")]
        np.testing.assert_allclose(ours, averaged, rtol=0, atol=1e-12)


def test_a_class_that_is_lacking_gives_nan_and_leaves_the_means_of_the_others() -> None:
    labels, predicted = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    found = class_figures(labels, predicted, 3)
    assert math.isnan(found.recall[2])
    assert math.isnan(found.precision[2])
    for name, function in (("precision", metrics.precision_score), ("recall", metrics.recall_score)):
        theirs = function(labels, predicted, labels=[0, 1, 2], average="macro", zero_division=np.nan)
        assert found.average(name, "macro") == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize(("labels", "predicted", "n_classes"), CASES[:2], ids=["classes", "two"])
def test_whole_figures_are_scikit_learns(labels: np.ndarray, predicted: np.ndarray, n_classes: int) -> None:
    matrix = confusion_matrix(labels, predicted, n_classes)
    np.testing.assert_array_equal(matrix, metrics.confusion_matrix(labels, predicted))
    found = whole_figures(matrix, "ordinal-regression")
    theirs = {
        "acc": metrics.accuracy_score(labels, predicted),
        "balanced_acc": metrics.balanced_accuracy_score(labels, predicted),
        "f1_macro": metrics.f1_score(labels, predicted, average="macro"),
        "mcc": metrics.matthews_corrcoef(labels, predicted),
        "kappa": metrics.cohen_kappa_score(labels, predicted),
        "kappa_quadratic": metrics.cohen_kappa_score(labels, predicted, weights="quadratic"),
    }
    assert set(found) == set(theirs)
    for name, value in theirs.items():
        assert float(found[name]) == pytest.approx(value, abs=1e-12), name


def test_whole_figures_of_labels_are_means_over_labels() -> None:
    found = whole_figures(confusion_matrix(MULTI_TRUE, MULTI_PREDICTED, 4), "multi-label, binary-class")
    pairs = list(zip(MULTI_TRUE.T, MULTI_PREDICTED.T, strict=True))
    assert float(found["acc"]) == pytest.approx((MULTI_TRUE == MULTI_PREDICTED).mean(), abs=1e-12)
    theirs = metrics.f1_score(MULTI_TRUE, MULTI_PREDICTED, average="macro")
    assert float(found["f1_macro"]) == pytest.approx(theirs, abs=1e-12)
    for name, function in (
        ("mcc", metrics.matthews_corrcoef),
        ("kappa", metrics.cohen_kappa_score),
        ("balanced_acc", metrics.balanced_accuracy_score),
    ):
        assert float(found[name]) == pytest.approx(np.mean([function(t, p) for t, p in pairs]), abs=1e-12)


def test_many_matrices_are_computed_as_each_alone() -> None:
    matrices = RNG.integers(0, 20, (6, 4, 4)).astype(float)
    together = whole_figures(matrices, "ordinal-regression")
    for number, matrix in enumerate(matrices):
        for name, value in whole_figures(matrix, "ordinal-regression").items():
            assert together[name][number] == pytest.approx(float(value), abs=1e-12)


def test_kappa_of_cohens_example() -> None:
    """Fleiss, Levin, Paik (2003), Statistical Methods for Rates and Proportions, table 18.1: kappa 0.676."""
    diagnosis = np.array([[75, 1, 4], [5, 4, 1], [0, 0, 10]], float)
    assert float(kappa_of(diagnosis)) == pytest.approx(0.676, abs=5e-4)
