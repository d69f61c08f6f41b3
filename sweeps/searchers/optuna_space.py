"""A sweep's nuisance domains as Optuna's distributions, and Optuna's parameters as values of config fields."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from search_spaces.definition import Sweep
from sweeps.record.state import TrialState
from sweeps.searchers.grid import Setting, config_of, scientific_rows
from trainables.errors import InputError

if TYPE_CHECKING:
    import optuna

DATA_FIELDS = ("dataset", "image_size", "channels", "normalization")


def distributions(sweep: Sweep) -> dict[str, optuna.distributions.BaseDistribution]:
    """The nuisance domains as Optuna's; a grid or a choice by the position of its values, which may be of any type."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
    from ray.tune.search.sample import Float, Integer, LogUniform, Quantized

    found: dict[str, Any] = {}
    for name, domain in sweep.nuisance.items():
        options = _options(domain)
        if options is not None:
            if len(options) > 1:
                found[name] = CategoricalDistribution(tuple(range(len(options))))
            continue
        sampler = domain.get_sampler()
        step = sampler.q if isinstance(sampler, Quantized) else None
        log = isinstance(sampler.get_sampler() if isinstance(sampler, Quantized) else sampler, LogUniform)
        if isinstance(domain, Float) and math.isfinite(domain.lower) and math.isfinite(domain.upper):
            found[name] = FloatDistribution(domain.lower, domain.upper, log=log, step=None if log else step)
        elif isinstance(domain, Integer):
            found[name] = IntDistribution(domain.lower, domain.upper - 1, log=log, step=1 if log else int(step or 1))
        else:
            raise InputError(f"{name}: Optuna cannot search {domain}; give it a range, a choice or a grid")
    return found


def _options(domain: Any) -> list[Any] | None:
    """The values of a grid, a choice or a constant; None for a range."""
    from ray.tune.search.sample import Categorical, Domain

    if isinstance(domain, Categorical):
        return list(domain.categories)
    if isinstance(domain, dict) and set(domain) == {"grid_search"}:
        return list(domain["grid_search"])
    return None if isinstance(domain, Domain) else [domain]


def setting_of(sweep: Sweep, params: Mapping[str, Any]) -> Setting:
    """Optuna's parameters as values of config fields; a choice of one value needs no parameter."""
    found: Setting = {}
    for name, domain in sweep.nuisance.items():
        options = _options(domain)
        found[name] = params[name] if options is None else options[params.get(name, 0)]
    return found


def first_setting(sweep: Sweep) -> Setting:
    """Some setting of the space, to see whether trials can be built."""
    space = distributions(sweep)
    return setting_of(sweep, {name: getattr(of, "low", 0) for name, of in space.items()})


def check_space(sweep: Sweep) -> None:
    """Raises `InputError` for what Optuna cannot search here."""
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise InputError("the searcher optuna needs Optuna: pip install optuna") from None
    if not distributions(sweep):
        raise InputError("Optuna has nothing to search: the sweep has no nuisance field of more than one value")
    for name in DATA_FIELDS:
        if len(_options(sweep.nuisance.get(name)) or ()) > 1:
            raise InputError(f"{name} cannot be searched by optuna, as data is loaded before: compare it, or fix it")


def belongs(sweep: Sweep, trial: TrialState) -> bool:
    """Whether a trial of a run was proposed by a sweep like this one: the same rows and space give its config."""
    rows, proposal = scientific_rows(sweep), trial.proposal or {}
    if proposal.get("row", len(rows)) >= len(rows) or set(proposal["params"]) != set(distributions(sweep)):
        return False
    setting = setting_of(sweep, proposal["params"])
    return config_of(sweep, rows[proposal["row"]], setting, rows).model_dump(mode="json") == trial.config
