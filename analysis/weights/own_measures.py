"""Measures of a user's own, FILE.py:NAME: functions of an array of weights, as entries among ours in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from analysis import table
from analysis.measures import MEASURES, Measure, number
from trainables.errors import InputError
from trainables.user_code.errors import number_of, user_errors
from trainables.user_code.in_use import object_of, source_of, use_sources
from trainables.user_code.source import Source, split_spec

# By name: the spec of the user's measures that this process knows.
_OWN: dict[str, str] = {}


def add_measure(spec: str) -> str:
    """Put a user's function into `MEASURES` under its own name, and return that.

    Raises `InputError` where it cannot be used, and for a name that is a column of ours or of another's.
    """
    name = split_spec(spec)[1]
    if _OWN.get(name, spec) != spec or (name not in _OWN and _is_taken(name)):
        raise InputError(f"{spec}: {name} is the name of another measure or column: give the function another name")
    function = object_of(spec)
    if not callable(function):
        raise InputError(f"{spec} is a {type(function).__name__}: name a function of an array")
    measure = _as_measure(spec, name, function)
    measure.function(np.linspace(-1.0, 1.0, 12).reshape(3, 4))
    MEASURES[name], _OWN[name] = measure, spec
    table.columns.cache_clear()
    return name


def _is_taken(name: str) -> bool:
    return name in MEASURES or any(name in table.columns(kind) for kind in ("trials", "epochs", "weights"))


def _as_measure(spec: str, name: str, function: Callable[[Any], Any]) -> Measure:
    meaning = (function.__doc__ or f"of {spec}").strip().splitlines()[0].rstrip(".")
    return number(name, partial(_measured, spec, function), meaning, spec, default=False)


def _measured(spec: str, function: Callable[[Any], Any], weights: Any) -> float:
    with user_errors(spec, function):
        value = function(weights)
    found = number_of(value)
    if found is None:
        raise InputError(f"{spec} returned {type(value).__name__}: a measure is one number, or NaN")
    return found


def own_sources(names: Iterable[str]) -> dict[str, Source]:
    """Return the texts of the user's measures among some names, by spec: what a worker needs."""
    return {_OWN[name]: source_of(_OWN[name]) for name in names if name in _OWN}


def use_measures(sources: Mapping[str, Source]) -> None:
    """Know the user's measures that another process has chosen."""
    use_sources(sources)
    for spec in sources:
        if split_spec(spec)[1] not in _OWN:
            add_measure(spec)


def unknown_measures(schema: pa.Schema) -> list[pa.Field]:
    """Return the columns of a `weights.parquet` that no measure of this process has: a user's, taken earlier."""
    known = table.columns("weights")
    return [field for field in schema if field.name not in known and field.type == pa.float64()]
