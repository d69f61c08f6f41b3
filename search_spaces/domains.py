"""Reads the domains of `ray.tune`: a grid, a choice or a constant as values, a range as its ends and step.

The only file that reads the attributes of Tune's domains and samplers (tried with Ray 2.60).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trainables.errors import InputError


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both counted in. step: they are its multiples; None: any number between."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False

    def unit(self, value: float) -> float:
        """Return the value's position in the range, from 0 to 1."""
        low, high, value = (math.log(x) if self.log else x for x in (self.low, self.high, value))
        return min(1.0, max(0.0, (value - low) / (high - low)))

    def value(self, unit: float) -> float:
        """Return the value at a position from 0 to 1."""
        low, high = (math.log(x) if self.log else x for x in (self.low, self.high))
        found = low + unit * (high - low)
        return min(self.high, max(self.low, math.exp(found) if self.log else found))

    def rounded(self, value: float) -> float | int:
        """Return the multiple of `step` that is nearest to a value, within the range."""
        if self.step is not None:
            value = self.step * min(self.last, max(self.first, round(value / self.step)))
        return round(value) if self.whole else value

    @property
    def first(self) -> int:
        """The least multiple of `step` in the range, in steps; a bound that misses one by rounding alone counts."""
        return _index(self.low / (self.step or 1.0), math.ceil)

    @property
    def last(self) -> int:
        """The largest multiple of `step` in the range, in steps; a bound that misses one by rounding alone counts."""
        return _index(self.high / (self.step or 1.0), math.floor)


def _index(scaled: float, cut: Any) -> int:
    return int(round(scaled) if math.isclose(scaled, round(scaled)) else cut(scaled))


def values_of(domain: Any) -> list[Any] | None:
    """Return the values of a grid, a choice or a constant, as plain Python values; None for a range or code."""
    from ray.tune.search.sample import Categorical, Domain

    if is_grid(domain):
        return [plain(value) for value in domain["grid_search"]]
    if isinstance(domain, Categorical):
        return [plain(value) for value in domain.categories]
    return None if isinstance(domain, Domain) else [plain(domain)]


def is_grid(domain: Any) -> bool:
    """Return whether a domain is `tune.grid_search([...])`."""
    return isinstance(domain, dict) and set(domain) == {"grid_search"}


def is_random(domain: Any) -> bool:
    """Return whether a domain is drawn from, choices among them."""
    from ray.tune.search.sample import Domain

    return isinstance(domain, Domain)


def range_of(domain: Any) -> Range | None:
    """Return the range of a random number; its ends are infinite for a normal. None for all other domains."""
    from ray.tune.search.sample import Float, Integer, LogUniform, Quantized

    if not isinstance(domain, Float | Integer):
        return None
    sampler = domain.get_sampler()
    step = sampler.q if isinstance(sampler, Quantized) else None
    log = isinstance(sampler.get_sampler() if isinstance(sampler, Quantized) else sampler, LogUniform)
    whole = isinstance(domain, Integer)
    # Tune leaves out the upper end of whole numbers, but not of those with a step above 1
    high = domain.upper - 1 if whole and step in (None, 1) else domain.upper
    found = Range(domain.lower, high, log, step if step != 1 or not whole else None, whole)
    if step is None or math.isinf(domain.lower):
        return found
    if found.last < found.first:
        raise InputError(f"{domain.domain_str}: there is no multiple of {step} between the ends")
    return Range(found.first * step, found.last * step, log, found.step, whole) if found.step else found


def normal_of(domain: Any) -> tuple[float, float] | None:
    """Return (mean, standard deviation) of a normal; None for all other domains."""
    from ray.tune.search.sample import Float, Normal, Quantized

    sampler = domain.get_sampler() if isinstance(domain, Float) else None
    inner = sampler.get_sampler() if isinstance(sampler, Quantized) else sampler
    return (inner.mean, inner.sd) if isinstance(inner, Normal) else None


def check_domain(name: str, domain: Any) -> None:
    """Raises `InputError` for a domain that is code, which a run cannot keep and draw again, or that has no value."""
    if values_of(domain) is None and range_of(domain) is None:
        raise InputError(
            f"{name}: tune.sample_from is code, which a run cannot keep and draw again; use a domain of ray.tune, such "
            "as tune.uniform(low, high), or list the values in tune.grid_search([...])"
        )
    if values_of(domain) == []:
        raise InputError(f"{name} has no values: give it one or more")


def domain_data(name: str, domain: Any) -> Any:
    """Return `{"loguniform": [1e-4, 1e-1]}` and the like, by the names of `ray.tune`; a constant as it is."""
    check_domain(name, domain)
    values, normal = values_of(domain), normal_of(domain)
    if values is not None:
        kind = "grid_search" if is_grid(domain) else "choice" if is_random(domain) else ""
        return {kind: values} if kind else values[0]
    found = range_of(domain)
    sampler = domain.get_sampler()
    step = getattr(sampler, "q", None)
    assert found is not None
    kind = "randn" if normal else ("log" if found.log else "") + ("randint" if found.whole else "uniform")
    numbers = list(normal) if normal else [domain.lower, domain.upper]
    return {kind: numbers} if step is None else {f"q{kind}": [*numbers, step]}


def show_domain(domain: Any) -> Any:
    """Return a grid as its list, a random domain as Tune writes it, a constant as it is."""
    if is_random(domain):
        return f"{type(domain).__name__} {domain.domain_str}"
    values = values_of(domain) or []
    return values if is_grid(domain) else values[0]


def draw(domain: Any, random_state: Any) -> Any:
    """Return one value of a random domain."""
    return plain(domain.sample(random_state=random_state))


def plain(value: Any) -> Any:
    """Return NumPy's numbers, texts and arrays as Python's own."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return type(value)(map(plain, value)) if isinstance(value, list | tuple) else list(map(plain, value))
    return value.tolist() if hasattr(value, "tolist") else value
