"""The ranges of nuisance fields whose values may change during training, for population based training."""

from __future__ import annotations

import math
from typing import Any

from search_spaces.definition import Sweep
from search_spaces.domains import Range, range_of, values_of
from trainables.errors import InputError
from trainables.trainable import trainable_of
from trainables.user_code.part_names import is_argument


def changeable_ranges(sweep: Sweep) -> dict[str, Range]:
    """Return the range of each nuisance field that may change: a random domain's, or from a grid's least to largest.

    Raises `InputError` for values that are no numbers, and for a range without ends.
    """
    found, trainable = {}, trainable_of(sweep.trainable)
    for name, domain in sweep.nuisance.items():
        values = values_of(domain) or ()
        if not trainable.may_change(name) or len(set(values)) == 1 or (is_argument(name) and not _is_real(domain)):
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


def _is_real(domain: Any) -> bool:
    """Return whether an argument has numbers that are not all whole: only those can be multiplied by 0.8 or 1.2."""
    values = values_of(domain)
    if values is None:
        known = range_of(domain)
        return known is not None and not known.whole
    return all(type(value) in (int, float) for value in values) and any(type(value) is float for value in values)
