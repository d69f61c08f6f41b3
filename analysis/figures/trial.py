"""Figures of a trial: those that every trial has, as small charts, and those of a page, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.figures.small_charts import Band, Bars, Chart, Line
from analysis.figures.style import INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe & Ito's colours, which the colour-blind distinguish.
COLOURS = {"train": "#0072B2", "val": "#E69F00", "test": "#009E73"}
Row = Mapping[str, Any]


# Panels of a figure at most.
PANELS = 6
FIRST = ("loss", "auc", "acc")


def training_curves(epochs: Sequence[Row], best_epochs: Sequence[int], metrics: Sequence[str]) -> list[Chart]:
    """Chart each metric of each split by epoch, and the learning rate: mean over replicates, range shaded.

    epochs: rows of `epochs.parquet` of one trial; best_epochs: one for each replicate, marked by dotted lines. metrics:
    `val_loss` and the like; those of one name share a chart.
    """
    steps, marks = sorted({row["epoch"] for row in epochs}), sorted(set(best_epochs))
    charts = []
    for name, curves in panels_of(metrics).items():
        bands, lines = [], []
        for split, metric in curves.items():
            values = _by_epoch(epochs, steps, metric)
            # the train split may not be evaluated after every epoch
            known = np.isfinite(values).all(axis=1)
            there, values = np.array(steps)[known], values[known]
            bands.append(Band(there, values.min(axis=1), values.max(axis=1), _colour(split)))
            lines.append(Line(there, _mean(values), _colour(split), split))
        charts.append(Chart(name, "epoch", bands, lines=lines, marks=marks, whole=True))
    if not epochs or "lr_used" in epochs[0]:
        rate = Line(steps, _mean(_by_epoch(epochs, steps, "lr_used")), INK)
        charts.append(Chart("learning rate", "epoch", lines=[rate], whole=True))
    return charts


def _colour(split: str) -> str:
    return COLOURS.get(split, INK)


def panels_of(metrics: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return `{"loss": {"train": "train_loss", "val": "val_loss"}, ...}`, at most `PANELS`."""
    found: dict[str, dict[str, str]] = {name: {} for name in FIRST}
    for metric in metrics:
        split, _, name = metric.partition("_")
        split, name = (split, name) if split in COLOURS and name else ("", metric)
        found.setdefault(name, {})[split] = metric
    return dict([(name, curves) for name, curves in found.items() if curves][:PANELS])


def _by_epoch(epochs: Sequence[Row], steps: Sequence[int], name: str) -> np.ndarray:
    """Return a metric by epoch, (epochs, replicates)."""
    values: dict[int, list[float]] = {step: [] for step in steps}
    for row in epochs:
        values[row["epoch"]].append(np.nan if row[name] is None else row[name])
    return np.array([values[step] for step in steps], float)


def _mean(values: np.ndarray) -> np.ndarray:
    mean: np.ndarray = values.mean(axis=1)
    return mean


def weight_charts(before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]) -> list[Chart]:
    """Chart histograms of each weight matrix before (outline) and after training, at most the 8 largest."""
    charts = []
    for name in largest_matrices(after):
        bars = [_histogram(after[name], COLOURS["train"], "best", filled=True)]
        bars += [_histogram(before[name], INK, "initial", filled=False)] if name in before else []
        charts.append(Chart(f"{name}\n{tuple(after[name].shape)}", "weight", bars=[each for each in bars if each]))
    return charts


def largest_matrices(weights: Mapping[str, np.ndarray], most: int = 8) -> list[str]:
    """Return the names of the largest weight matrices, in the order of the network."""
    matrices = (name for name in weights if weights[name].ndim >= 2)
    names = sorted(matrices, key=lambda name: weights[name].size, reverse=True)[:most]
    return sorted(names, key=list(weights).index)


def _histogram(weights: np.ndarray, colour: str, label: str, filled: bool) -> Bars | None:
    values = weights[np.isfinite(weights)]
    if not values.size:
        return None
    heights, edges = np.histogram(values.astype(np.float64), bins=60, density=True)
    return Bars(edges, heights, colour, label, filled)


def weight_distributions(before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]) -> Figure:
    """Draw `weight_charts` with matplotlib, for a page."""
    from matplotlib.figure import Figure as NewFigure
    from matplotlib.ticker import MaxNLocator

    charts = weight_charts(before, after)
    width = 4 * max(len(charts), 1)
    figure = NewFigure(figsize=(width, 3.2))
    # Margins in inches: matplotlib's own layouts would draw the figure twice.
    figure.subplots_adjust(left=0.5 / width, right=1 - 0.15 / width, bottom=0.15, top=0.8, wspace=0.2)
    axes = figure.subplots(1, max(len(charts), 1), squeeze=False)[0]
    for axis, chart in zip(axes, charts, strict=False):
        axis.xaxis.set_major_locator(MaxNLocator(4))
        axis.yaxis.set_major_locator(MaxNLocator(4))
        for bars in chart.bars:
            style: Any = {"alpha": 0.6, "fill": True} if bars.filled else {"linewidth": 0.8}
            axis.stairs(bars.heights, bars.edges, color=bars.colour, label=bars.label, **style)
        axis.set_title(chart.title, fontsize=8)
        axis.set_xlabel(chart.x_label)
    if charts:
        axes[0].legend(frameon=False, fontsize=8)
    return figure


def schedules(curves: Mapping[str, Sequence[float]], steps_per_epoch: int) -> Figure:
    """Draw learning-rate curves as shares of their peak, a panel each; a curve has one value per optimiser step."""
    from matplotlib.figure import Figure as NewFigure

    rows = -(-len(curves) // 4)
    figure = NewFigure(figsize=(12, 2 * rows), layout="constrained")
    axes = figure.subplots(rows, 4, sharex=True, sharey=True, squeeze=False).ravel()
    for axis, (name, values) in zip(axes, curves.items(), strict=False):
        axis.plot(np.arange(len(values)) / steps_per_epoch, values, color=COLOURS["train"])
        axis.set_title(name, fontsize=9)
    for axis in axes[len(curves) :]:
        axis.set_visible(False)
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel("share of the peak rate", fontsize=9)
    return figure


def save(figure: Figure, path: Path, dpi: int = 100) -> None:
    """Write a figure in the format of its suffix (.png, .svg)."""
    figure.savefig(path, dpi=dpi)
