"""Figures of weight complexity: by layer, along training, and against performance. As `analysis.figures.comparison`.

Matplotlib loads when it draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.comparison.correlations import PLACE, Association, matrix_rows, part_means, trial_means
from analysis.comparison.results import Results
from analysis.comparison.sentences import name_of
from analysis.figures.style import COLOURS, FAINT, INK, LONG, colour_of, marker_of, new_figure, seen_through, styled
from analysis.statistics.rank_correlation import Correlation, spearman

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURES = ("lmc", "sample_entropy")
NAMES = {"lmc": "LMC complexity", "sample_entropy": "Sample Entropy (nat)"}
STAGES = ("initial", "best", "final")
# Tensors from which on only weight matrices are drawn.
MANY = 40


def name_of_measure(measure: str) -> str:
    """Write a measure's name as figures have it."""
    return NAMES.get(measure, measure.replace("_", " "))


@styled
def complexity_by_layer(weights: pd.DataFrame, measures: Sequence[str] = MEASURES, title: str = "") -> Figure:
    """Draw bars of each measure by tensor, coloured by module type: the best weights, with a line where they began.

    weights: rows of `weights.parquet` of models of one architecture; bars are means and standard deviations.
    """
    types, tables = by_layer(weights, measures)
    tensors, kinds = list(types), list(dict.fromkeys(types.values()))
    figure, axes = new_figure(len(measures), 1, max(4.5, 1.6 + 0.32 * len(tensors)), 1.9, sharex=True)
    for axis, measure in zip(axes[:, 0], measures, strict=True):
        _bars(axis, tables[measure], tensors, types, kinds)
        axis.set_ylabel(name_of_measure(measure))
        axis.grid(axis="y")
    axes[-1, 0].set_xticks(range(len(tensors)), tensors, rotation=60, ha="right", rotation_mode="anchor", fontsize=7)
    axes[0, 0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(len(kinds) + 1, 6))
    axes[0, 0].set_title(title, pad=24 if title else None)
    return figure


def by_layer(
    weights: pd.DataFrame, measures: Sequence[str] = MEASURES
) -> tuple[dict[str, str], dict[str, pd.DataFrame]]:
    """Return the module type of each tensor in order, and for each measure a table of means and deviations by stage.

    weights: rows of `weights.parquet` of models of one architecture. Of many tensors only the weight matrices count.
    """
    rows = weights[weights["stage"].isin(STAGES)]
    if rows["tensor"].nunique() > MANY:
        rows = rows[matrix_rows(rows)]
    first = rows.drop_duplicates("tensor").sort_values("position")
    tables = {}
    for measure in measures:
        finite = rows.assign(value=rows[measure].astype(float).replace([math.inf, -math.inf], math.nan))
        table = finite.pivot_table(index="tensor", columns="stage", values="value", aggfunc=["mean", "std"])
        tables[measure] = table.reindex(list(first["tensor"]))
    return dict(zip(first["tensor"], first["module_type"], strict=True)), tables


def _bars(axis: Any, table: pd.DataFrame, tensors: Sequence[str], types: dict[str, str], kinds: Sequence[str]) -> None:
    stage = "best" if ("mean", "best") in table else "final"
    for number, kind in enumerate(kinds):
        positions = [i for i, tensor in enumerate(tensors) if types[tensor] == kind]
        part = table.iloc[positions]
        heights = part["mean"].get(stage, pd.Series(math.nan, part.index))
        deviation = part["std"][stage] if ("std", stage) in table else None
        axis.bar(
            positions, heights, yerr=deviation, color=colour_of(number), width=0.7, label=kind,
            error_kw={"ecolor": FAINT, "elinewidth": 1},
        )  # fmt: skip
    if ("mean", "initial") in table:
        start = table["mean"]["initial"]
        axis.hlines(start, np.arange(len(start)) - 0.45, np.arange(len(start)) + 0.45, color=INK, label="at the start")


