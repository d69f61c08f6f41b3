"""Figures of a comparison for a browser: the same results as in `comparison` and `hyperparameters`."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.browser_figures.curves_and_panels import (
    WIDE,
    Axis,
    Curve,
    Figure,
    Panels,
    figure,
    most_telling,
    parallel_coordinates,
    text_of,
)
from analysis.browser_figures.curves_and_panels import learning_curves as curves_of_trials
from analysis.comparison.importance import Importance
from analysis.comparison.results import Results
from analysis.comparison.sentences import name_of
from analysis.comparison.standings import Comparison, group_trials, stand
from analysis.figures.hyperparameters import Cells, heat_map_cells, parallel_columns, parallel_rows
from analysis.figures.style import COLOURS, colour_of

# as many as on paper
BLOCKS = 4
SLICES = 8


def values_with_intervals(results: Results, comparison: Comparison) -> Figure:
    """Draw each compared value's mean and 95 % interval, a panel for each block and metric."""
    blocks, metrics = results.blocks[:BLOCKS], comparison.metrics
    titles = [", ".join(filter(None, (block, name_of(metric)))) for block in blocks for metric in metrics]
    tallest = max(len(comparison.block(block)) for block in blocks)
    panels = Panels(titles, len(metrics), 60 + 26 * tallest)
    for row, block in enumerate(blocks):
        judged = [standing for standing in comparison.block(block) if standing.trial]
        for column, metric in enumerate(metrics):
            estimates = [standing.metrics[metric] for standing in judged]
            halves = [0.0 if math.isnan(estimate.half_width) else estimate.half_width for estimate in estimates]
            panel = row * len(metrics) + column
            panels.add(
                panel,
                {
                    "type": "scatter", "mode": "markers", "showlegend": False,
                    "x": [estimate.mean for estimate in estimates],
                    "y": [text_of(standing.value or "all") for standing in judged],
                    "error_x": {"type": "data", "array": halves, "thickness": 1.6, "width": 4},
                    "marker": {"size": 8, "color": colour_of(column)},
                    "customdata": [[half, estimate.n] for half, estimate in zip(halves, estimates, strict=True)],
                    "hovertemplate": "%{y}: %{x:.4f} ± %{customdata[0]:.4f}, n = %{customdata[1]}<extra></extra>",
                },
            )  # fmt: skip
            panels.axis(panel, "y", autorange="reversed", type="category", showticklabels=column == 0)
            panels.axis(panel, "x", nticks=5)
    return panels.figure()


def learning_curves(results: Results, metric: str | None = None) -> Figure:
    """Draw each trial's mean over its replicates by epoch, a panel for each block, the best trial of a value thick."""
    metric = metric or results.metric
    higher = not metric.endswith("loss") if metric != results.metric else results.mode == "max"
    epochs = results.frame("epochs", ["epoch", metric])
    best = {one.trial for one in stand(results, group_trials(results, [results.metric])) if one.trial}
    whole = set(results.trials.loc[results.trials["finished"], "trial"])
    blocks = [block for block in results.blocks if (epochs["block"] == block).any()][:BLOCKS]
    drawn = [
        curves_of_trials(
            most_telling(_curves(results, epochs[epochs["block"] == block], metric, best, whole), higher),
            metric, higher=higher, groups=results.values,
        )
        for block in blocks
    ]  # fmt: skip
    if len(drawn) == 1:
        return drawn[0]
    panels = Panels(blocks, 1, 320)
    for panel, one in enumerate(drawn):
        for trace in one["data"]:
            panels.add(panel, trace if panel == 0 else {**trace, "showlegend": False})
        panels.axis(panel, "x", **one["layout"]["xaxis"])
        panels.axis(panel, "y", **one["layout"]["yaxis"])
    return panels.figure()


def _curves(
    results: Results, epochs: pd.DataFrame, metric: str, best: Collection[str], whole: Collection[str]
) -> list[Curve]:
    """Return the curves of a block; the best trials with the range of their replicates."""
    fields = [*results.scientific, *results.nuisance]
    settings = results.trials.drop_duplicates("trial").set_index("trial")[fields].to_dict("index")
    by_epoch = epochs.sort_values("epoch").groupby(["trial", "value", "epoch"], sort=False)[metric]
    rows = by_epoch.agg(["mean", "min", "max"]).reset_index()
    numbers = rows[["mean", "min", "max"]].to_numpy(float)
    found = []
    places_of: dict[Any, Any] = rows.groupby(["trial", "value"], sort=False).indices
    for (trial, value), places in places_of.items():
        words = ", ".join(f"{name} {_word(settings[trial][name])}" for name in fields)
        middle, low, high = ([None if math.isnan(one) else one for one in part] for part in numbers[places].T.tolist())
        first = trial in best
        label = f"{trial}: {words}" if words else str(trial)
        spread = (low, high) if first and None not in low + high else None
        found.append(Curve(label, str(value), middle, trial not in whole, best=first, spread=spread))
    return found


