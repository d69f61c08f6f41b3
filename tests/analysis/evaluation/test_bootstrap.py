"""Headline figures and their intervals, against scikit-learn, SciPy and statsmodels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from analysis.evaluation.bootstrap import (
    HIGHER,
    auc_of_draws,
    draws_of,
    estimate_figures,
    headline,
    percentile_interval,
    proportion_interval,
    resample_weights,
    seed_interval,
    weighted_auc,
)
from trainables.data.arrays import MULTI_LABEL, Task
from trainables.metrics.auc import accuracy, auc
from trainables.metrics.calibration import brier_scores, expected_error

RNG = np.random.default_rng(1)


def made(task: Task, n: int = 240, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores of a middling network, with ties."""
    if task == MULTI_LABEL:
        labels = RNG.integers(0, 2, (n, classes))
        return labels, np.round(np.clip(0.3 * labels + RNG.random((n, classes)) * 0.7, 0, 1), 2)
    classes = 2 if task == "binary-class" else classes
    labels = RNG.integers(0, classes, n)
    scores = np.round(RNG.dirichlet(np.ones(classes), n) + 0.4 * (labels[:, None] == np.arange(classes)), 2) + 0.01
    return labels, scores / scores.sum(axis=1, keepdims=True)


TASKS: tuple[Task, ...] = ("binary-class", "multi-class", "ordinal-regression", MULTI_LABEL)


@pytest.mark.parametrize("task", TASKS)
def test_headline_figures_are_the_plain_ones(task: Task) -> None:
    labels, scores = made(task)
    found = {name: float(value[0]) for name, value in headline(labels, scores, task).items()}
    assert found["auc"] == pytest.approx(auc(labels, scores, task), abs=1e-12)
    assert found["acc"] == pytest.approx(accuracy(labels, scores, task), abs=1e-12)
    assert found["ece"] == pytest.approx(expected_error(labels, scores, task), abs=1e-9)
    assert found["brier"] == pytest.approx(brier_scores(labels, scores).mean(), abs=1e-12)
    assert set(found) == set(HIGHER) - ({"kappa_quadratic"} if task != "ordinal-regression" else set())


@pytest.mark.parametrize("task", TASKS)
def test_a_weighted_draw_is_the_draw_written_out(task: Task) -> None:
    labels, scores = made(task, 60, 3)
    weights = next(resample_weights(60, 7))
    assert (weights.sum(axis=0) == 60).all()
    together = headline(labels, scores, task, weights)
    for draw in range(7):
        rows = np.repeat(np.arange(60), weights[:, draw].astype(int))
        alone = headline(labels[rows], scores[rows], task)
        for name, values in together.items():
            assert values[draw] == pytest.approx(float(alone[name][0]), abs=1e-6), name


def test_weighted_auc_is_scikit_learns_with_sample_weights() -> None:
    labels, scores = made("binary-class")
    weights = RNG.integers(0, 5, (len(labels), 3)).astype(np.float32)
    found = weighted_auc(labels == 1, scores[:, 1], weights)
    theirs = [roc_auc_score(labels, scores[:, 1], sample_weight=column) for column in weights.T]
    np.testing.assert_allclose(found, theirs, atol=1e-6)


def test_a_draw_without_a_class_has_no_auc_and_is_counted() -> None:
    labels = np.array([0] * 9 + [1])
    scores = np.stack([1 - np.linspace(0, 1, 10), np.linspace(0, 1, 10)], axis=1)
    figure = estimate_figures(labels, [scores], "binary-class")["auc"]
    assert figure.value == 1.0
    assert figure.undefined == pytest.approx(1000 * 0.9**10, abs=60)


@pytest.mark.parametrize("task", TASKS)
def test_perfect_separation_has_no_interval_of_width_zero(task: Task) -> None:
    labels, _ = made(task, 27, 3)
    whole = np.asarray(labels[:, None] == np.arange(labels.max() + 1) if labels.ndim == 1 else labels, float)
    found = estimate_figures(labels, [whole, whole, whole], task)
    theirs = proportion_confint(27, 27, method="wilson")
    assert (found["acc"].images.low, found["acc"].images.high) == pytest.approx(theirs, abs=1e-12)
    assert found["auc"].value == 1.0
    rest = [figure.images for name, figure in found.items() if name != "acc"]
    assert all(math.isnan(interval.low) and math.isnan(interval.high) for interval in rest)


def test_the_image_interval_is_scipys_bootstrap() -> None:
    labels, scores = made("binary-class", 200)
    right = (scores[:, 1] > 0.5) == (labels == 1)
    theirs = stats.bootstrap((right,), np.mean, n_resamples=9999, method="percentile", rng=1).confidence_interval
    ours = percentile_interval(draws_of(labels, [scores], "binary-class", 9999)["acc"])
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.006)  # 1 of 200 images


def test_the_same_images_are_drawn_each_time() -> None:
    labels, scores = made("multi-class")
    first, second = (estimate_figures(labels, [scores, scores], "multi-class") for _ in range(2))
    assert first == second
    assert first["acc"].images == estimate_figures(labels, [scores], "multi-class")["acc"].images


def test_draws_come_in_pieces_where_there_are_many_images() -> None:
    pieces = list(resample_weights(20_000, 1000))
    assert len(pieces) > 1
    assert sum(piece.shape[1] for piece in pieces) == 1000
    assert all((piece.sum(axis=0) == 20_000).all() for piece in pieces)


def test_the_seed_interval_is_students_and_stays_within_what_can_be() -> None:
    values = [0.80, 0.84, 0.91]
    theirs = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    found = seed_interval(values)
    assert (found.low, found.high) == pytest.approx(theirs, abs=1e-12)
    assert seed_interval([0.7, 0.8, 0.99], 0.0, 1.0).high == 1.0
    assert math.isnan(seed_interval(values[:2]).low)
    assert math.isnan(seed_interval([0.8, 0.9, math.nan]).low)


@pytest.mark.parametrize(("hits", "n"), [(0, 9), (9, 9), (16, 20), (571, 623)])
def test_wilsons_interval_is_statsmodels(hits: int, n: int) -> None:
    found = proportion_interval(hits / n, n)
    assert (found.low, found.high) == pytest.approx(proportion_confint(hits, n, method="wilson"), abs=1e-12)


def test_scores_that_are_not_finite_give_nan_everywhere() -> None:
    labels, scores = made("multi-class")
    scores[3, 1] = math.nan
    assert all(math.isnan(value[0]) for value in headline(labels, scores, "multi-class").values())


def test_auc_of_draws_is_the_mean_over_classes() -> None:
    labels, scores = made("multi-class")
    once = np.ones((len(labels), 1), np.float32)
    theirs = roc_auc_score(labels, scores, multi_class="ovr")
    assert float(auc_of_draws(labels, scores, "multi-class", once)[0]) == pytest.approx(theirs, abs=1e-9)
