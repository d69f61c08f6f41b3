"""Figures for a browser: Plotly's `data` and `layout`, as a dict. Loads without Plotly, matplotlib and pandas.

In a notebook: `plotly.graph_objects.Figure(learning_curves(curves, "val_auc"))`. Colours are those of the figures on
paper; a page puts its own in their place, by its light or dark scheme.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analysis.comparison.sentences import name_of
from analysis.figures.style import COLOURS, FAINT, colour_of, seen_through
from analysis.terminal.plain_text import visible

Figure = dict[str, Any]
POINT = "%{text}<br>epoch %{x}: %{y:.4f}<extra></extra>"
# curves in a figure at most; the best and evenly many of the others are drawn
MOST_CURVES = 400
DASHES = ("solid", "dash", "dot", "dashdot")
# of a logarithmic scale, as figures on paper have it
WIDE = 10


def text_of(text: object) -> str:
    """Return a text that Plotly shows as it is: it reads tags and entities in every label."""
    return visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def figure(data: Sequence[Mapping[str, Any]], **layout: Any) -> Figure:
    """Return a figure in the page's style."""
    margin = {"l": 60, "r": 20, "t": 30, "b": 45}
    style = {"margin": margin, "hovermode": "closest", "legend": {"orientation": "h", "y": -0.2}, "uirevision": "kept"}
    return {"data": list(data), "layout": {**style, **layout}}


