"""Figures of weights and layers for a browser: the same as in `complexity`, `behaviour` and `trial`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.browser_figures.curves_and_panels import Figure, Panels, text_of
from analysis.comparison.correlations import Association, trial_means
from analysis.comparison.results import Results
from analysis.comparison.sentences import name_of
from analysis.figures import behaviour
from analysis.figures.complexity import MEASURES, along_training, by_layer, name_of_measure, rho_words
from analysis.figures.style import COLOURS, FAINT, INK, colour_of
from analysis.figures.trial import largest_matrices
from analysis.statistics.rank_correlation import spearman

# as many as on paper
BLOCKS = 4
BINS = 60


def complexity_by_layer(weights: pd.DataFrame, measures: Sequence[str] = MEASURES) -> Figure:
    """Draw bars of each measure by tensor, coloured by module type: the best weights, with a mark where they began.

    weights: rows of `weights.parquet` of models of one architecture; bars are means and standard deviations.
    """
    types, tables = by_layer(weights, measures)
    kinds = list(dict.fromkeys(types.values()))
    panels = Panels([name_of_measure(measure) for measure in measures], 1, 240)
    tensors = [text_of(name) for name in types]
    for panel, measure in enumerate(measures):
        table = tables[measure]
        stage = "best" if ("mean", "best") in table else "final"
        for number, kind in enumerate(kinds):
            part = table[[types[tensor] == kind for tensor in table.index]]
            bars: dict[str, Any] = {
                "type": "bar", "name": text_of(kind), "legendgroup": kind, "showlegend": panel == 0,
                "x": [text_of(name) for name in part.index], "marker": {"color": colour_of(number)},
                "y": _column(part, "mean", stage),
                "hovertemplate": "%{x}: %{y:.4f}<extra>" + text_of(kind) + "</extra>",
            }  # fmt: skip
            deviations = _column(part, "std", stage)
            if any(value is not None for value in deviations):
                bars["error_y"] = {"type": "data", "array": deviations, "color": FAINT, "thickness": 1, "width": 2}
            panels.add(panel, bars)
        panels.add(
            panel,
            {
                "type": "scatter", "mode": "markers", "name": "at the start", "legendgroup": "start",
                "showlegend": panel == 0, "x": tensors, "y": _column(table, "mean", "initial"),
                "marker": {"symbol": "line-ew", "size": 18, "color": INK, "line": {"width": 1.5, "color": INK}},
                "hovertemplate": "%{x}: %{y:.4f} at the start<extra></extra>",
            },
        )  # fmt: skip
        last = panel == len(measures) - 1
        order = {"categoryorder": "array", "categoryarray": tensors, "automargin": True, "tickangle": -50}
        panels.axis(panel, "x", type="category", showticklabels=last, **order)
    return panels.figure(barmode="overlay", legend={"orientation": "h", "y": 1.06, "yanchor": "bottom"})


def _column(table: pd.DataFrame, what: str, stage: str) -> list[float | None]:
    values = table[what, stage] if (what, stage) in table else pd.Series(math.nan, table.index)
    return [float(value) if math.isfinite(value) else None for value in values]


def complexity_along_training(results: Results, measures: Sequence[str] = MEASURES) -> Figure:
    """Draw each measure of the model for each value: at the start, the best epoch, the last, or at more."""
    means, along = along_training(results, measures)
    blocks = results.blocks[:BLOCKS]
    titles = [", ".join(filter(None, (block, name_of_measure(measure)))) for block in blocks for measure in measures]
    panels = Panels(titles, len(measures), 270)
    for row, block in enumerate(blocks):
        for column, measure in enumerate(measures):
            panel = row * len(measures) + column
            part = means[means["block"] == block]
            for value, lines in part.groupby("value", sort=False):
                number = results.values.index(str(value))
                panels.add(
                    panel,
                    {
                        "type": "scatter", "mode": "lines+markers", "name": text_of(value or "all"),
                        "legendgroup": str(number), "showlegend": panel == 0,
                        "x": lines["epoch" if along else "stage"].to_list(),
                        "y": [float(one) if math.isfinite(one) else None for one in lines[measure]],
                        "line": {"color": colour_of(number), "width": 1.5}, "marker": {"size": 6},
                        "hovertemplate": "%{x}: %{y:.4f}<extra>" + text_of(value or "all") + "</extra>",
                    },
                )  # fmt: skip
            if along:
                panels.axis(panel, "x", title={"text": "epoch"})
    return panels.figure()


def complexity_and_performance(results: Results, measures: Sequence[str] = MEASURES) -> Figure:
    """Draw a point for each finished trial: a measure of its weights, and its performance."""
    trials = results.trials[results.trials["finished"]]
    values = trials[["trial", "value"]].drop_duplicates("trial")
    means = trial_means(trials, [*measures, results.metric]).merge(values, on="trial")
    blocks = results.blocks[:BLOCKS]
    titles = []
    for block in blocks:
        part = means[means["block"] == block]
        titles += [f"{block}: {rho_words(spearman(part[measure], part[results.metric]))}" for measure in measures]
    panels = Panels(titles, len(measures), 280)
    for row, block in enumerate(blocks):
        for column, measure in enumerate(measures):
            panel = row * len(measures) + column
            panels.axis(panel, "x", title={"text": name_of_measure(measure)})
            panels.axis(panel, "y", title={"text": text_of(name_of(results.metric)) if column == 0 else ""})
            for number, value in enumerate(results.values):
                own = means[(means["block"] == block) & (means["value"] == value)]
                panels.add(
                    panel,
                    {
                        "type": "scattergl" if len(means) > 2000 else "scatter", "mode": "markers",
                        "x": own[measure].to_numpy(float), "y": own[results.metric].to_numpy(float),
                        "name": text_of(value or "all"), "legendgroup": str(number), "showlegend": panel == 0,
                        "text": [text_of(trial) for trial in own["trial"]],
                        "marker": {"color": colour_of(number), "size": 7, "opacity": 0.75},
                        "hovertemplate": "%{text}<br>%{x:.4g}: %{y:.4f}<extra></extra>",
                    },
                )  # fmt: skip
    return panels.figure()


def correlation_forest(associations: Sequence[Association], outcomes: Sequence[str]) -> Figure:
    """Draw every measure's rank correlation with each outcome, with its interval; filled where it survives."""
    measures = list(dict.fromkeys(one.measure for one in associations if not math.isnan(one.plain.rho)))
    panels = Panels([name_of(outcome) for outcome in outcomes], len(outcomes), 60 + 18 * max(len(measures), 1))
    for panel, outcome in enumerate(outcomes):
        by_measure = {one.measure: one for one in associations if one.outcome == outcome}
        shown = [one for name in measures if (one := by_measure.get(name)) and not math.isnan(one.partial.rho)]
        clear = [one.partial_corrected < 0.05 for one in shown]
        colours = [COLOURS[4] if survives else COLOURS[0] for survives in clear]
        for colour in dict.fromkeys(colours):
            part = [one for one, own in zip(shown, colours, strict=True) if own == colour]
            survives = colour == COLOURS[4]
            panels.add(
                panel,
                {
                    "type": "scatter", "mode": "markers", "showlegend": False,
                    "x": [one.partial.rho for one in part], "y": [_plain_name(one.measure) for one in part],
                    "error_x": {
                        "type": "data", "symmetric": False, "thickness": 1.3, "width": 0,
                        "array": [_length(one.partial.high - one.partial.rho) for one in part],
                        "arrayminus": [_length(one.partial.rho - one.partial.low) for one in part],
                    },
                    "marker": {"symbol": "diamond" if survives else "circle-open", "size": 8, "color": colour},
                    "customdata": [[one.partial.low, one.partial.high, one.partial_corrected] for one in part],
                    "hovertemplate": "%{y}: ρ = %{x:.2f} (%{customdata[0]:.2f} to %{customdata[1]:.2f}), "
                    "corrected p = %{customdata[2]:.3g}<extra></extra>",
                },
            )  # fmt: skip
        panels.axis(panel, "x", range=[-1.02, 1.02], title={"text": "Spearman's ρ"})
        order = {"categoryorder": "array", "categoryarray": [_plain_name(name) for name in measures]}
        panels.axis(panel, "y", type="category", autorange="reversed", showticklabels=panel == 0, **order)
    return panels.figure()


