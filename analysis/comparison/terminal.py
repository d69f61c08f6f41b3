"""A comparison on a terminal, readable from 80 columns on."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from analysis.comparison.correlations import Association
from analysis.comparison.importance import Importance
from analysis.comparison.results import Results
from analysis.comparison.sentences import answers, association_words, importance_words
from analysis.comparison.standings import Comparison, Standing
from analysis.comparison.statistics import ENOUGH, Correlation, Estimate
from analysis.comparison.summary import WIDE, status_text

SHOWN = 10  # associations on the screen; all stand in --json


def print_comparison(
    console: Console,
    results: Results,
    comparison: Comparison,
    importances: Sequence[Importance],
    models: Sequence[Association],
    parts: Sequence[Association],
) -> None:
    """Everything, the answer last, where the eye is."""
    for block in results.blocks:
        console.print(standings_table(comparison, results, block, console.width))
        if any(d.block == block for d in comparison.differences):
            console.print(differences_table(comparison, block, console.width))
    for title, found in (("complexity of the model", models), ("complexity by type and depth", parts)):
        if any(not math.isnan(association.plain.rho) for association in found):
            console.print(associations_table(found, title, console.width))
    console.print(f"[dim]{explanation(results)}[/dim]", highlight=False)
    for text in (*answers(results, comparison), *map(importance_words, importances), association_words(models)):
        console.print(text, highlight=False)


def _new_table(title: str) -> Table:
    grid = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    grid.padding = (0, 1, 0, 0)
    return grid


def standings_table(comparison: Comparison, results: Results, block: str, width: int) -> Table:
    """Best first: the setting, each metric with its interval, the average rank and how the trials ended."""
    wide = width >= WIDE
    line = " " if wide else "\n"
    grid = _new_table(block)
    longest = max(len(standing.value) for standing in comparison.block(block))
    name = ", ".join(results.scientific).replace("_", line)
    grid.add_column(name, style="bold", overflow="fold", min_width=min(max(longest, len(name)), 12))
    for name in results.nuisance:
        grid.add_column(f"best{line}{name}", justify="right", overflow="fold", min_width=5)
    for name in comparison.metrics:
        grid.add_column(name.replace("_", " "), justify="right", no_wrap=True)
    for name in ("n", "rank", *("epochs",) * wide):
        grid.add_column(name, justify="right", no_wrap=True)
    grid.add_column("trials", no_wrap=True)
    for standing in comparison.block(block):
        cells = _standing_cells(standing, results, comparison.metrics, line)
        epochs = ["-" if math.isnan(standing.epochs) else f"{standing.epochs:.0f}"] * wide
        grid.add_row(*cells, *epochs, status_text(standing.statuses, line))
    return grid


def _standing_cells(standing: Standing, results: Results, metrics: Sequence[str], line: str) -> list[str]:
    return [
        standing.value,
        *(standing.nuisance.get(name, "-") for name in results.nuisance),
        *(estimate_text(standing.metrics[name], line) for name in metrics),
        str(standing.n),
        "-" if math.isnan(standing.rank) else f"{standing.rank:.2f}",
    ]


def differences_table(comparison: Comparison, block: str, width: int) -> Table:
    """What each value is better or worse by, over the same seeds."""
    line = " " if width >= WIDE else "\n"
    found = [difference for difference in comparison.differences if difference.block == block]
    grid = _new_table(f"less {found[0].against}, paired by seed")
    grid.add_column("", style="bold", overflow="fold", min_width=8)
    for metric in comparison.metrics:
        grid.add_column(metric.replace("_", " "), justify="right", no_wrap=True)
        grid.add_column("p", justify="right", no_wrap=True)
    for value in dict.fromkeys(difference.value for difference in found):
        cells = []
        for metric in comparison.metrics:
            one = next(d for d in found if d.value == value and d.metric == metric)
            cells += [estimate_text(one.estimate, line, signed=True), p_text(one.p_corrected)]
        grid.add_row(value, *cells)
    return grid


def associations_table(found: Sequence[Association], title: str, width: int) -> Table:
    """The clearest ones first."""
    line = " " if width >= WIDE else "\n"
    known = [association for association in found if not math.isnan(association.plain.rho)]
    known.sort(key=lambda a: (math.isnan(a.partial.p), a.partial.p, a.plain.p))
    controls = known[0].controls
    grid = _new_table(f"{title}: {min(SHOWN, len(known))} clearest of {len(known)} correlations")
    several = len({association.part for association in known}) > 1
    for name in ("part",) * several + ("measure", "with"):
        grid.add_column(name, overflow="fold", min_width=7)
    for name in ("ρ", "p", *((f"ρ at equal{line}{' and '.join(controls)}", "p") if controls else ())):
        grid.add_column(name, justify="right")
    for a in known[:SHOWN]:
        partial = (rho_text(a.partial, line), p_text(a.partial_corrected)) if controls else ()
        part = (a.part,) * several
        grid.add_row(*part, a.measure, a.outcome, rho_text(a.plain, line), p_text(a.plain_corrected), *partial)
    return grid


def explanation(results: Results) -> str:
    """How the numbers were made."""
    stopped = (
        "all trials at equal epochs"
        if results.equal_epochs is not None
        else "trials that were stopped, failed or diverged are left out (--stopped equal-epochs takes them in)"
    )
    narrow = " (too narrow below 10: of 3 values it holds the mean in 75 % of cases)" if results.seeds < ENOUGH else ""
    return (
        f"selected by {results.metric}, test only reported; {stopped}; mean and 95 % bootstrap interval over "
        f"seeds{narrow}; p of paired t tests, Holm-corrected; correlations over trials, p Benjamini-Hochberg-corrected"
    )


def estimate_text(estimate: Estimate, line: str, *, signed: bool = False) -> str:
    """`0.8173 .8145–.8229`, or `+0.0100 [-.0020 .0220]`, in one line or two."""
    if math.isnan(estimate.mean):
        return "-"
    low, high = _short(estimate.low), _short(estimate.high)
    limits = f"\\[{low} {high}]" if signed else f"{low}–{high}"
    return f"{estimate.mean:{'+' if signed else ''}.4f}" + (f"{line}{limits}" if estimate.n > 1 else "")


def rho_text(found: Correlation, line: str) -> str:
    """`-0.53 [-.80 -.07]`, in one line or two."""
    if math.isnan(found.rho):
        return "-"
    return f"{found.rho:.2f}{line}\\[{_short(found.low, 2)} {_short(found.high, 2)}]"


def _short(value: float, digits: int = 4) -> str:
    return f"{value:.{digits}f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.{digits}f}"


def p_text(p: float) -> str:
    """`.032`, `<.001`; `-` where there is none."""
    if math.isnan(p):
        return "-"
    return "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")
