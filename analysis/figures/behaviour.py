"""Figures of layers on the validation images. As `analysis.figures.comparison`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from analysis.figures.style import colour_of, marker_of, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURES = ("activation_entropy", "activation_sparsity", "activation_dead")
NAMES = {"activation_entropy": "entropy", "activation_sparsity": "share of zeros", "activation_dead": "dead units"}
# Values that colours and markers tell apart.
LINES = 16


@styled
def activations_by_layer(
    activations: pd.DataFrame, values: Sequence[str], measures: Sequence[str] = MEASURES
) -> Figure:
    """Draw each measure by layer, in the order of calls: a line for each value, its range over trials shaded.

    activations: rows of `activations.parquet` of models whose layers have the same names, with a column `value`.
    """
    # Position -1 is the whole model.
    rows = activations[activations["position"] >= 0]
    first = rows.drop_duplicates("layer").sort_values("position")
    layers = list(first["layer"])
    labels = [f"{row.layer} {row.module_type}" for row in first.itertuples()]
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