def _plain_name(measure: str) -> str:
    return text_of(measure.replace("_", " "))


def _length(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def weight_distributions(before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]) -> Figure:
    """Draw histograms of each weight matrix before (outline) and after training, at most the 8 largest."""
    names = largest_matrices(after)
    panels = Panels([f"{name} {tuple(after[name].shape)}" for name in names], min(4, max(1, len(names))), 210)
    for panel, name in enumerate(names):
        shared = {"showlegend": panel == 0, "hovertemplate": "%{x:.4f}: density %{y:.3g}<extra></extra>"}
        trained = {"name": "best", "legendgroup": "best", "fill": "tozeroy", "line": {"color": COLOURS[0], "width": 1}}
        panels.add(panel, {**_histogram(after[name]), **trained, **shared})
        if name in before:
            outline = {"name": "initial", "legendgroup": "initial", "line": {"color": INK, "width": 1}}
            panels.add(panel, {**_histogram(before[name]), **outline, **shared})
        panels.axis(panel, "y", rangemode="tozero", nticks=4)
        panels.axis(panel, "x", nticks=5)
    return panels.figure()


def _histogram(weights: np.ndarray) -> dict[str, Any]:
    """Return the outline of a histogram: each bin's height twice, so that the last has a width as well."""
    values = weights[np.isfinite(weights)].astype(np.float64)
    heights, edges = np.histogram(values, bins=BINS, density=True) if values.size else (np.array([]), np.array([]))
    x = np.repeat(edges, 2)
    y = np.concatenate([[0], np.repeat(heights, 2), [0]]) if values.size else heights
    return {"type": "scatter", "mode": "lines", "x": x.tolist(), "y": y.tolist()}


