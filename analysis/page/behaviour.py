"""The report's section on layers and data, where that was measured (`analysis.complexity RUN --on-data`)."""

from __future__ import annotations

from functools import partial

import pandas as pd

from analysis.browser_figures import complexity as interactive_complexity
from analysis.comparison.compare_runs import ComparedRuns
from analysis.figures import behaviour as figures_behaviour
from analysis.page.parts import Drawing, Paragraph, Section

# Blocks and architectures with a figure of their own.
MODELS = 4


def behaviour(compared: ComparedRuns) -> Section | None:
    """Draw the activations by layer; None where nothing was measured."""
    results = compared.everything
    rows = results.frame("activations")
    if rows.empty:
        return None
    layers = {trial: " ".join(dict.fromkeys(part["layer"])) for trial, part in rows.groupby("trial")}
    rows = rows.assign(layers=rows["trial"].map(layers))
    models = results.trials.drop_duplicates("trial").set_index("trial")["model"]
    text = (
        "Of each layer's outputs on the validation images, at the best epoch: their entropy in 100 bins as a share of "
        "the largest possible, the share that is exactly 0, and the share of units that are 0 for every image."
    )
    kinds = [part for _, part in rows.groupby(["block", "layers"], sort=False)]
    drawings = [
        _drawing(number, str(models[part["trial"].iloc[0]]), part, results.values)
        for number, part in enumerate(kinds[:MODELS])
    ]
    return Section("behaviour", "What the layers do with data", (Paragraph(text), *drawings))


def _drawing(number: int, model: str, part: pd.DataFrame, values: list[str]) -> Drawing:
    count = part["trial"].nunique()
    caption = (
        f"Activations by layer of {model} on {part['block'].iloc[0]}: means over {count} trials and their seeds for "
        "each value, their range shaded."
    )
    draw = partial(figures_behaviour.activations_by_layer, part, values)
    live = partial(interactive_complexity.activations_by_layer, part, values)
    return Drawing(f"activations_by_layer_{number}", draw, caption, live)
