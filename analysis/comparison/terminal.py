"""A comparison on a terminal, readable from 80 columns on: the answer first, then the tables behind it.

Loads without pandas, for the summary of a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from analysis.comparison.cautions import alike, edges
from analysis.comparison.results import Results
from analysis.comparison.sentences import answers, association_words, importance_words, told_apart, verdict
from analysis.comparison.standings import compare
from analysis.comparison.tables import associations_grid, differences_grid, standings_grid
from analysis.grids import print_grid
from analysis.statistics.estimates_and_tests import FEWEST
from analysis.terminal.plain_text import visible

if TYPE_CHECKING:
    from analysis.comparison.compare_runs import ComparedRuns

# Associations on the screen; all stand in --json.
SHOWN = 10
COMPLEXITY = ("lmc", "sample_entropy")


def _has_values(results: Results, name: str) -> bool:
    return any(value is not None and value == value for value in results.table[name].to_pylist())


def print_standings(console: Console, results: Results, *, test: bool = True) -> None:
    """Print for each block its values at their best settings, and whether they can be told apart.

    test: leave it out while trials are still to come, so that nobody stops or goes on by it.
    """
    # not measured, or a training function of a user's own that keeps no weights
    measured = [name for name in COMPLEXITY if _has_values(results, name)]
    comparison = compare(results, also=measured)
    metrics = tuple(name for name in (*comparison.metrics, *measured) if test or not name.startswith("test_"))
    for block in results.blocks:
        standings = comparison.block(block)
        title = block if len(results.blocks) > 1 else ""
        print_grid(console, standings_grid(results, standings, metrics, title))
        found = [*alike(results, comparison, block), told_apart(results, comparison, block)]
        found.append(verdict(results, comparison, block))
        for sentence in (*filter(None, found), *edges(results, comparison, block)):
            console.print(sentence, markup=False, highlight=False)
    seeds = max((standing.n for standing in comparison.standings), default=0)
    replicates = f"{seeds} replicate{'s' * (seeds != 1)}"
    how = f"mean ±95 % interval over {replicates}" if seeds >= FEWEST else f"{replicates}: no interval"
    how = how if seeds else f"no trial has a finite {results.metric}"
    tested = "test only reported" if test else "test is shown when all trials have ended"
    console.print(f"{how}; selected by {results.metric}, {tested}", style="dim", highlight=False)


def print_comparison(console: Console, compared: ComparedRuns) -> None:
    """Print the answers, then the values of each block, their differences, and the correlations."""
    results, comparison, models = compared.results, compared.comparison, compared.models
    important = map(importance_words, compared.importances)
    for text in (*answers(results, comparison), *important, association_words(models)):
        print_text(console, text)
    for block in results.blocks:
        print_grid(console, standings_grid(results, comparison.block(block), comparison.metrics, block))
        if any(d.block == block for d in comparison.differences):
            print_grid(console, differences_grid(comparison, block))
    for title, associations in (("complexity of the model", models), ("complexity by type and depth", compared.parts)):
        if grid := associations_grid(associations, title, SHOWN):
            print_grid(console, grid)
    print_text(console, explanation(results), "dim")


def print_text(console: Console, text: str, style: str = "") -> None:
    """Print a sentence that may hold names which are not ours."""
    console.print(visible(text), style=style, markup=False, highlight=False)


def explanation(results: Results) -> str:
    """Say in one sentence how the numbers were made."""
    stopped = (
        "all trials at equal epochs"
        if results.equal_epochs is not None
        else "trials that were stopped, failed or diverged are left out (--stopped equal-epochs takes them in)"
    )
    judged = "at the last epoch of each trial; " if results.epoch == "last" else ""
    return (
        f"selected by {results.metric}, test only reported; {judged}{stopped}; mean ±95 % interval over seeds "
        "(Student's t, from 3 seeds on), which says nothing of what other test images would do; "
        "p of paired t tests, Holm-corrected; "
        "correlations over finished trials, p Benjamini-Hochberg-corrected, by permutation where trials are few"
    )