def importance(importances: Sequence[Importance]) -> Figure:
    """Draw the share of each hyperparameter, a panel for each block."""
    known = [one for one in importances if one.shares][:BLOCKS]
    rows = max((len(one.shares) for one in known), default=1)
    panels = Panels([f"{one.block}: best {one.quantile:.0%} of {one.n} trials" for one in known], len(known) or 1)
    panels.height = 70 + 30 * rows
    for number, one in enumerate(known):
        names = sorted(one.shares, key=lambda name: one.shares[name])
        shares = [one.shares[name] for name in names]
        panels.add(
            number,
            {
                "type": "bar", "orientation": "h", "x": shares, "y": [text_of(name) for name in names],
                "text": [f"{share:.0%}" for share in shares], "textposition": "outside", "cliponaxis": False,
                "marker": {"color": COLOURS[0]}, "showlegend": False, "hovertemplate": "%{y}: %{x:.1%}<extra></extra>",
            },
        )  # fmt: skip
        panels.axis(number, "x", range=[0, 1.15], tickformat=".0%")
    return panels.figure()


def heat_map(results: Results, nuisance: str) -> Figure:
    """Draw the mean of the selecting metric for each value and setting; in brackets what stopped trials had."""
    shown = heat_map_cells(results, nuisance)
    blocks = list(shown)
    panels = Panels([str(block) for block in blocks], max(1, min(2, len(blocks))), 80 + 32 * len(results.values))
    frames: list[dict[str, Any]] = []
    for number, (_, cells) in enumerate(shown.items()):
        values = cells.done.to_numpy(float)
        low, high = cells.limits
        panels.add(
            number,
            {
                "type": "heatmap", "z": values, "x": [text_of(name) for name in cells.done.columns],
                "y": [text_of(name or "all") for name in cells.done.index], "zmin": low, "zmax": high,
                "colorscale": "Cividis", "reversescale": results.mode == "min", "showscale": number == 0,
                "text": _cell_texts(cells), "texttemplate": "%{text}", "xgap": 1, "ygap": 1,
                "hovertemplate": "%{y}, %{x}: %{text}<extra></extra>",
            },
        )  # fmt: skip
        panels.axis(number, "x", type="category", title={"text": text_of(nuisance.replace("_", " "))})
        panels.axis(number, "y", type="category", autorange="reversed")
        frames += _best_frame(cells.done, number, higher=results.mode == "max")
    return panels.figure(shapes=frames)


def _best_frame(done: pd.DataFrame, panel: int, *, higher: bool) -> list[dict[str, Any]]:
    """Return a rectangle around the best cell of a panel; none where no trial is finished."""
    values = done.to_numpy(float)
    if not np.isfinite(values).any():
        return []
    place = int(np.nanargmax(values) if higher else np.nanargmin(values))
    row, column = divmod(place, values.shape[1])
    axes = {"xref": f"x{panel + 1 if panel else ''}", "yref": f"y{panel + 1 if panel else ''}"}
    edges = {"x0": column - 0.48, "x1": column + 0.48, "y0": row - 0.46, "y1": row + 0.46}
    return [{"type": "rect", **axes, **edges, "line": {"color": COLOURS[4], "width": 2.5}}]


def _cell_texts(cells: Cells) -> list[list[str]]:
    done, reached = cells.done.to_numpy(float), cells.reached.to_numpy(float)

    def text(row: int, column: int) -> str:
        if np.isfinite(done[row, column]):
            return f"{done[row, column]:.{cells.digits}f}"
        return f"({reached[row, column]:.{cells.digits}f})" if np.isfinite(reached[row, column]) else ""

    return [[text(row, column) for column in range(done.shape[1])] for row in range(done.shape[0])]