@dataclass
class Panels:
    """Panels side by side and below one another, each with axes of its own. height: of one, in pixels."""

    titles: Sequence[str]
    columns: int
    height: int = 260
    data: list[dict[str, Any]] = field(default_factory=list)
    layout: dict[str, Any] = field(default_factory=dict)

    def add(self, panel: int, trace: Mapping[str, Any]) -> None:
        """Draw a trace in a panel, from 0."""
        number = "" if panel == 0 else str(panel + 1)
        self.data.append({**trace, "xaxis": f"x{number}", "yaxis": f"y{number}"})

    def axis(self, panel: int, which: str, **options: Any) -> None:
        """Set options of a panel's `x` or `y` axis."""
        number = "" if panel == 0 else str(panel + 1)
        self.layout.setdefault(f"{which}axis{number}", {}).update(options)

    def figure(self, **layout: Any) -> Figure:
        """Return the whole figure."""
        rows = -(-len(self.titles) // self.columns)
        titles = []
        for panel, title in enumerate(self.titles):
            number = "" if panel == 0 else str(panel + 1)
            self.axis(panel, "x")
            self.axis(panel, "y", automargin=True)
            titles.append(
                {
                    "text": text_of(title),
                    "showarrow": False,
                    "xref": f"x{number} domain",
                    "x": 0,
                    "xanchor": "left",
                    "yref": f"y{number} domain",
                    "y": 1.02,
                    "yanchor": "bottom",
                }
            )
        grid = {"rows": rows, "columns": self.columns, "pattern": "independent", "ygap": 0.35, "xgap": 0.15}
        below = 62 if any("title" in axis for axis in self.layout.values()) else 36
        legend = {"orientation": "h", "y": -below / (rows * self.height), "yanchor": "top"}
        options = {
            "legend": legend,
            "grid": grid,
            "annotations": titles,
            "height": 90 + rows * self.height,
            **self.layout,
            **layout,
        }
        return figure(self.data, **options)


@dataclass(frozen=True)
class Curve:
    """A trial's mean over its replicates by epoch. group: what it is coloured by; faded: not trained to its end.

    best: drawn thick. spread: the least and the most of its replicates, shaded.
    """

    trial: str
    group: str
    values: Sequence[float | None]
    faded: bool = False
    running: bool = False
    best: bool = False
    spread: tuple[Sequence[float | None], Sequence[float | None]] | None = None

    def peak(self, higher: bool) -> float:
        """Return the best of its values; the worst there can be where it has none."""
        known = [value for value in self.values if value is not None and math.isfinite(value)]
        return (max if higher else min)(known, default=-math.inf if higher else math.inf)


@dataclass(frozen=True)
class Rung:
    """An epoch at which trials of a group were stopped, and the last cutoff there."""

    group: str
    epoch: int
    cutoff: float


def most_telling(curves: Sequence[Curve], higher: bool, most: int = MOST_CURVES) -> list[Curve]:
    """Return the best curves, half of `most`, and as many of the others, evenly by rank; all where they are few."""
    if len(curves) <= most:
        return list(curves)
    ranked = sorted(curves, key=lambda curve: curve.peak(higher), reverse=higher)
    best, others = ranked[: most // 2], ranked[most // 2 :]
    step = len(others) / (most - len(best))
    return [*best, *(others[int(number * step)] for number in range(most - len(best)))]


def learning_curves(
    curves: Sequence[Curve], metric: str, rungs: Sequence[Rung] = (), *, higher: bool = True, groups: Sequence[str] = ()
) -> Figure:
    """Draw a line for each trial: stopped ones faded, with a cross at their ends; rungs as diamonds at their cutoffs.

    groups: all of them, in the order of their colours (empty: as they come).
    """
    groups = list(groups) or list(dict.fromkeys(curve.group for curve in curves))
    data = []
    clear = max(0.3, 0.9 * seen_through(len(curves) // 2))
    for number, group in enumerate(groups):
        own = [curve for curve in curves if curve.group == group]
        look = {"color": colour_of(number), "dash": DASHES[number // len(COLOURS) % len(DASHES)]}
        kinds = (
            ([curve for curve in own if not curve.faded and not curve.best], clear, "lines"),
            ([curve for curve in own if curve.faded], 0.3 * clear, "lines+markers"),
        )
        for shown, (part, opacity, mode) in enumerate(kinds):
            if part:
                data.append(
                    _lines(part, look, mode)
                    | {
                        "name": text_of(group or "all"),
                        "legendgroup": str(number),
                        "opacity": opacity,
                        "showlegend": not any(curve.best for curve in own) and (not shown or not kinds[0][0]),
                    }
                )
        for curve in own:
            if curve.best:
                data += _thick(curve, look, number)
        data += [_rungs([rung for rung in rungs if rung.group == group], look["color"], number)] * any(
            rung.group == group for rung in rungs
        )
    return figure(
        data, xaxis=epoch_axis(_longest(curves)), yaxis={"title": {"text": text_of(name_of(metric))}}, height=420
    )


def epoch_axis(longest: int) -> dict[str, Any]:
    """Return an axis of epochs: each has a tick where they are few."""
    few = {"range": [0.5, longest + 0.5], "dtick": 1} if longest <= 12 else {"rangemode": "tozero"}
    return {"title": {"text": "epoch"}, **few}


def _longest(curves: Sequence[Curve]) -> int:
    return max((len(curve.values) for curve in curves), default=0)


def _lines(curves: Sequence[Curve], look: Mapping[str, Any], mode: str) -> dict[str, Any]:
    """Return one trace of many lines: a gap parts one from the next. The last point of a stopped trial has a cross."""
    x: list[int | None] = []
    y: list[float | None] = []
    names: list[str] = []
    sizes: list[int] = []
    for curve in curves:
        values = [value if value is not None and math.isfinite(value) else None for value in curve.values]
        x += [*range(1, len(values) + 1), None]
        y += [*values, None]
        names += [text_of(curve.trial)] * (len(values) + 1)
        sizes += [*([0] * (len(values) - 1)), 7, 0][: len(values) + 1] if values else [0]
    short = all(len(curve.values) < 2 for curve in curves)
    markers = {"symbol": "x-thin", "size": sizes, "line": {"width": 1.5, "color": look["color"]}}
    return {
        "type": "scatter", "mode": "lines+markers" if short else mode, "x": x, "y": y, "text": names,
        "customdata": names, "line": {**look, "width": 1.4}, "hovertemplate": POINT,
        **({"marker": markers} if mode != "lines" else {}),
    }  # fmt: skip


def _thick(curve: Curve, look: Mapping[str, Any], number: int) -> list[dict[str, Any]]:
    """Return the traces of the best trial of a group: its line, and the range of its replicates."""
    mode = "lines" if len(curve.values) > 1 else "lines+markers"
    line = _lines([curve], look, mode) | {"name": text_of(curve.group or "all"), "legendgroup": str(number)}
    found = [line | {"line": {**look, "width": 3}}]
    if curve.spread and len(curve.values) > 1:
        low, high = (list(side) for side in curve.spread)
        steps = list(range(1, len(low) + 1))
        found.append(
            {
                "type": "scatter", "mode": "lines", "x": [*steps, *steps[::-1]], "y": [*high, *low[::-1]],
                "fill": "toself", "line": {"width": 0, "color": look["color"]}, "opacity": 0.3, "hoverinfo": "skip",
                "showlegend": False, "legendgroup": str(number),
            }
        )  # fmt: skip
    return found


def _rungs(rungs: Sequence[Rung], colour: str, number: int) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers", "x": [rung.epoch for rung in rungs], "y": [rung.cutoff for rung in rungs],
        "marker": {"symbol": "line-ew-open", "size": 22, "color": colour, "line": {"width": 3}},
        "legendgroup": str(number), "showlegend": False,
        "hovertemplate": "rung at epoch %{x}: last cutoff %{y:.4f}<extra></extra>",
    }  # fmt: skip


@dataclass(frozen=True)
class Axis:
    """One upright axis of parallel coordinates: its name and a value for each trial, numbers or anything else."""

    name: str
    values: Sequence[Any]


def parallel_coordinates(axes: Sequence[Axis], scores: Sequence[float | None], *, higher: bool = True) -> Figure:
    """Draw a line for each trial through its settings and scores, coloured by the rank of its score, light the best.

    Words are levels of an axis; a rate is drawn by its logarithm where it spans a decade. A brush on an axis selects.
    """
    dimensions = [_dimension(axis) for axis in axes]
    ranks = ranks_of(scores, higher)
    line = {"color": ranks, "colorscale": "Viridis", "cmin": 0, "cmax": 1, "showscale": False}
    trace = {
        "type": "parcoords", "dimensions": dimensions, "line": line,
        "unselected": {"line": {"color": FAINT, "opacity": 0.06}},
    }  # fmt: skip
    longest = max((len(str(text)) for one in dimensions for text in one.get("ticktext", ())), default=0)
    left = min(160, 50 + 6 * longest)
    return figure([trace], height=400, margin={"l": left, "r": 60, "t": 70, "b": 30})


def _dimension(axis: Axis) -> dict[str, Any]:
    label: dict[str, Any] = {"label": visible(axis.name.replace("_", " "))}
    numbers = [value for value in axis.values if isinstance(value, int | float) and not isinstance(value, bool)]
    known = [value for value in numbers if math.isfinite(value)]
    others = sum(value is not None for value in axis.values) - len(numbers)
    if others or not known:
        texts = [visible("-" if value is None else value) for value in axis.values]
        levels = {text: level for level, text in enumerate(dict.fromkeys(texts))}
        shown = {"tickvals": list(levels.values()), "ticktext": list(levels)}
        return {**label, "values": [levels[text] for text in texts], **shown}
    low, high = min(known), max(known)
    if low > 0 and high / low >= WIDE:
        ticks = sorted(set(known)) if len(set(known)) <= 7 else _decades(low, high)
        positive = [value if isinstance(value, int | float) and math.isfinite(value) else None for value in axis.values]
        values = [None if value is None else math.log10(value) for value in positive]
        return {
            **label, "values": values, "tickvals": [math.log10(tick) for tick in ticks],
            "ticktext": [f"{tick:.3g}" for tick in ticks],
        }  # fmt: skip
    if low == high:
        # one tick, in the middle
        label |= {"range": [low - 1, low + 1], "tickvals": [low], "ticktext": [f"{low:.4g}"]}
    plain = [value if isinstance(value, int | float) else None for value in axis.values]
    return {**label, "values": plain, "tickformat": ".4~g"}


def _decades(low: float, high: float) -> list[float]:
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    return [low, *(10.0**power for power in range(first, last + 1) if low * 1.5 < 10.0**power < high / 1.5), high]


def ranks_of(scores: Sequence[float | None], higher: bool = True) -> list[float]:
    """Return the rank of each score, from 0 for the worst and what has none to 1 for the best."""
    known = sorted({score for score in scores if score is not None and math.isfinite(score)}, reverse=not higher)
    places = {score: (number + 1) / len(known) for number, score in enumerate(known)}
    return [places.get(score, 0.0) if score is not None else 0.0 for score in scores]
