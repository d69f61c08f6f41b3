"""The report's sections on the complexity of weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from analysis.comparison.correlations import PLACE, Association
from analysis.comparison.sentences import association_words, name_of
from analysis.comparison.tables import associations_grid, held_words
from analysis.figures import complexity as figures_complexity
from analysis.page.html import Section, paragraph, table
from analysis.page.sections import Drawer, ReportData, weight_distributions

# Blocks and architectures with bars of their own.
MODELS = 4
# Associations in a table.
SHOWN = 12
ORDER_WARNING = (
    "A flattened weight tensor is a series in an arbitrary order: Sample Entropy and the other ordered measures "
    "(permutation, spectral and multiscale entropy, compressibility) depend on it. What counts is how far they are "
    "from the same weights shuffled, which stands beside each of them in weights.parquet (…_shuffled, …_z). "
    "Near-independent Gaussian weights have a Sample Entropy of about 2.18, whatever the layer. Measures that "
    "depend on the number of weights (LMC among them) cannot be compared between layers of different "
    "size without their baseline."
)


def weights(data: ReportData, draw: Drawer) -> Section:
    """Show complexity by layer, from start to end, and the distributions behind it."""
    rows = data.everything.frame("weights", [*PLACE, *figures_complexity.MEASURES], figures_complexity.STAGES)
    finished = data.everything.trials.loc[data.everything.trials["finished"], "trial"]
    rows = rows[rows["trial"].isin(finished)]
    if rows.empty:
        text = "The weights were not measured: python -m analysis.complexity RUN, then this report again."
        return Section("weights", "Complexity of the weights", paragraph(text))
    html = paragraph(ORDER_WARNING, "warning") + "".join(_by_layer(data, draw, rows))
    caption = (
        "Complexity of the whole model from its initial weights to the best and the last epoch: means over the "
        "finished trials of each value, weighted by the size of the weight matrices."
    )
    html += draw.put("along_training", figures_complexity.complexity_along_training(data.everything), caption)
    return Section("weights", "Complexity of the weights", html + "".join(weight_distributions(data, draw)))


def _by_layer(data: ReportData, draw: Drawer, rows: pd.DataFrame) -> Iterator[str]:
    """Draw a figure for each block and architecture: models whose tensors have the same names."""
    names = pd.Series({trial: tuple(dict.fromkeys(part)) for trial, part in rows.groupby("trial")["tensor"]})
    trials = data.everything.trials.drop_duplicates("trial").set_index("trial")
    kinds = pd.DataFrame({"block": trials["block"], "tensors": names}).dropna()
    for number, (block, tensors) in enumerate(list(dict.fromkeys(kinds.itertuples(index=False, name=None)))[:MODELS]):
        members = [trial for trial, *kind in kinds.itertuples(name=None) if tuple(kind) == (block, tensors)]
        model = trials["model"][members[0]]
        caption = (
            f"Complexity by layer of {model} on {block}: means over {len(members)} finished trials "
            "and their seeds at the best epoch, with standard deviations; the thin line is where the layer began."
        )
        part = rows[rows["trial"].isin(members)]
        yield draw.put(f"by_layer_{number}", figures_complexity.complexity_by_layer(part), caption)


def performance(data: ReportData, draw: Drawer) -> Section:
    """Show the correlation of complexity with performance."""
    results = data.everything
    known = [a for a in data.models if not math.isnan(a.plain.rho)]
    html = paragraph(association_words(data.models))
    if not known:
        return Section("performance", "Complexity and performance", html)
    caption = (
        "Each point is a finished trial. ρ is Spearman's with its 95 % interval."
    )  # fmt: skip
    drawn = figures_complexity.complexity_and_performance(results)
    html += draw.put("complexity_and_performance", drawn, caption)
    outcomes = (results.metric, "gap_acc")
    held = held_words(known[0])
    caption = (
        f"Spearman's ρ{' ' * bool(held)}{held} of every measure with the {name_of(outcomes[0])} and the "
        f"{name_of(outcomes[1])}, with 95 % intervals. Filled diamonds survive the correction for many tests."
    )
    html += draw.put("correlations", figures_complexity.correlation_forest(data.models, outcomes), caption)
    html += "<h3>Models</h3>" + associations_table(data.models)
    html += "<h3>By module type and depth</h3>" + associations_table(data.parts)
    return Section("performance", "Complexity and performance", html)


def associations_table(associations: Sequence[Association]) -> str:
    """Tabulate the clearest associations; all of them are in `python -m analysis.compare --json`."""
    grid = associations_grid(associations, "correlations", SHOWN)
    if grid is None:
        return paragraph("Too few trials.", "note")
    return table(grid) + paragraph(f"{grid.title}; p corrected over all of them (Benjamini-Hochberg).", "note")