def slices(results: Results) -> Figure:
    """Draw a panel for each compared and tuned field: every finished trial's setting and its selecting metric."""
    trials = results.trials[results.trials["finished"]]
    first = trials.drop_duplicates("trial").set_index("trial")
    scores = trials.groupby("trial", sort=False)[results.metric].mean().reindex(first.index)
    fields = [name for name in (*results.nuisance, *results.scientific) if first[name].astype(str).nunique() > 1][
        :SLICES
    ]
    panels = Panels([name.replace("_", " ") for name in fields], min(3, max(1, len(fields))), 240)
    for panel, name in enumerate(fields):
        column = first[name]
        plain = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
        for number, value in enumerate(results.values):
            own = first["value"] == value
            settings = column[own]
            panels.add(
                panel,
                {
                    "type": "scattergl" if len(first) > 2000 else "scatter", "mode": "markers",
                    "name": text_of(value or "all"), "legendgroup": str(number), "showlegend": panel == 0,
                    "x": settings.to_numpy(float) if plain else [text_of(_word(one)) for one in settings],
                    "y": scores[own].to_numpy(float), "text": [text_of(trial) for trial in settings.index],
                    "marker": {"color": colour_of(number), "size": 6, "opacity": 0.7},
                    "hovertemplate": "%{text}<br>%{x}: %{y:.4f}<extra></extra>",
                },
            )  # fmt: skip
        if plain and column.min() > 0 and column.max() / column.min() >= WIDE:
            panels.axis(panel, "x", type="log")
        elif not plain:
            panels.axis(panel, "x", type="category")
    return panels.figure()


def _word(value: Any) -> str:
    return "-".join(map(str, value)) if hasattr(value, "__len__") and not isinstance(value, str) else str(value)


def parallel(results: Results) -> Figure:
    """Draw parallel coordinates of the finished trials: settings, scores, and the complexity of their weights."""
    rows, means = parallel_rows(results, results.trials[results.trials["finished"]])
    axes = [Axis(name, [_plain(value) for value in column]) for name, column in parallel_columns(results, rows, means)]
    scores = means[results.metric].astype(float).to_list()
    return parallel_coordinates(axes, scores, higher=results.mode == "max")


def _plain(value: Any) -> Any:
    """Return a cell as a plain number or word."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        return None if value is None else _word(value)
    return None if math.isnan(float(value)) else float(value)


def pareto(results: Results, metrics: Sequence[str]) -> Figure:
    """Draw finished trials by two metrics, and the front of those that no other beats in both."""
    first, second = metrics[:2]
    trials = results.trials[results.trials["finished"]]
    means = trials.groupby("trial", sort=False)[[first, second]].mean().dropna()
    values = trials.drop_duplicates("trial").set_index("trial")["value"].reindex(means.index)
    front = front_of(
        means[first].to_list(), means[second].to_list(), [not name.endswith("loss") for name in (first, second)]
    )
    best = means.iloc[front].sort_values(first)
    line = {
        "type": "scatter", "mode": "lines", "x": best[first].to_numpy(float), "y": best[second].to_numpy(float),
        "line": {"color": COLOURS[4], "dash": "dot"}, "name": "front", "hoverinfo": "skip",
    }  # fmt: skip
    points = [
        {
            "type": "scatter", "mode": "markers", "name": text_of(value or "all"),
            "x": means[first][values == value].to_numpy(float), "y": means[second][values == value].to_numpy(float),
            "text": [text_of(trial) for trial in means.index[values == value]],
            "marker": {"color": colour_of(number), "size": 8},
            "hovertemplate": "%{text}<br>%{x:.4f}, %{y:.4f}<extra></extra>",
        }
        for number, value in enumerate(results.values)
    ]  # fmt: skip
    axes = {
        "xaxis": {"title": {"text": text_of(name_of(first))}},
        "yaxis": {"title": {"text": text_of(name_of(second))}},
    }
    return figure([line, *points], **axes, height=380)


def front_of(first: Sequence[float], second: Sequence[float], higher: Sequence[bool]) -> list[int]:
    """Return the places of the points that no other beats in one value without being worse in the other.

    >>> front_of([1.0, 2.0, 3.0, 2.0], [3.0, 2.0, 1.0, 1.0], [True, True])
    [0, 1, 2]
    """
    signs = [1.0 if up else -1.0 for up in higher]
    points = [(signs[0] * x, signs[1] * y) for x, y in zip(first, second, strict=True)]
    order = sorted(range(len(points)), key=lambda place: points[place], reverse=True)
    front: list[int] = []
    most = -math.inf
    for place in order:
        if points[place][1] > most or (front and points[place] == points[front[-1]]):
            front.append(place)
            most = points[place][1]
    return sorted(front)
