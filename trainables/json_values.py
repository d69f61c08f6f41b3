"""Values as JSON can hold them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any


def as_json_value(value: Any, *, infinite_as_text: bool = False) -> Any:
    """Return dataclasses and mappings as objects, sequences as arrays, and numbers that JSON lacks as null.

    infinite_as_text: `"inf"` and `"-inf"` stand for what is infinite. NumPy's numbers become Python's.
    """
    return _as_json(value, infinite_as_text)


def _as_json(value: Any, infinite_as_text: bool) -> Any:
    # a ledger has millions of numbers and texts, so these come first
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else str(value) if infinite_as_text and not math.isnan(value) else None
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is not dict and is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, dict | Mapping):
        return {str(name): _as_json(item, infinite_as_text) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(item, infinite_as_text) for item in value]
    if hasattr(value, "tolist"):
        return _as_json(value.tolist(), infinite_as_text)
    return value


def without_negative_zero(value: Any) -> Any:
    """Return a value, and those of a dict or a list, with 0.0 in place of -0.0: equal numbers have one text."""
    if isinstance(value, float):
        return value + 0.0
    if isinstance(value, dict):
        return {name: without_negative_zero(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        items = map(without_negative_zero, value)
        return tuple(items) if isinstance(value, tuple) else list(items)
    return value
