"""Figures of a trial. Each function draws with matplotlib and returns the figure; nothing is shown on a screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.figures.style import INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe & Ito's colours, which the colour-blind distinguish.
COLOURS = {"train": "#0072B2", "val": "#E69F00", "test": "#009E73"}
Row = Mapping[str, Any]


def _figure(columns: int, title: str, *, whole: bool = False) -> tuple[Figure, Any]:
    """Return a row of axes; whole: the x axis counts."""
    from matplotlib.figure import Figure as NewFigure
    from matplotlib.ticker import MaxNLocator

    width = 4 * columns
    # No pyplot: it has global state, which a worker must not share.
    figure = NewFigure(figsize=(width, 3.2))
    # Margins in inches: matplotlib's own layouts would draw the figure twice, and every trial has two.
    figure.subplots_adjust(left=0.5 / width, right=1 - 0.15 / width, bottom=0.15, top=0.8, wspace=0.2)
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for axis in axes:
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=whole))
        axis.yaxis.set_major_locator(MaxNLocator(4))
    return figure, axes


# Panels of a figure at most.
PANELS = 6
FIRST = ("loss", "auc", "acc")


def training_curves(epochs: Sequence[Row], title: str, best_epochs: Sequence[int], metrics: Sequence[str]) -> Figure:
    """Draw each metric of each split by epoch, and the learning rate: mean over replicates, range shaded.

    epochs: rows of `epochs.parquet` of one trial; best_epochs: one for each replicate, marked by dotted lines. metrics:
    `val_loss` and the like; those of one name share a panel.
    """
    panels = panels_of(metrics)
    rates = "lr_used" in epochs[0] if epochs else True
    figure, axes = _figure(max(1, len(panels) + rates), title, whole=True)
    steps = sorted({row["epoch"] for row in epochs})
    for axis, (name, curves) in zip(axes, panels.items(), strict=False):
        for split, metric in curves.items():
            colour = COLOURS.get(split, INK)
            values = _by_epoch(epochs, steps, metric)
            axis.plot(steps, _mean(values), color=colour, label=split, marker="." if len(steps) < 3 else "")
            axis.fill_between(steps, values.min(axis=1), values.max(axis=1), color=colour, alpha=0.2, linewidth=0)
        for number, epoch in enumerate(sorted(set(best_epochs))):
            label = "" if number else "best epoch of a seed"
            axis.axvline(epoch, color="0.6", linestyle=":", linewidth=1, label=label)
        axis.set(xlabel="epoch", title=name)
    seeds = len({row["seed"] for row in epochs})
    shade = f"mean and range of {seeds} seeds" if seeds > 1 else None
    axes[0].legend(frameon=False, fontsize=8, title=shade, title_fontsize=8)
    if rates:
        axes[-1].plot(steps, _mean(_by_epoch(epochs, steps, "lr_used")), color="0.3")
        axes[-1].set(xlabel="epoch", title="learning rate")
    return figure


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


def weight_distributions(before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray], title: str) -> Figure:
    """Draw histograms of each weight matrix before (outline) and after training, at most the 8 largest."""
    names = largest_matrices(after)
    figure, axes = _figure(max(len(names), 1), title)
    for axis, name in zip(axes, names, strict=False):
        _histogram(axis, after[name], color=COLOURS["train"], alpha=0.6, fill=True, label="best")
        if name in before:
            _histogram(axis, before[name], color=INK, linewidth=0.8, label="initial")
        axis.set_title(f"{name}\n{tuple(after[name].shape)}", fontsize=8)
        axis.set_xlabel("weight")
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def largest_matrices(weights: Mapping[str, np.ndarray], most: int = 8) -> list[str]:
    """Return the names of the largest weight matrices, in the order of the network."""
    matrices = (name for name in weights if weights[name].ndim >= 2)
    names = sorted(matrices, key=lambda name: weights[name].size, reverse=True)[:most]
    return sorted(names, key=list(weights).index)


def _histogram(axis: Any, weights: np.ndarray, **style: Any) -> None:
    values = weights[np.isfinite(weights)]
    if values.size:
        axis.stairs(*np.histogram(values.astype(np.float64), bins=60, density=True), **style)


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
