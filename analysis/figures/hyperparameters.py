"""Figures of hyperparameters: their importance, each trial's settings and scores, and heat maps.

Matplotlib loads when it draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.comparison.importance import Importance
from analysis.comparison.labels import texts_of
from analysis.comparison.results import Results
from analysis.comparison.sentences import name_of
from analysis.figures.style import (
    COLOURS,
    FAINT,
    INK,
    LONG,
    PAPER,
    colour_of,
    new_figure,
    seen_through,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The least span of a heat map's colours.
LEAST_SPAN = 0.01


@styled
def importance(importances: Sequence[Importance]) -> Figure:
    """Draw the share of each hyperparameter, a panel for each block."""
    known = [one for one in importances if one.shares][:4]
    rows = max((len(one.shares) for one in known), default=1)
    figure, axes = new_figure(1, max(len(known), 1), 3.6, 0.9 + 0.35 * rows)
    for axis, one in zip(axes[0], known, strict=False):
        names = sorted(one.shares, key=lambda name: one.shares[name])
        bars = axis.barh(names, [one.shares[name] for name in names], color=COLOURS[0], height=0.6)
        axis.bar_label(bars, [f"{one.shares[name]:.0%}" for name in names], padding=3, fontsize=8, color=INK)
        axis.set(xlim=(0, 1.15), title=one.block, xlabel=f"share, best {one.quantile:.0%} of {one.n} trials")
        axis.set_xticks([0, 0.5, 1])
    return figure


@styled
def parallel_coordinates(results: Results) -> Figure:
    """Draw a line for each finished trial through its hyperparameters, its scores and its complexity, a panel a block.

    The colour is the rank of the selecting metric within the block, light for the best.
    """
    blocks = results.blocks[:4]
    figure, axes = new_figure(len(blocks), 1, 9.0, 3.0)
    for axis, block in zip(axes[:, 0], blocks, strict=True):
        _parallel(axis, results, results.trials[(results.trials["block"] == block) & results.trials["finished"]])
        axis.set_title(block)
    return figure


def _parallel(axis: Any, results: Results, rows: pd.DataFrame) -> None:
    trials, means = parallel_rows(results, rows)
    columns = parallel_columns(results, trials, means)
    heights = [_axis_of(axis, number, column) for number, (_, column) in enumerate(columns)]
    if heights and len(trials):
        ranks = means[results.metric].rank(ascending=results.mode == "max", pct=True)
        _coloured_lines(axis, np.array(heights).T, ranks.to_numpy())
    axis.set(xlim=(-0.15, len(columns) - 0.55), ylim=(-0.06, 1.1))
    axis.set_xticks(range(len(columns)), [name.replace("_", " ") for name, _ in columns])
    axis.set_yticks([])
    for side in axis.spines.values():
        side.set_visible(False)


def parallel_rows(results: Results, rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return one row for each trial, and the means over its replicates of what parallel coordinates show."""
    trials = rows.drop_duplicates("trial").set_index("trial")
    shown = list(dict.fromkeys((results.metric, "test_auc", "lmc", "sample_entropy")))
    return trials, rows.groupby("trial")[shown].mean().reindex(trials.index)


def parallel_columns(results: Results, trials: pd.DataFrame, means: pd.DataFrame) -> list[tuple[str, pd.Series]]:
    """Return the axes of parallel coordinates: the fields that differ, then the scores and measures that are known."""
    fields = [name for name in (*results.scientific, *results.nuisance) if _texts(trials[name]).nunique() > 1]
    columns: list[tuple[str, pd.Series]] = [(name, trials[name]) for name in fields]
    return columns + [(str(name), means[name]) for name in means if means[name].notna().any()]


def _axis_of(axis: Any, number: int, column: pd.Series) -> np.ndarray:
    """Draw one upright axis with its labels; returns the height of each trial on it."""
    axis.axvline(number, ymin=0.05, ymax=0.92, color=FAINT, linewidth=1)
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        texts = _texts(column)
        levels = list(dict.fromkeys(texts))
        marks = {level: (i + 0.5) / len(levels) for i, level in enumerate(levels)}
        heights = texts.map(marks).to_numpy(float)
    else:
        numbers = column.to_numpy(float)
        low, high = np.nanmin(numbers), np.nanmax(numbers)
        scale = np.log if low > 0 and high / low >= 10 else np.asarray
        span = float(scale(high) - scale(low)) or 1.0
        heights = (scale(numbers) - scale(low)) / span
        unique = np.unique(numbers[np.isfinite(numbers)])
        ticks = unique if len(unique) <= 6 else np.array([low, high])
        marks = {f"{tick:.3g}": float((scale(tick) - scale(low)) / span) for tick in ticks}
    for text, height in list(marks.items())[:40]:
        box = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.2}
        axis.text(number, height, text, fontsize=7, va="center", ha="center", color=INK, zorder=5, bbox=box)
    return np.nan_to_num(heights, nan=0.5)


