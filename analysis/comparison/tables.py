"""The tables of a comparison, for the terminal and for the page alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from analysis.comparison.labels import join_words
from analysis.comparison.results import Results
from analysis.comparison.standings import Comparison, Difference, Standing
from analysis.grids import Cell, Column, Grid, format_number, number_cell
from analysis.statistics.estimates_and_tests import Estimate
from analysis.statistics.rank_correlation import Correlation

if TYPE_CHECKING:
    from analysis.comparison.correlations import Association

STYLES = {"completed": "green", "stopped": "yellow", "diverged": "magenta", "failed": "red", "interrupted": "red"}
WORDS = {"completed": "done"}


def standings_grid(results: Results, standings: Sequence[Standing], metrics: Sequence[str], title: str) -> Grid:
    """Build one row for each value of a block, the best first: its setting, each metric, and how its trials ended."""
    columns = [
        Column("#", drop=6),
        Column(", ".join(results.scientific).replace("_", " "), words=True),
        *(Column(f"best {name.replace('_', ' ')}") for name in results.nuisance),
        *(Column(name.replace("_", " "), drop=4 if name in ("lmc", "sample_entropy") else 0) for name in metrics),
        Column("n", drop=5),
        Column("epochs", drop=3),
        Column("trials", words=True, drop=2),
    ]  # fmt: skip
    return Grid(title, tuple(columns), tuple(_standing(results, standing, metrics) for standing in standings))


def _standing(results: Results, standing: Standing, metrics: Sequence[str]) -> tuple[Cell, ...]:
    whole = standing.epochs_planned if standing.trial else math.nan
    return (
        number_cell(standing.rank, 0 if standing.rank == round(standing.rank or 0) else 1)
        if standing.trial
        else Cell("-"),
        Cell(standing.value or "all"),
        *(_setting(standing.nuisance.get(name, "-")) for name in results.nuisance),
        *(_metric(standing.metrics[name], name) for name in metrics),
        Cell(str(standing.n), sort=float(standing.n)),
        Cell(f"{standing.epochs:.0f}/{whole:.0f}" if standing.trial else "-", sort=standing.epochs),
        status_cell(standing.statuses),
    )


def _setting(text: str) -> Cell:
    try:
        return Cell(text, sort=float(text))
    except ValueError:
        return Cell(text)


def _metric(estimate: Estimate, name: str) -> Cell:
    return number_cell(estimate.mean, 3) if name in ("lmc", "sample_entropy") else estimate_cell(estimate)


def estimate_cell(estimate: Estimate, *, signed: bool = False) -> Cell:
    """Build `0.9712` with `±.0031` beside it, the same for every mean; signed: with a plus."""
    sign = "+" if signed and estimate.mean > 0 else ""
    return Cell(sign + format_number(estimate.mean), half_text(estimate), estimate.mean)


def half_text(estimate: Estimate) -> str:
    """Write half of the 95 % interval as `±.0031`; empty where there is none."""
    return "" if math.isnan(estimate.half_width) else f"±{estimate.half_width:.4f}".replace("±0.", "±.")


def status_cell(statuses: Mapping[str, int]) -> Cell:
    """Build `1 done,` with `3 stopped` beside it, in the colour of the first."""
    first, *rest = (f"{n} {WORDS.get(status, status)}" for status, n in statuses.items())
    return Cell(first + "," * bool(rest), ", ".join(rest), style=STYLES.get(next(iter(statuses)), ""))


def differences_grid(comparison: Comparison, block: str) -> Grid:
    """Build one row for each value: its differences from the one it is compared with, over the same seeds."""
    differences = [difference for difference in comparison.differences if difference.block == block]
    columns = [Column(f"less {differences[0].against}", words=True)]
    for number, metric in enumerate(comparison.metrics):
        drop = len(comparison.metrics) - number if number else 0
        columns += [Column(metric.replace("_", " "), drop=drop and 9 - drop), Column("p", drop=drop and 9 - drop)]
    rows = [
        (Cell(value), *(cell for metric in comparison.metrics for cell in _difference(differences, value, metric)))
        for value in dict.fromkeys(difference.value for difference in differences)
    ]
    return Grid("differences, paired by seed", tuple(columns), tuple(rows))


def _difference(differences: Sequence[Difference], value: str, metric: str) -> tuple[Cell, Cell]:
    one = next(d for d in differences if (d.value, d.metric) == (value, metric))
    if one.identical:
        return Cell("identical", sort=0.0), Cell("-", sort=math.nan)
    return estimate_cell(one.estimate, signed=True), p_cell(one.p_corrected)


def p_cell(p: float) -> Cell:
    """Build `.032`, `<.001`; `-` where there is none."""
    text = "-" if math.isnan(p) else "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")
    return Cell(text, sort=p)


def associations_grid(associations: Sequence[Association], title: str, most: int) -> Grid | None:
    """List the clearest associations first; None where there is none."""
    known = [association for association in associations if not math.isnan(association.plain.rho)]
    if not known:
        return None
    known.sort(key=lambda a: (math.isnan(a.partial.p), a.partial.p, a.plain.p))
    several = len({association.part for association in known}) > 1
    held = held_words(known[0])
    columns = [
        *([Column("part", words=True)] * several),
        Column("measure", words=True),
        Column("with", words=True),
        Column("ρ", drop=2),
        Column("p", drop=2),
        *((Column(f"ρ {held}"), Column("p (held)")) if held else ()),
        Column("n", drop=3),
    ]
    rows = [tuple(_association(a, several, bool(held))) for a in known[:most]]
    return Grid(f"{title}: the {len(rows)} clearest of {len(known)} correlations", tuple(columns), tuple(rows))


def _association(one: Association, several: bool, held: bool) -> list[Cell]:
    names = [Cell(one.part)] * several + [Cell(one.measure), Cell(one.outcome.replace("_", " "))]
    cells = [*names, rho_cell(one.plain), p_cell(one.plain_corrected)]
    if held:
        cells += [rho_cell(one.partial), p_cell(one.partial_corrected)]
    n = one.partial.n if held else one.plain.n
    return [*cells, Cell(str(n), sort=float(n))]


def held_words(one: Association) -> str:
    """Write `within equal lr`, `adjusted for the rank of parameters`, or both."""
    within = f"within equal {join_words(one.blocked)}" if one.blocked else ""
    adjusted = f"adjusted for the rank of {join_words(one.adjusted)}" if one.adjusted else ""
    return ", ".join(text for text in (within, adjusted) if text).replace("_", " ")


def rho_cell(correlation: Correlation) -> Cell:
    """Build the cell of ρ, with its interval beside it."""
    if math.isnan(correlation.rho):
        return Cell("-", sort=math.nan)
    limits = "" if math.isnan(correlation.low) else f"{correlation.low:.2f} to {correlation.high:.2f}".replace("-", "−")
    return Cell(format_number(correlation.rho, 2), limits, correlation.rho)
