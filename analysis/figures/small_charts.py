"""A row of small charts as a PNG, drawn with Pillow: every trial has two, and matplotlib takes ten times as long."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from analysis.figures.style import FAINT, INK, LINE

# Pixels: of a chart, of the rows above it, and between a chart's edge and its axes.
WIDTH, HEIGHT, ROW = 400, 260, 20
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 34, 40
SMALL, LARGE = 11, 13
# Lines are drawn at twice the size and then halved, which smooths them.
SCALE = 2
# Numbers of ticks on an axis at most, and the steps between them.
TICKS, STEPS, WHOLE_STEPS = 6, (1, 2, 2.5, 5, 10), (1, 2, 5, 10)
LARGEST = 1e300
Values = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Line:
    """A line through points; what is not finite is a gap."""

    x: Values
    y: Values
    colour: str
    label: str = ""


@dataclass(frozen=True)
class Band:
    """The area between two curves."""

    x: Values
    low: Values
    high: Values
    colour: str


@dataclass(frozen=True)
class Bars:
    """A histogram: one more edge than heights. filled: an area, else an outline."""

    edges: Values
    heights: Values
    colour: str
    label: str = ""
    filled: bool = False


@dataclass(frozen=True)
class Chart:
    """One chart. marks: dotted vertical lines. whole: the x axis counts."""

    title: str
    x_label: str
    bands: Sequence[Band] = ()
    bars: Sequence[Bars] = ()
    lines: Sequence[Line] = ()
    marks: Sequence[float] = ()
    whole: bool = False


@dataclass(frozen=True)
class Scale:
    """An axis: where its values lie in pixels, and its ticks."""

    low: float
    high: float
    first: float
    last: float
    ticks: Sequence[float]

    def __call__(self, values: Any) -> Any:
        """Return the pixels of values; NaN for what cannot be drawn."""
        share = (_drawable(values) - self.low) / (self.high - self.low)
        return self.first + share * (self.last - self.first)


def draw_png(charts: Sequence[Chart], title: str, note: str = "", mark: str = "") -> bytes:
    """Draw charts side by side, below a title and a legend. note, mark: what bands and marks mean, in the legend."""
    size = WIDTH * max(1, len(charts)), HEIGHT + 2 * ROW
    scales = [_scales(chart, number) for number, chart in enumerate(charts)]
    large = Image.new("RGB", (size[0] * SCALE, size[1] * SCALE), "white")
    canvas = ImageDraw.Draw(large, "RGBA")
    for chart, (x, y) in zip(charts, scales, strict=True):
        _draw_shapes(canvas, chart, x, y)
    image = large.reduce(SCALE)
    canvas = ImageDraw.Draw(image)
    canvas.text((size[0] / 2, 4), title, INK, _font(LARGE), anchor="ma")
    _draw_legend(canvas, charts, note, mark, size[0] / 2)
    for chart, (x, y) in zip(charts, scales, strict=True):
        _draw_texts(canvas, chart, x, y)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _scales(chart: Chart, number: int) -> tuple[Scale, Scale]:
    left, top = WIDTH * number, 2 * ROW
    drawn: list[Line | Band] = [*chart.lines, *chart.bands]
    across = [
        *(value for part in drawn for value in part.x),
        *(value for bars in chart.bars for value in bars.edges),
        *chart.marks,
    ]
    up: list[Any] = [line.y for line in chart.lines]
    up += [curve for band in chart.bands for curve in (band.low, band.high)]
    up += [[0.0, *bars.heights] for bars in chart.bars]
    x = _scale(across, left + LEFT, left + WIDTH - RIGHT, whole=chart.whole)
    return x, _scale(list(chain(*up)), top + HEIGHT - BOTTOM, top + TOP, from_zero=bool(chart.bars))


def _scale(values: Values, first: float, last: float, whole: bool = False, from_zero: bool = False) -> Scale:
    """Return an axis on which all finite values have room."""
    finite = _drawable(values)
    finite = finite[np.isfinite(finite)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    # equal values, or so large ones that their distance is lost
    room = 0.05 * (high - low) if high - low > 1e-12 * max(abs(low), abs(high)) else 0.1 * (abs(low) or 1.0)
    low, high = low if from_zero else low - room, high + room
    return Scale(low, high, first, last, ticks(low, high, whole=whole))


def _drawable(values: Any) -> np.ndarray:
    """Return values as floats, NaN for those that are not finite or too large to compute with."""
    floats = np.asarray(values, float)
    return np.where(np.abs(floats) < LARGEST, floats, np.nan)


def ticks(low: float, high: float, whole: bool = False) -> list[float]:
    """Return round numbers between two values, at most `TICKS`.

    >>> ticks(0.03, 0.97), ticks(0.45, 12.55, whole=True)
    ([0.2, 0.4, 0.6000000000000001, 0.8], [5, 10])
    """
    least = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(least))
    step = next(each * power for each in (WHOLE_STEPS if whole else STEPS) if each * power >= least)
    if whole:
        step = max(1, round(step))
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _labels(values: Sequence[float]) -> list[str]:
    """Return ticks as text, all with the decimals that their step needs."""
    if not values:
        return []
    step = values[1] - values[0] if len(values) > 1 else abs(values[0]) or 1.0
    if step < 1e-4 or max(map(abs, values)) >= 1e5:
        return [f"{value:.3g}" for value in values]
    decimals = next(digits for digits in range(7) if digits == 6 or abs(step - round(step, digits)) < 1e-6 * step)
    return [f"{value:.{decimals}f}" for value in values]


def _draw_shapes(canvas: Any, chart: Chart, x: Scale, y: Scale) -> None:
    """Draw axes, areas and lines, at the large size."""
    for tick in y.ticks:
        _draw_line(canvas, [(x.first, y(tick)), (x.last, y(tick))], LINE, 0.6)
    for band in chart.bands:
        low, high = _points(band.x, band.low, x, y), _points(band.x, band.high, x, y)
        for under, over in zip(low, high, strict=False):
            if len(under) == len(over) > 1:
                canvas.polygon(_large([*under, *over[::-1]]), fill=f"{band.colour}33")
    for bars in chart.bars:
        edges, heights = np.repeat(x(bars.edges), 2), y([0.0, *np.repeat(bars.heights, 2), 0.0])
        outline = list(zip(edges.tolist(), heights.tolist(), strict=True))
        if bars.filled:
            canvas.polygon(_large(outline), fill=f"{bars.colour}99")
        else:
            _draw_line(canvas, outline, bars.colour, 1)
    for mark in chart.marks:
        for start in np.arange(y.last, y.first, 5):
            _draw_line(canvas, [(x(mark), start), (x(mark), min(start + 2, y.first))], FAINT, 1)
    for line in chart.lines:
        for points in _points(line.x, line.y, x, y):
            if len(points) > 1:
                _draw_line(canvas, points, line.colour, 1.5)
            for across, up in points if len(line.x) < 3 else ():
                canvas.ellipse(_large([(across - 3, up - 3), (across + 3, up + 3)]), fill=line.colour)
    _draw_line(canvas, [(x.first, y.last), (x.first, y.first), (x.last, y.first)], FAINT, 1)


def _points(x: Values, y: Values, across: Scale, up: Scale) -> Iterator[list[tuple[float, float]]]:
    """Yield the pieces of a curve between its gaps, in pixels."""
    places = zip(across(x).tolist(), up(y).tolist(), strict=True)
    for finite, piece in groupby(places, lambda place: math.isfinite(place[0]) and math.isfinite(place[1])):
        if finite:
            yield list(piece)


def _large(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(SCALE * float(x), SCALE * float(y)) for x, y in points]


def _draw_line(canvas: Any, points: Sequence[tuple[float, float]], colour: str, width: float) -> None:
    canvas.line(_large(points), fill=colour, width=round(SCALE * width), joint="curve")


def _draw_texts(canvas: Any, chart: Chart, x: Scale, y: Scale) -> None:
    middle = (x.first + x.last) / 2
    canvas.multiline_text((middle, y.last - 6), chart.title, INK, _font(SMALL), anchor="md", align="center", spacing=2)
    canvas.text((middle, y.first + BOTTOM - 4), chart.x_label, INK, _font(SMALL), anchor="md")
    for tick, label in zip(x.ticks, _labels(x.ticks), strict=True):
        canvas.text((x(tick), y.first + 5), label, INK, _font(SMALL), anchor="ma")
    for tick, label in zip(y.ticks, _labels(y.ticks), strict=True):
        canvas.text((x.first - 6, y(tick)), label, INK, _font(SMALL), anchor="rm")


def _draw_legend(canvas: Any, charts: Sequence[Chart], note: str, mark: str, middle: float) -> None:
    """Draw the labels of the charts, each once, in one row."""
    labels = {bars.label: bars.colour for chart in charts for bars in chart.bars}
    labels |= {line.label: line.colour for chart in charts for line in chart.lines}
    entries = [(label, colour) for label, colour in labels.items() if label]
    entries += [(mark, FAINT)] if mark and any(chart.marks for chart in charts) else []
    font, sign, gap = _font(SMALL), 18, 14
    widths = [font.getlength(label) + sign + gap for label, _ in entries]
    left, line = middle - (sum(widths) + font.getlength(note)) / 2, ROW + 10
    for (label, colour), width in zip(entries, widths, strict=True):
        canvas.line([(left, line), (left + sign - 5, line)], fill=colour, width=1 if label == mark else 2)
        canvas.text((left + sign, line), label, INK, font, anchor="lm")
        left += width
    canvas.text((left, line), note, INK, font, anchor="lm")


@cache
def _font(size: int) -> Any:
    """Return matplotlib's font, which knows more alphabets than Pillow's own; found without importing matplotlib."""
    found = find_spec("matplotlib")
    places = found.submodule_search_locations or [] if found else []
    for place in places:
        if (path := Path(place, "mpl-data", "fonts", "ttf", "DejaVuSans.ttf")).is_file():
            return ImageFont.truetype(str(path), size)
    return ImageFont.load_default(size)