def _coloured_lines(axis: Any, heights: np.ndarray, ranks: np.ndarray) -> None:
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection

    order = np.argsort(ranks)
    lines = [np.column_stack([np.arange(heights.shape[1]), heights[i]]) for i in order]
    colours = colormaps["viridis"](0.05 + 0.87 * np.nan_to_num(ranks[order]))
    opacity, pixels = 0.75 * seen_through(len(lines)), len(lines) > LONG
    axis.add_collection(LineCollection(lines, colors=colours, linewidths=1.4, alpha=opacity, rasterized=pixels))


@styled
def heat_map(results: Results, nuisance: str) -> Figure:
    """Draw the mean of the selecting metric for each scientific value and setting of one nuisance field, by block.

    Cells without a finished trial show what the stopped ones had reached, in brackets.
    """
    shown = heat_map_cells(results, nuisance)
    blocks, rows = list(shown), results.values
    columns = list(next(iter(shown.values())).done.columns)
    figure, axes = new_figure(
        1, len(blocks), max(2.6 + 0.66 * len(columns), 3.6), 1.0 + 0.3 * len(rows), sharey=True, squeeze=False
    )
    for axis, block in zip(axes[0], blocks, strict=True):
        image = _cells(axis, shown[block], results.mode)
        figure.colorbar(image, ax=axis, label=name_of(results.metric), shrink=0.8, pad=0.02)
        axis.set(title=block, xlabel=nuisance.replace("_", " "))
        tilt = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if max(map(len, columns)) > 6 else {}
        axis.set_xticks(range(len(columns)), columns, **tilt)
        axis.set_yticks(range(len(rows)), [row or "all" for row in rows])
        axis.tick_params(length=0)
    return figure


@dataclass(frozen=True)
class Cells:
    """The means of a heat map, by value and setting: over the finished trials, and over all.

    limits: of the colours, which span 0.01 at least. digits: of the texts.
    """

    done: pd.DataFrame
    reached: pd.DataFrame
    limits: tuple[float, float]
    digits: int


def heat_map_cells(results: Results, nuisance: str) -> dict[str, Cells]:
    """Return the cells of each block; those of all have the same rows and columns."""
    trials = results.trials.assign(setting=_binned(results.trials[nuisance]))
    columns = list(dict.fromkeys(trials.sort_values(nuisance)["setting"]))
    shown = {}
    for block in results.blocks[:4]:
        part = trials[trials["block"] == block]
        done, reached = (
            rows.pivot_table(index="value", columns="setting", values=results.metric).reindex(
                results.values, columns=columns
            )
            for rows in (part[part["finished"]], part)
        )
        known = done.to_numpy(float)
        known = known[np.isfinite(known)]
        low, high = (known.min(), known.max()) if known.size else (0.0, 1.0)
        digits = 3 if high - low >= LEAST_SPAN else 4
        limits = (min(low, high - LEAST_SPAN), high) if results.mode == "max" else (low, max(high, low + LEAST_SPAN))
        shown[block] = Cells(done, reached, limits, digits)
    return shown


def _texts(column: pd.Series) -> pd.Series:
    return pd.Series(texts_of(column), column.index)


def _binned(column: pd.Series) -> pd.Series:
    """Return texts of the settings; numbers of many kinds in six bins of as many trials each."""
    if pd.api.types.is_numeric_dtype(column) and column.nunique() > 8:
        bins = pd.qcut(column, 6, duplicates="drop")
        # The first bin begins a little below it.
        least = column.min()
        return bins.map(lambda bin_: f"{max(bin_.left, least):.2g}–{bin_.right:.2g}").astype(str)
    return _texts(column)


def _cells(axis: Any, cells: Cells, mode: str) -> Any:
    """Draw the cells; returns the coloured image. Values that differ by less than 0.01 differ little in colour."""
    values, digits = cells.done.to_numpy(float), cells.digits
    known = values[np.isfinite(values)]
    low, high = cells.limits
    colours = "cividis" if mode == "max" else "cividis_r"
    image = axis.imshow(values, cmap=colours, aspect="auto", vmin=low, vmax=high)
    for (row, column), value in np.ndenumerate(cells.reached.to_numpy(float)):
        finished = np.isfinite(values[row, column])
        if not np.isfinite(value):
            continue
        share = (values[row, column] - low) / (high - low) if finished else math.nan
        light = share > 0.45 if mode == "max" else share < 0.55
        text = f"{values[row, column]:.{digits}f}" if finished else f"({value:.{digits}f})"
        colour = FAINT if not finished else "#000002" if light else "#fffffe"
        axis.text(column, row, text, ha="center", va="center", fontsize=7.5, color=colour)
    if known.size:
        best = np.nanargmax(values) if mode == "max" else np.nanargmin(values)
        row, column = np.unravel_index(int(best), values.shape)
        axis.add_patch(_frame(float(column), float(row)))
    return image


def _frame(column: float, row: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.47, row - 0.45), 0.94, 0.9, fill=False, edgecolor=colour_of(4), linewidth=2)
