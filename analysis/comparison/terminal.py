"""A comparison on a terminal, readable from 80 columns on: the answer first, then the tables behind it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from analysis.comparison.correlations import Association
from analysis.comparison.importance import Importance
from analysis.comparison.results import Results
from analysis.comparison.sentences import answers, association_words, importance_words
from analysis.comparison.standings import Comparison
from analysis.comparison.tables import associations_grid, differences_grid, standings_grid
from analysis.grids import print_grid
from analysis.terminal.plain_text import visible

# Associations on the screen; all stand in --json.
SHOWN = 10


def print_comparison(
    console: Console,
    results: Results,
    comparison: Comparison,
    importances: Sequence[Importance],
    models: Sequence[Association],
    parts: Sequence[Association],
) -> None:
    """Print the answers, then the values of each block, their differences, and the correlations."""
    for text in (*answers(results, comparison), *map(importance_words, importances), association_words(models)):
        print_text(console, text)
    for block in results.blocks:
        print_grid(console, standings_grid(results, comparison.block(block), comparison.metrics, block))
        if any(d.block == block for d in comparison.differences):
            print_grid(console, differences_grid(comparison, block))
    for title, associations in (("complexity of the model", models), ("complexity by type and depth", parts)):
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
    return (
        f"selected by {results.metric}, test only reported; {stopped}; mean ±95 % interval over seeds (Student's t, "
        "from 3 seeds on), which says nothing of what other test images would do; p of paired t tests, Holm-corrected; "
        "correlations over finished trials, p Benjamini-Hochberg-corrected, by permutation where trials are few"
    )
