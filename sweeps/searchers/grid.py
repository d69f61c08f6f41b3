"""A sweep's space expanded into configs: every scientific value with every nuisance setting, each config once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from search_spaces.definition import Sweep
from trainables.config import MODEL_OPTIONS, TrialConfig, make_config, options_of
from trainables.errors import InputError, unknown_name
from trainables.registries import registry

DRAW_SEED = 0  # of the random nuisance domains
Setting = dict[str, Any]


def expand(sweep: Sweep) -> list[TrialConfig]:
    """Every scientific value with every nuisance setting, nuisance outermost, each config once."""
    check_roles(sweep)
    rows = scientific_rows(sweep)
    unique: dict[TrialConfig, None] = {}
    for setting in nuisance_settings(sweep):
        for row in rows:
            unique[config_of(sweep, row, setting, rows)] = None
    return list(unique)


def check_roles(sweep: Sweep) -> None:
    """Raises `InputError` for a field that has two roles or does not exist."""
    compared, nuisance, fixed = set(sweep.compared), set(sweep.nuisance), set(sweep.fixed)
    twice = (compared & nuisance) | ((compared | nuisance) & fixed) | (set(sweep.scientific) & _case_fields(sweep))
    if twice:
        raise InputError(f"{', '.join(sorted(twice))}: a field has one role, scientific, nuisance or fixed")
    for name in (*sweep.compared, *sweep.nuisance, *sweep.fixed):
        if name not in TrialConfig.model_fields or name == "seeds":
            raise InputError(unknown_name("field", name, [f for f in TrialConfig.model_fields if f != "seeds"]))


def scientific_rows(sweep: Sweep) -> list[Setting]:
    """What is compared: each case with each combination of the scientific grids."""
    return [{**case, **row} for case in sweep.cases or ({},) for row in _product(_grids(sweep.scientific))]


def config_of(sweep: Sweep, row: Setting, setting: Setting, rows: Sequence[Setting]) -> TrialConfig:
    """The config of a scientific row with a nuisance setting; `rows` are all that are compared."""
    values = {**sweep.fixed, **setting, **row, "seeds": sweep.seeds}
    return make_config(_without_foreign_options(values, rows))


def _case_fields(sweep: Sweep) -> set[str]:
    return {name for case in sweep.cases for name in case}


def nuisance_settings(sweep: Sweep) -> Iterator[Setting]:
    """The product of the nuisance grids, times `samples` paired draws of the random domains.

    With the searcher `random` the grids are drawn from, too, so that there are `samples` settings in all.
    """
    from ray.tune.search.sample import Domain

    drawn = {name: domain for name, domain in sweep.nuisance.items() if isinstance(domain, Domain)}
    grids = _grids({name: domain for name, domain in sweep.nuisance.items() if name not in drawn})
    if sweep.searcher == "random":
        grids, drawn = {}, {name: _drawable(domain) for name, domain in sweep.nuisance.items()}
    rng = np.random.RandomState(DRAW_SEED)
    draws = [
        {name: _plain(domain.sample(random_state=rng)) for name, domain in drawn.items()}
        for _ in range(sweep.samples if drawn else 1)
    ]
    for draw in draws:
        for grid in _product(grids):
            yield {**grid, **draw}


def _drawable(domain: Any) -> Any:
    """A grid as a domain that is drawn from evenly; a constant as a grid of one."""
    from ray import tune
    from ray.tune.search.sample import Domain

    return domain if isinstance(domain, Domain) else tune.choice(_grids({"": domain})[""])


def _grids(domains: Mapping[str, Any]) -> dict[str, list[Any]]:
    from ray.tune.search.sample import Domain

    grids: dict[str, list[Any]] = {}
    for name, domain in domains.items():
        if isinstance(domain, Domain):
            raise InputError(f"{name} is compared, so it must be tune.grid_search([...]), not a random domain")
        grid = isinstance(domain, dict) and set(domain) == {"grid_search"}
        grids[name] = list(domain["grid_search"]) if grid else [domain]
    return grids


def _product(grids: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*grids.values()):
        yield dict(zip(grids, values, strict=True))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _without_foreign_options(values: dict[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Drop what only another of the compared models or stochastic layers reads; an option of none stays an error."""
    foreign: set[str] = set()
    for field, options in (("model", _model_options), ("stochastic", _stochastic_options)):
        compared = {row[field] for row in rows if row.get(field) in registry(field)}
        chosen = str(values.get(field))
        if len(compared) > 1 and chosen in compared:
            foreign |= set().union(*(options(name) for name in compared)) - options(chosen)
    return {name: value for name, value in values.items() if name not in foreign}


def _model_options(model: str) -> set[str]:
    return set(options_of(model)) & set(MODEL_OPTIONS)


def _stochastic_options(name: str) -> set[str]:
    entry = registry("stochastic")[name]
    return {*entry.options, *(["stochastic_strength"] if entry.strength is not None else [])}
