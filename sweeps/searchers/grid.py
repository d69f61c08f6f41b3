"""A sweep's space expanded into configs: every scientific value with every nuisance setting, each config once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from search_spaces.definition import Sweep
from search_spaces.domains import check_domain, draw, is_random, plain, values_of
from trainables.errors import InputError
from trainables.trainable import trainable_of
from trainables.user_code.in_use import source_of
from trainables.user_code.source import is_user_code

# seed of the random nuisance domains
DRAW_SEED = 0
MOST_TRIALS = 100_000
Setting = dict[str, Any]


def expand(sweep: Sweep) -> list[Any]:
    """Return every scientific value with every nuisance setting, nuisance outermost, each config once."""
    check_roles(sweep)
    check_size(count_settings(sweep))
    rows, tuned = scientific_rows(sweep), tuned_values(sweep)
    unique: dict[Any, None] = {}
    for setting in nuisance_settings(sweep):
        for row in rows:
            unique[config_of(sweep, row, setting, rows, tuned)] = None
    return list(unique)


def count_settings(sweep: Sweep) -> int:
    """Return how many configs a sweep's grids and draws make, before equal ones are taken as one."""
    drawn = sweep.searcher == "random" or any(map(is_random, sweep.nuisance.values()))
    grids = [] if sweep.searcher == "random" else [d for d in sweep.nuisance.values() if not is_random(d)]
    sizes = [len(values_of(domain) or ()) for domain in (*sweep.scientific.values(), *grids)]
    return math.prod(sizes) * max(1, len(sweep.cases)) * (sweep.samples if drawn else 1)


def check_size(trials: int) -> None:
    """Raises `InputError` for a sweep of more trials than `MOST_TRIALS`."""
    if trials > MOST_TRIALS:
        raise InputError(
            f"the sweep has {trials:,} trials, and {MOST_TRIALS:,} are the most: fix a field, or draw from the grids "
            "with --searcher random --samples N"
        )


def check_roles(sweep: Sweep) -> None:
    """Raises `InputError` for a field that has two roles or does not exist."""
    compared, nuisance, fixed = set(sweep.compared), set(sweep.nuisance), set(sweep.fixed)
    twice = (compared & nuisance) | ((compared | nuisance) & fixed) | (set(sweep.scientific) & _case_fields(sweep))
    if twice:
        raise InputError(f"{', '.join(sorted(twice))}: a field has one role, scientific, nuisance or fixed")
    trainable = trainable_of(sweep.trainable)
    for name in (*sweep.compared, *sweep.nuisance, *sweep.fixed):
        trainable.check_field(name)
    for name, domain in (*sweep.scientific.items(), *sweep.nuisance.items()):
        check_domain(name, domain)
    # Workers get what has been asked for, so all that any trial may need is read now.
    for spec in specs_of(sweep):
        source_of(spec)
    for name, domain in (*sweep.scientific.items(), *sweep.fixed.items()):
        if is_random(domain):
            raise InputError(f"{name} is compared or fixed, so it must be tune.grid_search([...]) or a value")


def specs_of(sweep: Sweep) -> Iterator[str]:
    """Yield the user's code that any trial of a sweep may need."""
    if is_user_code(sweep.trainable):
        yield sweep.trainable
    for values in (sweep.scientific, sweep.nuisance, sweep.fixed, *sweep.cases):
        for field in trainable_of(sweep.trainable).code_fields:
            found = (values_of(values[field]) or ()) if field in values else ()
            yield from (value for value in found if is_user_code(value))


def scientific_rows(sweep: Sweep) -> list[Setting]:
    """Return what is compared: each case with each combination of the scientific grids."""
    check_size(count_settings(replace(sweep, nuisance={})))
    cases = [{name: plain(value) for name, value in case.items()} for case in sweep.cases or ({},)]
    return [{**case, **row} for case in cases for row in _product(_grids(sweep.scientific))]


def tuned_values(sweep: Sweep) -> dict[str, Sequence[Any]]:
    """Return the values of each nuisance field that lists them, none of one that is drawn from a range."""
    return {name: values_of(domain) or () for name, domain in sweep.nuisance.items()}


def config_of(
    sweep: Sweep,
    row: Setting,
    setting: Setting,
    rows: Sequence[Setting],
    tuned: Mapping[str, Sequence[Any]] | None = None,
) -> Any:
    """Return the config of a scientific row with a nuisance setting.

    rows: all that are compared. tuned: `tuned_values`, for whoever makes many configs of long grids.
    """
    values = {**{name: plain(value) for name, value in sweep.fixed.items()}, **setting, **row, "seeds": sweep.seeds}
    return trainable_of(sweep.trainable).plan(values, rows, tuned_values(sweep) if tuned is None else tuned)


def _case_fields(sweep: Sweep) -> set[str]:
    return {name for case in sweep.cases for name in case}


def nuisance_settings(sweep: Sweep) -> Iterator[Setting]:
    """Yield the product of the nuisance grids, times `samples` paired draws of the random domains.

    With the searcher `random` the grids are drawn from, too, so that there are `samples` settings in all.
    """
    if sweep.searcher == "random":
        drawn = {name: as_drawn(domain) for name, domain in sweep.nuisance.items()}
    else:
        drawn = {name: domain for name, domain in sweep.nuisance.items() if is_random(domain)}
    grids = _grids({name: domain for name, domain in sweep.nuisance.items() if name not in drawn})
    rng = np.random.RandomState(DRAW_SEED)
    for _ in range(sweep.samples if drawn else 1):
        drawn_now = {name: draw(domain, rng) for name, domain in drawn.items()}
        for grid in _product(grids):
            yield {**grid, **drawn_now}


def as_drawn(domain: Any) -> Any:
    """Return a grid as a domain that is drawn from evenly, a constant as a grid of one."""
    from ray import tune

    return domain if is_random(domain) else tune.choice(values_of(domain) or [])


def _grids(domains: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the values of grids and constants."""
    return {name: values_of(domain) or [] for name, domain in domains.items()}


def _product(grids: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*grids.values()):
        yield dict(zip(grids, values, strict=True))
