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
    if is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): as_json_value(item, infinite_as_text=infinite_as_text) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json_value(item, infinite_as_text=infinite_as_text) for item in value]
    if hasattr(value, "tolist"):
        return as_json_value(value.tolist(), infinite_as_text=infinite_as_text)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value) if infinite_as_text and not math.isnan(value) else None
    return value
