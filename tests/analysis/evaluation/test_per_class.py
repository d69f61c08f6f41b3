"""Average precision and operating points against scikit-learn and counting by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from analysis.evaluation.per_class import at_threshold, average_precision, threshold_for

RNG = np.random.default_rng(8)


@pytest.mark.parametrize("digits", [1, 6])
def test_average_precision_is_scikit_learns_with_ties_and_without(digits: int) -> None:
    present = RNG.random(200) < 0.3
    scores = np.round(RNG.random(200) + 0.4 * present, digits)
    assert average_precision(present, scores) == pytest.approx(average_precision_score(present, scores), abs=1e-12)
    assert math.isnan(average_precision(np.zeros(3, bool), np.ones(3)))


def test_the_threshold_is_the_highest_with_the_wanted_sensitivity() -> None:
    present = np.array([True] * 20 + [False] * 20)
    scores = np.concatenate([np.linspace(0.05, 1.0, 20), np.linspace(0.0, 0.5, 20)])
    threshold = threshold_for(present, scores, 0.95)
    assert at_threshold(present, scores, threshold)["sensitivity"] == 0.95
    assert at_threshold(present, scores, np.nextafter(threshold, 2))["sensitivity"] < 0.95
    assert math.isnan(threshold_for(np.zeros(3, bool), np.ones(3)))
