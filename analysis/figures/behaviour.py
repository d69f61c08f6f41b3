"""Figures of what layers do with the validation images. As `analysis.figures.comparison`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from analysis.figures.style import colour_of, marker_of, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURES = ("activation_entropy", "activation_sparsity", "activation_dead")
NAMES = {"activation_entropy": "entropy", "activation_sparsity": "share of zeros", "activation_dead": "dead units"}
LINES = 16  # values that colours and markers tell apart


@styled
def activations_by_layer(
    activations: pd.DataFrame, values: Sequence[str], measures: Sequence[str] = MEASURES
) -> Figure:
    """Each measure by layer, in the order of their calls: a line for each compared value, its range over trials shaded.

    activations: rows of `activations.parquet` of models whose layers have the same names, with a column `value`.
    """
    rows = activations[activations["position"] >= 0]  # -1 is the whole model
    places = rows.drop_duplicates("layer").sort_values("position")
    layers = list(places["layer"])
    labels = [f"{row.layer} {row.module_type}" for row in places.itertuples()]
    width = max(4.5, 1.6 + 0.36 * len(layers))
    figure, axes = new_figure(len(measures), 1, width, 1.7, sharex=True)
    known = [value for value in values if value in set(rows["value"])][:LINES]
    for axis, measure in zip(axes[:, 0], measures, strict=True):
        for value in known:
            part = rows[rows["value"] == value].groupby("layer")[measure]
            number = values.index(value)
            style = {"color": colour_of(number), "marker": marker_of(number), "markersize": 4, "linewidth": 1}
            axis.plot(range(len(layers)), part.mean().reindex(layers), label=value or "all", **style)
            low, high = part.min().reindex(layers), part.max().reindex(layers)
            axis.fill_between(range(len(layers)), low, high, color=colour_of(number), alpha=0.15, linewidth=0)
        axis.set_ylabel(NAMES.get(measure, measure.replace("_", " ")))
        axis.set_ylim(-0.03, 1.03)
        axis.grid(axis="y")
    axes[-1, 0].set_xticks(range(len(layers)), labels, rotation=60, ha="right", rotation_mode="anchor", fontsize=7)
    handles, texts = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=min(len(handles), 6) or 1)
    return figure
