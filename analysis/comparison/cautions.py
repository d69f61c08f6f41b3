"""Sentences that warn of a comparison's own making: values that were trained alike, best settings at a grid's end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.comparison.labels import join_words, show_value
from analysis.comparison.results import Results
from analysis.comparison.standings import Comparison

# what two trials that were trained alike have in common
OUTCOMES = ("val_auc", "val_acc", "val_loss", "train_loss")
SMALLEST_GRID = 3


def alike(results: Results, comparison: Comparison, block: str) -> list[str]:
    """Return sentences on values whose best trials have the same results with every seed, to the last digit."""
    names = dict.fromkeys((results.metric, *(name for name in OUTCOMES if name in results.metrics)))
    outcomes: dict[str, list[str]] = {}
    for row in results.table.select(["trial", "seed", *names]).to_pylist():
        outcomes.setdefault(row["trial"], []).append(repr([row["seed"], *(row[name] for name in names)]))
    groups: dict[tuple[str, ...], list[str]] = {}
    for standing in comparison.block(block):
        if standing.trial:
            groups.setdefault(tuple(sorted(outcomes[standing.trial])), []).append(standing.value)
    return [
        f"{join_words(values)} scored exactly the same with every seed: perhaps they were trained the same."
        for values in groups.values()
        if len(values) > 1
    ]


def edges(results: Results, comparison: Comparison, block: str) -> list[str]:
    """Return sentences on best settings at an end of their grid, beyond which a better one may lie.

    A grid of two numbers has nothing but ends, and says nothing.
    """
    rows = results.table.select(["trial", "block", "value", *results.nuisance]).to_pylist()
    grids = [name for name in results.nuisance if all(_lists(metadata, name) for metadata in results.metadata)]
    ends: dict[tuple[str, str], list[str]] = {}
    for standing in comparison.block(block) if grids else ():
        same = [row for row in rows if (row["block"], row["value"]) == (block, standing.value)]
        best: Mapping[str, Any] = next((row for row in same if row["trial"] == standing.trial), {})
        for name in grids:
            tried, chosen = {row[name] for row in same if isinstance(row[name], int | float)}, best.get(name)
            if len(tried) >= SMALLEST_GRID and chosen in (min(tried), max(tried)):
                end = "least" if chosen == min(tried) else "largest"
                ends.setdefault((name, f"{end} of its grid, {show_value(chosen)}"), []).append(standing.value)
    return [
        f"The best {name} is the {end}{_of(values)}: a wider grid may be better."
        for (name, end), values in ends.items()
    ]


def _of(values: Sequence[str]) -> str:
    return f" (for {join_words(values)})" if any(values) else ""


def _lists(metadata: Mapping[str, Any], name: str) -> bool:
    """Tell whether a run lists a field's values; one that is drawn has no ends that were chosen."""
    return isinstance(metadata.get("roles", {}).get("nuisance", {}).get(name, []), list)
