"""The report's sections on the complexity of weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial

import pandas as pd

from analysis.browser_figures import complexity as interactive
from analysis.comparison.compare_runs import ComparedRuns
from analysis.comparison.correlations import PLACE, Association, headline_outcomes
from analysis.comparison.labels import join_words
from analysis.comparison.sentences import association_words, name_of
from analysis.comparison.tables import associations_grid, held_words
from analysis.figures import complexity as figures_complexity
from analysis.page.parts import Drawing, Heading, Paragraph, Part, Section
from analysis.page.sections import weight_distributions

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


def weights(compared: ComparedRuns) -> Section:
    """Show complexity by layer, from start to end, and the distributions behind it."""
    results = compared.everything
    rows = results.frame("weights", [*PLACE, *figures_complexity.MEASURES], figures_complexity.STAGES)
    finished = results.trials.loc[results.trials["finished"], "trial"]
    rows = rows[rows["trial"].isin(finished)]
    if rows.empty:
        text = "The weights were not measured: python -m analysis.complexity RUN, then this report again."
        return Section("weights", "Complexity of the weights", (Paragraph(text),))
    caption = (
        "Complexity of the whole model from its initial weights to the best and the last epoch: means over the "
        "finished trials of each value, weighted by the size of the weight matrices."
    )
    drawn = partial(figures_complexity.complexity_along_training, results)
    along = Drawing("along_training", drawn, caption, partial(interactive.complexity_along_training, results))
    parts: tuple[Part, ...] = (
        Paragraph(ORDER_WARNING, "warning"),
        *_by_layer(compared, rows),
        along,
        *weight_distributions(compared),
    )
    return Section("weights", "Complexity of the weights", parts)


def _by_layer(compared: ComparedRuns, rows: pd.DataFrame) -> Iterator[Drawing]:
    """Draw a figure for each block and architecture: models whose tensors have the same names."""
    names = pd.Series({trial: tuple(dict.fromkeys(part)) for trial, part in rows.groupby("trial")["tensor"]})
    trials = compared.everything.trials.drop_duplicates("trial").set_index("trial")
    kinds = pd.DataFrame({"block": trials["block"], "tensors": names}).dropna()
    for number, (block, tensors) in enumerate(list(dict.fromkeys(kinds.itertuples(index=False, name=None)))[:MODELS]):
        members = [trial for trial, *kind in kinds.itertuples(name=None) if tuple(kind) == (block, tensors)]
        model = trials["model"][members[0]]
        caption = (
            f"Complexity by layer of {model} on {block}: means over {len(members)} finished trials "
            "and their seeds at the best epoch, with standard deviations; the thin line is where the layer began."
        )
        part = rows[rows["trial"].isin(members)]
        drawn = partial(figures_complexity.complexity_by_layer, part)
        yield Drawing(f"by_layer_{number}", drawn, caption, partial(interactive.complexity_by_layer, part))


def performance(compared: ComparedRuns) -> Section:
    """Show the correlation of complexity with performance."""
    results = compared.everything
    known = [a for a in compared.models if not math.isnan(a.plain.rho)]
    parts: list[Part] = [Paragraph(association_words(compared.models))]
    if known:
        outcomes = headline_outcomes(results)
        held = held_words(known[0])
        points = "Each point is a finished trial. ρ is Spearman's with its 95 % interval."
        forest = (
            f"Spearman's ρ{' ' * bool(held)}{held} of every measure with "
            f"{join_words([f'the {name_of(name)}' for name in outcomes])}, with 95 % intervals. Filled diamonds "
            "survive the correction for many tests."
        )
        draw_points = partial(figures_complexity.complexity_and_performance, results)
        live = partial(interactive.complexity_and_performance, results)
        draw_forest = partial(figures_complexity.correlation_forest, compared.models, outcomes)
        live_forest = partial(interactive.correlation_forest, compared.models, outcomes)
        parts += [
            Drawing("complexity_and_performance", draw_points, points, live),
            Drawing("correlations", draw_forest, forest, live_forest),
            *(Heading("Models"), *associations_table(compared.models)),
            *(Heading("By module type and depth"), *associations_table(compared.parts)),
        ]
    return Section("performance", "Complexity and performance", tuple(parts))


def associations_table(associations: Sequence[Association]) -> tuple[Part, ...]:
    """Tabulate the clearest associations; all of them are in `python -m analysis.compare --json`."""
    grid = associations_grid(associations, "correlations", SHOWN)
    if grid is None:
        return (Paragraph("Too few trials.", "note"),)
    return grid, Paragraph(f"{grid.title}; p corrected over all of them (Benjamini-Hochberg).", "note")
