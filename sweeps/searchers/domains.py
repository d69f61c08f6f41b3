"""The ranges of nuisance domains whose values may change during training."""

from __future__ import annotations

import math
from dataclasses import dataclass

from search_spaces.definition import Sweep
from trainables.config import CHANGEABLE
from trainables.errors import InputError


@dataclass(frozen=True)
class Range:
    """Where a value may go."""

    low: float
    high: float
    log: bool

    def unit(self, value: float) -> float:
        """The value's place in the range, 0 to 1."""
        low, high, value = (math.log(x) if self.log else x for x in (self.low, self.high, value))
        return min(1.0, max(0.0, (value - low) / (high - low)))

    def value(self, unit: float) -> float:
        low, high = (math.log(x) if self.log else x for x in (self.low, self.high))
        found = low + unit * (high - low)
        return min(self.high, max(self.low, math.exp(found) if self.log else found))


def ranges(sweep: Sweep) -> dict[str, Range]:
    """Of each nuisance field that may change during training: a random domain's, or that of a grid's numbers."""
    from ray.tune.search.sample import Categorical, Float, LogUniform, Quantized

    found = {}
    for name, domain in sweep.nuisance.items():
        if name not in CHANGEABLE:
            continue
        if isinstance(domain, Float):
            sampler = domain.get_sampler()
            inner = sampler.get_sampler() if isinstance(sampler, Quantized) else sampler
            low, high, log = domain.lower, domain.upper, isinstance(inner, LogUniform)
        else:
            grid = isinstance(domain, dict) and set(domain) == {"grid_search"}
            values = domain["grid_search"] if grid else domain.categories if isinstance(domain, Categorical) else []
            numbers = [value for value in values if isinstance(value, int | float)]
            if len(set(numbers)) < 2:
                continue
            low, high = min(numbers), max(numbers)
            log = low > 0 and high >= 10 * low
        if not (math.isfinite(low) and math.isfinite(high)):
            raise InputError(f"{name}: pbt needs a range with two ends, such as uniform, loguniform or a grid")
        found[name] = Range(low, high, log)
    return found
