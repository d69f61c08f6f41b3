"""Figures of an evaluation for a browser: the same curves and counts as in `analysis.figures.evaluation`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.browser_figures.curves_and_panels import Figure, Panels, figure, text_of
from analysis.evaluation.calibration import Calibration
from analysis.evaluation.curves import ClassCurves, calibration_curves, precision_recall_curves, roc_curves
from analysis.evaluation.per_class import ClassRow
from analysis.evaluation.predictions import Predictions
from analysis.figures.evaluation import MOST_CELLS, MOST_NAMED, OF_CLASS, by_recall, cell_count, per_cent, row_name
from analysis.figures.style import COLOURS, FAINT, colour_of
from analysis.trial_evaluation.tables import short

# points of a curve; more are not told apart on a screen
MOST_POINTS = 400
# of the figures of a class
SYMBOLS = ("circle", "square", "triangle-up", "diamond")
DASHES = ("solid", "dash", "dot")
SHARE: dict[str, Any] = {"range": [-0.01, 1.01], "zeroline": False}


def confusion(counts: NDArray[np.float64], names: Sequence[str]) -> Figure:
    """Draw per cent of each true class as colour, counts as text; for multi-label a small matrix each label."""
    if counts.ndim == 3:
        panels = Panels([short(name, 22) for name in names], min(5, len(names)), 150)
        matrices, labels = list(counts), ["no", "yes"]
    else:
        panels = Panels([""], 1, 120 + 34 * min(len(names), MOST_CELLS))
        matrices, labels = [counts], [text_of(short(name)) for name in names]
    for number, matrix in enumerate(matrices):
        shares = per_cent(matrix)
        texts = [
            [f"{cell_count(count)}<br>{share:.0f} %" for count, share in zip(*row, strict=True)]
            for row in zip(matrix, shares, strict=True)
        ]
        # by their places: two classes may have one name
        places = {"tickvals": list(range(len(labels))), "ticktext": labels}
        panels.add(
            number,
            {
                "type": "heatmap", "z": shares.tolist(), "zmin": 0, "zmax": 100, "colorscale": "Cividis",
                "showscale": number == 0, "colorbar": {"title": {"text": "% of the true class", "side": "right"}},
                "text": texts, "texttemplate": "%{text}" if len(labels) <= MOST_CELLS else "", "xgap": 1, "ygap": 1,
                "customdata": [[[true, said] for said in labels] for true in labels],
                "hovertemplate": "true %{customdata[0]}, predicted %{customdata[1]}: %{text}<extra></extra>",
            },
        )  # fmt: skip
        panels.axis(number, "x", **places, showgrid=False, zeroline=False, automargin=True)
        panels.axis(number, "y", **places, showgrid=False, zeroline=False, autorange="reversed")
        if len(matrices) == 1:
            panels.axis(number, "x", title={"text": "predicted class"})
            panels.axis(number, "y", title={"text": "true class", "standoff": 12})
    return panels.figure()


def per_class(rows: Sequence[ClassRow]) -> Figure:
    """Draw precision, recall with its interval, specificity and F1 of each class, best recall first."""
    ranked = by_recall(rows)
    data = []
    for number, (name, shown) in enumerate(OF_CLASS.items()):
        values = np.array([row.figures[name] for row in ranked])
        trace: dict[str, Any] = {
            "type": "scatter", "mode": "markers", "name": shown, "x": values.tolist(),
            "y": [place + (number - 1.5) * 0.17 for place in range(len(ranked))],
            "text": [text_of(row.name) for row in ranked],
            "marker": {"color": colour_of(number), "symbol": SYMBOLS[number], "size": 8},
            "hovertemplate": "%{text}: %{x:.3f}<extra>" + shown + "</extra>",
        }  # fmt: skip
        if name == "recall":
            ends = np.array([[row.recall_95.low, row.recall_95.high] for row in ranked])
            sides = {"array": (ends[:, 1] - values).tolist(), "arrayminus": (values - ends[:, 0]).tolist()}
            trace["error_x"] = {"type": "data", "symmetric": False, "width": 0, "thickness": 1.4, **sides}
        data.append(trace)
    names = {"tickvals": list(range(len(ranked))), "ticktext": [text_of(row_name(row)) for row in ranked]}
    return figure(
        data,
        xaxis={"title": {"text": "a class against the rest"}, **SHARE},
        yaxis={"autorange": "reversed", "showgrid": False, "zeroline": False, "automargin": True, **names},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom"},
        height=110 + 46 * len(ranked),
    )


def roc(predictions: Sequence[Predictions]) -> Figure:
    """Draw the ROC curve of each class (of the last class, for two), a thin line for each further seed."""
    chance = {"type": "line", "x0": 0, "y0": 0, "x1": 1, "y1": 1, "line": {"color": FAINT, "width": 1, "dash": "dot"}}
    lines = _lines(roc_curves(predictions), "AUC", "linear")
    return _square(lines, "1 − specificity", "sensitivity (recall)", shapes=[chance])


def precision_recall(predictions: Sequence[Predictions]) -> Figure:
    """Draw precision by recall of each class (of the last class, for two), a thin line for each further seed."""
    return _square(_lines(precision_recall_curves(predictions), "AP", "hv"), "recall (sensitivity)", "precision")


def _square(lines: Sequence[dict[str, Any]], across: str, up: str, **layout: Any) -> Figure:
    x, y = ({"title": {"text": title}, **SHARE} for title in (across, up))
    return figure(lines, xaxis=x, yaxis=y, height=460, **layout)


def _lines(classes: Sequence[ClassCurves], what: str, shape: str) -> list[dict[str, Any]]:
    """Return a trace for each class and seed; classes beyond the colours' number are faint."""
    return [
        {
            "type": "scatter", "mode": "lines", **_thinned(across, up), "name": text_of(
                f"{short(one.name)}: {what} {one.area:.3f}"
            ),
            "legendgroup": str(one.number), "showlegend": one.number < MOST_NAMED and seed == 0,
            "line": {
                "color": colour_of(one.number) if one.number < MOST_NAMED else FAINT, "shape": shape,
                "width": 1 if seed else 2, "dash": DASHES[one.number // len(COLOURS) % len(DASHES)],
            },
            "opacity": 0.45 if seed else 1,
            "hovertemplate": "%{x:.3f}, %{y:.3f}<extra>" + text_of(short(one.name)) + "</extra>",
        }
        for one in classes for seed, (across, up) in enumerate(one.networks)
    ]  # fmt: skip


def _thinned(x: NDArray[np.float64], y: NDArray[np.float64]) -> dict[str, list[float]]:
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), MOST_POINTS)).round().astype(int))
    return {"x": x[kept].round(5).tolist(), "y": y[kept].round(5).tolist()}


