"""The definition of a measure: a function from one tensor to columns, with their meaning, unit and source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from analysis.measures.baselines import shuffled_z

Direction = Literal["", "higher", "lower"]


@dataclass(frozen=True, slots=True)
class Column:
    """The meaning of one number, its unit, and whether more of it is better ("" where neither is)."""

    meaning: str
    unit: str = "1"
    direction: Direction = ""


@dataclass(frozen=True, slots=True)
class Measure:
    """A function from one tensor to its columns; the first column bears the measure's name.

    function: of the tensor, and of its initial values if `initial` is true. ordered: it depends on the order in which
    the weights were flattened. sized: it depends on the number of weights. default: it is cheap enough for every tensor
    of every trial.
    """

    function: Callable[..., Mapping[str, float]]
    columns: Mapping[str, Column]
    reference: str
    ordered: bool = False
    sized: bool = False
    default: bool = True
    initial: bool = False


def number(
    name: str,
    function: Callable[[Any], float],
    meaning: str,
    reference: str,
    *,
    unit: str = "1",
    ordered: bool = False,
    sized: bool = False,
    default: bool = True,
) -> Measure:
    """Return a measure of a single column, from a function that gives one number."""

    def columns(weights: Any) -> dict[str, float]:
        return {name: function(weights)}

    return Measure(columns, {name: Column(meaning, unit)}, reference, ordered, sized, default)


def z_score(of: str, function: Callable[[Any], float], meaning: str) -> Measure:
    """Return the z-score of an ordered measure against shuffles, which costs as much as 20 of it."""
    name = f"{of}_z"
    columns = {name: Column(f"{meaning} against 20 shuffles of the same weights", "sd")}
    source = "Theiler et al. (1992), Physica D 58, 77"
    return Measure(partial(shuffled_z, function, name), columns, source, ordered=True, default=False)
