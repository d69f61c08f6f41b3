"""The ranges of nuisance fields whose values may change during training, for population based training."""

from __future__ import annotations

import math

from search_spaces.definition import Sweep
from search_spaces.domains import Range, range_of, values_of
from trainables.config import CHANGEABLE
from trainables.errors import InputError


def changeable_ranges(sweep: Sweep) -> dict[str, Range]:
    """Return the range of each nuisance field that may change: a random domain's, or from a grid's least to largest.

    Raises `InputError` for values that are no numbers, and for a range without ends.
    """
    found = {}
    for name, domain in sweep.nuisance.items():
        values = values_of(domain) or ()
        if name not in CHANGEABLE or len(set(values)) == 1:
            continue
        if any(not isinstance(value, int | float) for value in values):
            raise InputError(
                f"{name}: pbt multiplies its values, and {list(values)} are not all numbers; fix the field"
            )
        known = range_of(domain) or Range(min(values), max(values), min(values) > 0 and max(values) >= 10 * min(values))
        if not (math.isfinite(known.low) and math.isfinite(known.high)):
            raise InputError(f"{name}: pbt needs a range with two ends, such as uniform, loguniform or a grid")
        found[name] = known
    return found