def calibration(predictions: Predictions, fitted: Calibration) -> Figure:
    """Draw reliability before and after the temperature, confidence of the answers, and accuracy against coverage."""
    curves = calibration_curves(predictions, fitted)
    panels = Panels(["Reliability", "Accuracy of the surest"], 2, 320)
    for number, (name, curve) in enumerate(curves.reliabilities.items()):
        if number == 0:
            shares = curve.counts / curve.counts.sum()
            middles = (curve.edges[:-1] + curve.edges[1:]) / 2
            bars = {"type": "bar", "name": "share of answers", "x": middles.tolist(), "y": shares.tolist(),
                    "marker": {"color": FAINT}, "opacity": 0.35, "width": float(curve.edges[1] - curve.edges[0]),
                    "hovertemplate": "%{y:.1%} of the answers<extra></extra>"}  # fmt: skip
            panels.add(0, bars)
        known = curve.counts > 0
        points = {"x": curve.confidence[known].tolist(), "y": curve.accuracy[known].tolist()}
        line = {"color": colour_of(number), "width": 1.5}
        hover = "confidence %{x:.3f}: %{y:.1%} right<extra></extra>"
        panels.add(0, {"type": "scatter", "mode": "lines+markers", "name": name, **points, "line": line,
                       "hovertemplate": hover})  # fmt: skip
    surest = _thinned(curves.answered, curves.accuracy)
    panels.add(1, {"type": "scatter", "mode": "lines", "showlegend": False, **surest, "line": {"color": colour_of(0)},
                   "hovertemplate": "the surest %{x:.1%}: %{y:.1%} right<extra></extra>"})  # fmt: skip
    panels.axis(0, "x", title={"text": "confidence"}, **SHARE)
    panels.axis(0, "y", title={"text": "share of right answers"}, **SHARE)
    panels.axis(1, "x", title={"text": "share of images answered"}, **SHARE)
    diagonal = {"type": "line", "x0": 0, "y0": 0, "x1": 1, "y1": 1, "line": {"color": FAINT, "width": 1, "dash": "dot"}}
    return panels.figure(shapes=[diagonal])
