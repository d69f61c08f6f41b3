"""Labels of what is compared: texts of config values, and the fields that are compared, tuned or context."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FEWEST_DIGITS, MOST_DIGITS = 3, 17
Column = Sequence[Any]


def show_value(value: Any) -> str:
    """Format a config value as on the command line: `512-256`, `0.001`; `-` where it was left out."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, float):
        return _short(value, 6)
    return "-".join(map(show_value, value)) if isinstance(value, list | tuple) else str(value)


def _short(value: float, digits: int) -> str:
    """Write a number with so many digits; a tiny one has fewer (1e-320 is no 9.99989e-321), as a browser writes it.

    >>> _short(1e-320, 6), _short(123456789.0, 6), _short(100000.0, 6)
    ('1e-320', '1.23457e+08', '100000')
    """
    text = f"{value:.{digits}g}"
    return min((text, repr(float(text))), key=len)


def distinct_texts(values: Column) -> list[str]:
    """Return one text for each value of a column; floats have the fewest digits, from three on, that differ.

    >>> distinct_texts([0.9995, 0.9999, 0.9995])
    ['0.9995', '0.9999', '0.9995']
    """
    known = {value for value in values if isinstance(value, float) and not math.isnan(value)}
    for digits in range(FEWEST_DIGITS, MOST_DIGITS + 1):
        texts = {value: _short(value, digits) for value in known}
        if len(set(texts.values())) == len(known):
            break
    return [texts[value] if isinstance(value, float) and value in texts else show_value(value) for value in values]


def hashable(value: Any) -> Any:
    """Return the value as something that can be a key: lists as tuples, NaN as None."""
    if isinstance(value, list | tuple):
        return tuple(map(hashable, value))
    return None if isinstance(value, float) and math.isnan(value) else value


def texts_of(values: Iterable[Any]) -> list[str]:
    """Return one text for each config value of a frame's column, whose lists may be arrays."""
    return distinct_texts([hashable(value.tolist() if hasattr(value, "tolist") else value) for value in values])


@dataclass(frozen=True)
class Roles:
    """The fields that vary: those compared, those tuned, and those that only part what can be compared."""

    scientific: tuple[str, ...]
    nuisance: tuple[str, ...]
    context: tuple[str, ...]


def find_roles(columns: Mapping[str, Column], run_ids: Sequence[str], metadata: Sequence[Mapping[str, Any]]) -> Roles:
    """Find the roles of the fields whose values vary over the trials of one or more runs.

    columns: every config field, hashable. metadata: one mapping a run, with its `roles`. Scores on different datasets
    cannot be told better or worse, so the dataset is context wherever anything else is compared; so is every other
    field that differs between runs. A field that only follows from a compared one (the default rate of each optimiser)
    does not split the comparison.
    """
    vary = {name for name, values in columns.items() if len(set(values)) > 1 and name != "seeds"}
    named = {role: _union(each["roles"].get(role, {}) for each in metadata) for role in ("scientific", "nuisance")}
    scientific = [name for name in named["scientific"] if name in vary]
    if len(scientific) > 1 and "dataset" in scientific:
        scientific.remove("dataset")
    nuisance = [name for name in named["nuisance"] if name in vary and name not in scientific]
    given = [columns[name] for name in (*scientific, *nuisance)]
    context = [
        name
        for name in columns
        if name in vary
        and name not in (*scientific, *nuisance)
        and (name == "dataset" or not _follows(columns[name], given, run_ids))
    ]
    first = [name for name in named["scientific"] if name in columns][:1]
    return Roles(tuple(scientific or first), tuple(nuisance), tuple(context))


def _follows(column: Column, given: Sequence[Column], run_ids: Sequence[str]) -> bool:
    """Tell whether a field varies within a run and has one value for each combination of the given fields."""
    if not given or len(set(zip(run_ids, column, strict=True))) == len(set(run_ids)):
        return False
    settings = list(zip(*given, strict=True))
    return len(set(zip(settings, column, strict=True))) == len(set(settings))


def _union(names: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(name for part in names for name in part))


def telling_fields(columns: Mapping[str, Column], fields: Sequence[str]) -> list[str]:
    """Return the fields that tell contexts apart, the dataset first, without those that follow from the ones before."""
    kept: list[str] = []
    groups = 1
    for name in sorted(fields, key=lambda name: name != "dataset"):
        combinations = len(set(zip(*(columns[field] for field in (*kept, name)), strict=True)))
        if combinations > groups:
            kept.append(name)
            groups = combinations
    return kept


def join_texts(columns: Mapping[str, Column], fields: Sequence[str], rows: int, *, named: bool = False) -> list[str]:
    """Return `gelu, 0.5` for each row; named: with the names of all fields but the dataset."""
    texts = []
    for name in fields:
        start = f"{name} " if named and name != "dataset" else ""
        texts.append([start + text for text in distinct_texts(columns[name])])
    return [", ".join(row) for row in zip(*texts, strict=True)] if texts else [""] * rows


def join_words(words: Sequence[str]) -> str:
    """Join words as `a`, `a and b`, `a, b and c`; empty for no words."""
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)