def activations_by_layer(
    activations: pd.DataFrame, values: Sequence[str], measures: Sequence[str] = behaviour.MEASURES
) -> Figure:
    """Draw each measure by layer, in the order of calls: a line for each value, bars for its range over trials.

    activations: rows of `activations.parquet` of models whose layers have the same names, with a column `value`.
    """
    # position -1 is the whole model
    rows = activations[activations["position"] >= 0]
    first = rows.drop_duplicates("layer").sort_values("position")
    labels = [text_of(f"{row.layer} {row.module_type}") for row in first.itertuples()]
    panels = Panels([behaviour.NAMES.get(name, name.replace("_", " ")) for name in measures], 1, 190)
    for panel, measure in enumerate(measures):
        for value in [value for value in values if value in set(rows["value"])][: behaviour.LINES]:
            part = rows[rows["value"] == value].groupby("layer")[measure]
            middle, low, high = (getattr(part, how)().reindex(first["layer"]) for how in ("mean", "min", "max"))
            number = values.index(value)
            panels.add(
                panel,
                {
                    "type": "scatter", "mode": "lines+markers", "x": labels, "y": _finite(middle),
                    "name": text_of(value or "all"), "legendgroup": str(number), "showlegend": panel == 0,
                    "line": {"color": colour_of(number), "width": 1.2}, "marker": {"size": 5},
                    "error_y": {
                        "type": "data", "symmetric": False, "thickness": 1, "width": 2, "color": colour_of(number),
                        "array": _finite(high - middle), "arrayminus": _finite(middle - low),
                    },
                    "hovertemplate": "%{x}: %{y:.4f}<extra>" + text_of(value or "all") + "</extra>",
                },
            )  # fmt: skip
        panels.axis(panel, "y", range=[-0.03, 1.03])
        last = panel == len(measures) - 1
        panels.axis(panel, "x", type="category", showticklabels=last, automargin=True, tickangle=-50)
    return panels.figure(legend={"orientation": "h", "y": 1.06, "yanchor": "bottom"})


def _finite(values: pd.Series) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]
