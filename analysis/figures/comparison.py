"""Figures of a comparison. Each function takes results, draws and returns the figure, for a notebook too:

>>> from analysis.figures.comparison import learning_curves                                           # doctest: +SKIP
>>> from analysis.comparison.results import load                                                      # doctest: +SKIP
>>> learning_curves(load(find_runs(["latest"])))                                           # doctest: +SKIP

Colours can be told apart by the colour-blind; what a colour says is said by a position, a mark or a word as well.
Matplotlib loads when it draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.comparison.results import Results
from analysis.comparison.sentences import name_of
from analysis.comparison.standings import Comparison, Standing, group_trials, stand
from analysis.figures.style import (
    COLOURS,
    FAINT,
    LONG,
    MARKERS,
    new_figure,
    seen_through,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Small multiples in one figure at most.
COLUMNS, PANEL_ROWS = 4, 8


@styled
def values_with_intervals(results: Results, comparison: Comparison) -> Figure:
    """Draw each scientific value's mean and interval: a row of panels a block, a panel with its own axis a metric."""
    blocks = results.blocks[:4]
    tallest = max(len(comparison.block(block)) for block in blocks)
    columns = len(comparison.metrics)
    figure, axes = new_figure(len(blocks), columns, 8.4 / columns + 0.4, 1.0 + 0.28 * tallest, sharey="row")
    for line, block in zip(axes, blocks, strict=True):
        judged = [standing for standing in comparison.block(block) if standing.trial]
        for number, (axis, metric) in enumerate(zip(line, comparison.metrics, strict=True)):
            _interval_rows(axis, judged, metric, number)
        line[0].set_yticks(range(len(judged)), [standing.value or "all" for standing in judged])
        line[0].set_ylim(len(judged) - 0.5, -0.5)
        line[0].set_title(block, loc="left", fontweight="bold")
    return figure


def _interval_rows(axis: Any, judged: Sequence[Standing], metric: str, number: int) -> None:
    """Draw means with their intervals; these end where an AUC or accuracy does."""
    from matplotlib.ticker import MaxNLocator

    rows = np.arange(len(judged))
    estimates = [standing.metrics[metric] for standing in judged]
    means = np.array([estimate.mean for estimate in estimates])
    axis.plot(means, rows, MARKERS[number], color=COLOURS[number], markersize=5)
    most = math.inf if metric.endswith("loss") else 1.0
    for row, estimate in enumerate(estimates):
        if not math.isnan(estimate.half_width):
            low, high = max(estimate.low, 0.0), min(estimate.high, most)
            axis.plot([low, high], [row, row], color=COLOURS[number], linewidth=1.6)
    axis.set_xlabel(name_of(metric))
    axis.xaxis.set_major_locator(MaxNLocator(3))
    axis.ticklabel_format(axis="x", useOffset=False)
    axis.grid(axis="x")


@styled
def learning_curves(results: Results, metric: str | None = None) -> Figure:
    """Draw a panel for each value and block: each trial's mean over its replicates by epoch.

    The best trial is thick and in another colour, trials that were stopped are faded and end in a cross.
    """
    metric = metric or results.metric
    epochs = results.frame("epochs", ["epoch", metric])
    means = epochs.groupby(["block", "value", "trial", "epoch"], sort=False)[metric].mean().reset_index()
    blocks = results.trials.groupby("block", sort=False)["value"]
    values = {str(block): list(dict.fromkeys(names)) for block, names in blocks}
    columns = min(COLUMNS, max(map(len, values.values())))
    rows = [(block, names[i : i + columns]) for block, names in values.items() for i in range(0, len(names), columns)]
    rows = rows[:PANEL_ROWS]
    best = {(s.block, s.value): s for s in stand(results, group_trials(results, [results.metric]))}
    figure, axes = new_figure(len(rows), columns, 2.7, 2.1)
    for line, (block, row) in zip(axes, rows, strict=True):
        within = means[means["block"] == block]
        for axis, value in zip(line, row, strict=False):
            part = results.trials[(results.trials["block"] == block) & (results.trials["value"] == value)]
            _curves(axis, within[within["value"] == value], metric, part, best[block, value].trial)
            _spread(axis, epochs[epochs["trial"] == best[block, value].trial], metric)
            axis.set_title(_curve_title(best[block, value], named=len(values) > 1), fontsize=8)
            _same_limits(axis, within, metric)
        for axis in line[len(row) :]:
            axis.set_axis_off()
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel(name_of(metric), fontsize=9)
    return figure


def _spread(axis: Any, epochs: pd.DataFrame, metric: str) -> None:
    """Shade the range over the seeds of the best trial."""
    groups = epochs.groupby("epoch")[metric]
    low, high = groups.min(), groups.max()
    axis.fill_between(low.index, low, high, color=COLOURS[4], alpha=0.25, linewidth=0)


def _curve_title(best: Standing, *, named: bool) -> str:
    """Write `relu`, and below it the setting of its best trial."""
    setting = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in best.nuisance.items())
    value = best.value or "all"
    return (f"{best.block}: {value}" if named else value) + f"\n{setting}" * bool(setting)


def _same_limits(axis: Any, curves: pd.DataFrame, metric: str) -> None:
    """Share the axes among the panels of a block; a few wild epochs do not flatten all others."""
    from matplotlib.ticker import MaxNLocator

    known = curves[metric].dropna()
    if len(known):
        low, high = known.quantile(0.01), known.max()
        margin = 0.05 * (high - low) or 0.01
        axis.set(ylim=(low - margin, high + margin), xlim=(0.5, curves["epoch"].max() + 0.5))
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.grid(axis="y")


def _curves(axis: Any, curves: pd.DataFrame, metric: str, trials: pd.DataFrame, best: str | None) -> None:
    from matplotlib.collections import LineCollection

    finished = trials.groupby("trial")["finished"].all().to_dict()
    curves = curves.sort_values(["trial", "epoch"])
    # as objects: NumPy's own texts lose a zero character at their end, and a name of a stranger's may have one
    names, firsts = np.unique(curves["trial"].to_numpy(object), return_index=True)
    points = np.split(curves[["epoch", metric]].to_numpy(float), firsts[1:])
    lines = dict(zip(names, points, strict=False))
    clear = seen_through(len(lines))
    for done, colour, opacity in ((False, FAINT, 0.6 * clear), (True, COLOURS[0], clear)):
        part = [line for trial, line in lines.items() if finished[trial] == done]
        pixels = len(part) > LONG
        axis.add_collection(LineCollection(part, colors=colour, alpha=opacity, linewidths=0.9, rasterized=pixels))
        if part and not done:
            ends = np.array([line[-1] for line in part])
            axis.scatter(*ends.T, marker="x", s=22, color=FAINT, linewidths=1, alpha=clear, rasterized=pixels)
    if best is not None and best in lines:
        axis.plot(*lines[best].T, color=COLOURS[4], linewidth=2.4)
