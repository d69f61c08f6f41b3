"""Figures of an evaluation for a browser: Plotly takes them, and they hold the numbers of the figures on paper."""

from __future__ import annotations

from html import unescape

import numpy as np
import pytest

from analysis.browser_figures import evaluation as browser
from analysis.evaluation.calibration import calibrate
from analysis.evaluation.per_class import class_rows, mean_confusion
from analysis.evaluation.predictions import Predictions
from analysis.figures import evaluation as paper
from tests.support.drawn_predictions import drawn

go = pytest.importorskip("plotly.graph_objects")


@pytest.fixture(params=[("binary-class", 2), ("multi-class", 3), ("multi-label, binary-class", 3)], ids=str)
def seeds(request: pytest.FixtureRequest) -> list[Predictions]:
    return drawn(*request.param)


def test_plotly_takes_every_figure_and_names_are_text(seeds: list[Predictions]) -> None:
    first = seeds[0]
    for figure in (
        browser.confusion(mean_confusion(seeds), first.class_names),
        browser.per_class(class_rows(seeds)),
        browser.roc(seeds),
        browser.precision_recall(seeds),
        browser.calibration(first, calibrate(seeds[1], first)),
    ):
        # Plotly refuses what it does not know
        go.Figure(figure)
        assert figure["data"]
        assert "<b>" not in str(figure)


@pytest.mark.parametrize("kind", ["roc", "precision_recall"])
def test_curves_are_those_on_paper(kind: str, seeds: list[Predictions]) -> None:
    on_paper = getattr(paper, kind)(seeds).axes[0].lines
    long = [np.asarray(line.get_xydata()) for line in on_paper if len(line.get_xdata()) > 2]
    figure = getattr(browser, kind)(seeds)
    assert len(figure["data"]) == len(long)
    for trace, line in zip(figure["data"], long, strict=True):
        assert np.allclose(np.column_stack([trace["x"], trace["y"]]), line, atol=1e-5)
    named = [unescape(trace["name"]) for trace in figure["data"] if trace["showlegend"]]
    labels = [str(line.get_label()) for line in on_paper]
    assert named == [label for label in labels if not label.startswith("_")]


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    points = browser._thinned(np.linspace(0, 1, 5001), np.linspace(1, 0, 5001))
    assert len(points["x"]) == browser.MOST_POINTS
    assert (points["x"][0], points["x"][-1], points["y"][-1]) == (0, 1, 0)


def test_counts_and_calibration_are_those_on_paper(seeds: list[Predictions]) -> None:
    first = seeds[0]
    counts = mean_confusion(seeds)
    matrices = [trace["z"] for trace in browser.confusion(counts, first.class_names)["data"]]
    on_paper = [axis.images[0].get_array() for axis in paper.confusion(counts, first.class_names).axes if axis.images]
    assert all(np.allclose(found, shown) for found, shown in zip(matrices, on_paper, strict=False))
    fitted = calibrate(seeds[1], first)
    left, right = paper.calibration(first, fitted).axes[:2]
    lines = [trace for trace in browser.calibration(first, fitted)["data"] if trace["type"] == "scatter"]
    # on paper the first line is the diagonal
    for trace, line in zip(lines, [*left.lines[1:], *right.lines], strict=True):
        assert np.allclose(np.column_stack([trace["x"], trace["y"]]), line.get_xydata(), atol=1e-5)
