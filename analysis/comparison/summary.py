"""The summary of one run: the first table of `analysis.compare`, and a verdict. Loads without pandas."""

from __future__ import annotations

from rich.console import Console

from analysis.comparison.cautions import alike, edges
from analysis.comparison.results import Results
from analysis.comparison.sentences import verdict
from analysis.comparison.standings import compare
from analysis.comparison.statistics import FEWEST
from analysis.comparison.tables import standings_grid
from analysis.grids import print_grid

COMPLEXITY = ("lmc", "sample_entropy")


def print_standings(console: Console, results: Results, *, test: bool = True) -> None:
    """Print for each block its values at their best settings, and whether they can be told apart.

    test: leave it out while trials are still to come, so that nobody stops or goes on by it.
    """
    comparison = compare(results, also=COMPLEXITY)
    metrics = tuple(name for name in (*comparison.metrics, *COMPLEXITY) if test or not name.startswith("test_"))
    for block in results.blocks:
        standings = comparison.block(block)
        title = block if len(results.blocks) > 1 else ""
        print_grid(console, standings_grid(results, standings, metrics, title))
        found = [*alike(results, comparison, block), verdict(results, comparison, block)]
        for sentence in (*filter(None, found), *edges(results, comparison, block)):
            console.print(sentence, markup=False, highlight=False)
    seeds = max((standing.n for standing in comparison.standings), default=0)
    how = f"mean ±95 % interval over {seeds} replicates" if seeds >= FEWEST else f"{seeds} replicate(s): no interval"
    how = how if seeds else f"no trial has a finite {results.metric}"
    tested = "test only reported" if test else "test is shown when all trials have ended"
    console.print(f"{how}; selected by {results.metric}, {tested}", style="dim", highlight=False)