@styled
def complexity_along_training(results: Results, measures: Sequence[str] = MEASURES) -> Figure:
    """Draw each measure of the model by epoch for each value: at the start, the best epoch, the last, or at more.

    Lines are means over the finished trials of a value, weighted over weight matrices by size.
    """
    from matplotlib.ticker import MaxNLocator

    means, along = along_training(results, measures)
    blocks = results.blocks[:4]
    figure, axes = new_figure(len(blocks), len(measures), 4.2, 2.6)
    for line, block in zip(axes, blocks, strict=True):
        for axis, measure in zip(line, measures, strict=True):
            part = means[means["block"] == block]
            for value, lines in part.groupby("value", sort=False):
                number = results.values.index(str(value))
                x, y = (lines["epoch"], lines[measure]) if along else (lines["stage"], lines[measure])
                style = {"color": colour_of(number), "marker": marker_of(number), "label": str(value) or "all"}
                axis.plot(x, y, linewidth=1.4, markersize=5, **style)
            axis.set(ylabel=name_of_measure(measure), title=block, xlabel="epoch" if along else "")
            axis.grid(axis="y")
            if along:
                axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    handles = {
        label: handle for line in axes for handle, label in zip(*line[0].get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=min(len(handles), 6) or 1)
    return figure


def along_training(results: Results, measures: Sequence[str] = MEASURES) -> tuple[pd.DataFrame, bool]:
    """Return the means of each block, value and stage, and whether stages are epochs, of which there may be many."""
    weights = results.frame("weights", [*PLACE, "epoch", *measures])
    finished = results.trials.loc[results.trials["finished"], "trial"].unique()
    rows = weights[weights["trial"].isin(finished) & matrix_rows(weights)]
    epochs = rows["stage"].str.startswith("epoch_")
    rows = rows[epochs | (rows["stage"] == "initial")] if epochs.any() else rows
    return _by_stage(rows, measures), bool(epochs.any())


def _by_stage(rows: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """Return one row for each block, value and stage."""
    means_by_stage = []
    for (block, value, stage), part in rows.groupby(["block", "value", "stage"], sort=False):
        means = part_means(part, measures)[list(measures)].mean()
        means_by_stage.append({"block": block, "value": value, "stage": stage, "epoch": part["epoch"].mean(), **means})
    table = pd.DataFrame(means_by_stage, columns=["block", "value", "stage", "epoch", *measures])
    order = {stage: number for number, stage in enumerate(STAGES)}
    return table.sort_values("stage", key=lambda s: s.map(lambda stage: order.get(stage, 0))).sort_values(
        "epoch", kind="stable", key=lambda s: s if table["stage"].str.startswith("epoch_").any() else s * 0
    )


@styled
def complexity_and_performance(results: Results, measures: Sequence[str] = MEASURES, outcome: str = "") -> Figure:
    """Draw a point for each finished trial: a measure of its weights and its performance, a row of panels a block."""
    outcome = outcome or results.metric
    trials = results.trials[results.trials["finished"]]
    values = trials[["trial", "value"]].drop_duplicates("trial")
    means = trial_means(trials, [*measures, outcome]).merge(values, on="trial")
    blocks = results.blocks[:4]
    figure, axes = new_figure(len(blocks), len(measures), 4.4, 2.8, sharey="row")
    for line, block in zip(axes, blocks, strict=True):
        part = means[means["block"] == block]
        for axis, measure in zip(line, measures, strict=True):
            _points(axis, part, measure, outcome, results.values)
            axis.set(xlabel=name_of_measure(measure))
            axis.set_title(f"{block}: {rho_words(spearman(part[measure], part[outcome]))}", fontsize=8)
        line[0].set_ylabel(name_of(outcome))
    handles, labels = _handles(results.values)
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(handles), 8))
    return figure


def _points(axis: Any, means: pd.DataFrame, measure: str, outcome: str, values: Sequence[str]) -> None:
    opacity = max(0.25, 0.85 * seen_through(len(means) // 4))
    for value, part in means.groupby("value", sort=False):
        number = values.index(str(value))
        style = {"color": colour_of(number), "marker": marker_of(number), "alpha": opacity, "linewidths": 0}
        axis.scatter(part[measure], part[outcome], s=28, rasterized=len(means) > LONG, **style)
    axis.grid()


def rho_words(rho: Correlation) -> str:
    """Write a rank correlation with its interval and the number of trials."""
    if math.isnan(rho.rho):
        return "no correlation can be computed"
    return f"ρ = {rho.rho:.2f} ({rho.low:.2f} to {rho.high:.2f}), n = {rho.n}".replace("-", "−")


def _handles(values: Sequence[str]) -> tuple[list[Any], list[str]]:
    from matplotlib.lines import Line2D

    marks = [
        Line2D([], [], linestyle="", marker=marker_of(number), color=colour_of(number))
        for number in range(min(len(values), 16))
    ]
    return marks, [value or "all" for value in values[:16]]


@styled
def correlation_forest(associations: Sequence[Association], outcomes: Sequence[str]) -> Figure:
    """Draw every measure's rank correlation with each outcome, with its interval; filled where it survives."""
    measures = list(dict.fromkeys(a.measure for a in associations if not math.isnan(a.plain.rho)))
    figure, axes = new_figure(1, len(outcomes), 3.6, 0.9 + 0.2 * max(len(measures), 1), sharey=True)
    for axis, outcome in zip(axes[0], outcomes, strict=True):
        by_measure = {a.measure: a for a in associations if a.outcome == outcome}
        for row, measure in enumerate(measures):
            if (one := by_measure.get(measure)) is None or math.isnan(one.partial.rho):
                continue
            clear = one.partial_corrected < 0.05
            colour = COLOURS[4] if clear else COLOURS[0]
            axis.plot([one.partial.low, one.partial.high], [row, row], color=colour, linewidth=1.2)
            axis.plot(
                [one.partial.rho], [row], marker="D" if clear else "o", color=colour, markersize=5,
                markerfacecolor=colour if clear else "none",
            )  # fmt: skip
        axis.axvline(0, color=FAINT, linewidth=1)
        axis.set(xlim=(-1.02, 1.02), title=name_of(outcome), xlabel="Spearman's ρ")
        axis.grid(axis="x")
    axes[0, 0].set_yticks(range(len(measures)), [name.replace("_", " ") for name in measures], fontsize=7)
    axes[0, 0].set_ylim(len(measures) - 0.4, -0.6)
    return figure
