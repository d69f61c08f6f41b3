"""The charts that every trial has: where curves, areas and histograms lie, and what is not finite."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from matplotlib.ticker import MaxNLocator
from PIL import Image

from analysis.figures import small_charts
from analysis.figures.small_charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    ROW,
    TOP,
    WIDTH,
    Band,
    Bars,
    Chart,
    Line,
    draw_png,
)

BLUE, ORANGE = "#0072B2", "#E69F00"


def _pixels(charts: list[Chart], title: str = "") -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(draw_png(charts, title))).convert("RGB"), int)


def _is_blue(pixels: np.ndarray) -> np.ndarray:
    return (pixels[..., 2] - pixels[..., 0] > 100) & (pixels[..., 0] < 60)


def test_a_line_rises_from_the_lower_left_to_the_upper_right() -> None:
    blue = _is_blue(_pixels([Chart("loss", "epoch", lines=[Line([1, 2, 3], [0.0, 0.5, 1.0], BLUE)])]))
    rows, columns = np.nonzero(blue)
    assert LEFT < columns.min() < LEFT + 30
    assert WIDTH - RIGHT - 30 < columns.max() < WIDTH - RIGHT
    assert rows[columns.argmin()] > 2 * ROW + HEIGHT - BOTTOM - 20
    assert rows[columns.argmax()] < 2 * ROW + TOP + 20
    assert np.corrcoef(rows, columns)[0, 1] < -0.999


@pytest.mark.parametrize("gap", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_a_gap(gap: float) -> None:
    blue = _is_blue(_pixels([Chart("loss", "epoch", lines=[Line([1, 2, 3, 4, 5], [1, 2, gap, 2, 1], BLUE)])]))
    columns = blue.any(axis=0)
    third = LEFT + (WIDTH - LEFT - RIGHT) // 2
    assert columns[:third].any()
    assert columns[third + 1 :].any()
    assert not columns[third - 20 : third + 20].any()


def test_a_histogram_stands_on_zero_and_an_outline_is_not_filled() -> None:
    bars = [Bars([0, 1, 2], [1.0, 4.0], BLUE, filled=True)]
    pixels = _pixels(
        [Chart("weights", "weight", bars=bars), Chart("weights", "weight", bars=[Bars([0, 1], [1], BLUE)])]
    )
    filled = np.abs(pixels - [102, 170, 209]).max(axis=-1) < 8
    heights = filled[:, LEFT : WIDTH - RIGHT].sum(axis=0)
    left, right = heights[100], heights[-100]
    assert right == pytest.approx(4 * left, rel=0.1)
    assert filled[2 * ROW + HEIGHT - BOTTOM - 4, LEFT + 100]
    assert _is_blue(pixels)[:, WIDTH:].any()
    assert not filled[:, WIDTH:].any()


def test_the_range_of_replicates_is_shaded() -> None:
    pixels = _pixels([Chart("auc", "epoch", [Band([1, 2], [0, 0], [1, 1], ORANGE)])])
    inside = pixels[2 * ROW + TOP + 60, LEFT + 120]
    assert inside.tolist() == pytest.approx([250, 236, 204], abs=3)


@pytest.mark.parametrize("chart", [
    Chart("nothing", "epoch"),
    Chart("undefined", "epoch", [Band([1], [math.nan], [math.nan], BLUE)], lines=[Line([1], [math.nan], BLUE)]),
    Chart("equal", "epoch", lines=[Line([1, 2], [0.3, 0.3], BLUE)], marks=[2]),
    Chart("huge", "epoch", lines=[Line([1, 2, 3], [1e308, -1e308, 1e-300], BLUE)]),
    Chart("tiny", "epoch", lines=[Line([1, 2], [1e-320, 2e-320], BLUE)]),
    Chart("close", "epoch", lines=[Line([1, 2], [1e9, 1e9 + 1e-6], BLUE)]),
])  # fmt: skip
def test_any_values_can_be_drawn(chart: Chart) -> None:
    assert _pixels([chart], "a $title$ with_anything \\frac").shape == (HEIGHT + 2 * ROW, WIDTH, 3)


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0.03, 0.97), (-3.2, 17), (1e-7, 3e-7), (2e5, 9e8), (0.99931, 0.9995)]
)
def test_ticks_are_those_of_matplotlib(low: float, high: float) -> None:
    steps = [1, 2, 2.5, 5, 10]
    expected = [
        tick for tick in MaxNLocator(small_charts.TICKS, steps=steps).tick_values(low, high) if low <= tick <= high
    ]
    assert small_charts.ticks(low, high) == pytest.approx(expected)


def test_ticks_of_epochs_are_whole() -> None:
    assert small_charts.ticks(0.95, 2.05, whole=True) == [1, 2]
    assert small_charts.ticks(0.45, 12.55, whole=True) == [5, 10]
