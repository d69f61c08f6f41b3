"""A sweep as data, and back: what `run.json` holds of it, so that a run can be repeated as it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from search_spaces.definition import Asha, Median, Optuna, Pbt, Resources, Sweep
from trainables.errors import InputError

RULES: dict[str, type] = {"asha": Asha, "median": Median, "pbt": Pbt, "optuna": Optuna}
DOMAINS = (
    "choice", "grid_search", "lograndint", "loguniform", "qlograndint", "qloguniform", "qrandint", "qrandn", "quniform",
    "randint", "randn", "uniform",
)  # fmt: skip
ROLES = ("scientific", "nuisance", "fixed")


def to_data(sweep: Sweep) -> dict[str, Any]:
    """A sweep as JSON holds it. Raises `InputError` for a domain that is code."""
    roles = {role: {name: _domain_data(name, of) for name, of in getattr(sweep, role).items()} for role in ROLES}
    plain = ("question", "seeds", "samples", "metric", "mode", "replicates")
    return {
        **{name: getattr(sweep, name) for name in plain},
        **roles,
        "cases": [dict(case) for case in sweep.cases],
        "scheduler": rule_data(sweep.scheduler),
        "searcher": rule_data(sweep.searcher),
        "resources": asdict(sweep.resources),
    }


def rule_data(rule: Any) -> Any:
    """A scheduler or searcher with its options, `{"asha": {"grace": 1, ...}}`; one without options by its name."""
    return rule if isinstance(rule, str) else {type(rule).__name__.lower(): asdict(rule)}


def _domain_data(name: str, domain: Any) -> Any:
    """`{"loguniform": [1e-4, 1e-1]}` and the like, by the names of `ray.tune`; a constant as it is."""
    from ray.tune.search.sample import Categorical, Domain, Float, Integer, LogUniform, Normal, Quantized

    if not isinstance(domain, Domain):
        return domain
    if isinstance(domain, Categorical):
        return {"choice": list(domain.categories)}
    if not isinstance(domain, Float | Integer):
        raise InputError(f"{name}: {domain} is code, which a run cannot keep; use a domain of ray.tune such as uniform")
    sampler = domain.get_sampler()
    step = sampler.q if isinstance(sampler, Quantized) else None
    inner = sampler.get_sampler() if isinstance(sampler, Quantized) else sampler
    if isinstance(inner, Normal):
        kind, numbers = "randn", [inner.mean, inner.sd]
    else:
        log = "log" if isinstance(inner, LogUniform) else ""
        kind = log + ("uniform" if isinstance(domain, Float) else "randint")
        numbers = [domain.lower, domain.upper]
    return {kind: numbers} if step is None else {f"q{kind}": [*numbers, step]}


def show_domain(domain: Any) -> Any:
    """A grid as its list, a random domain as Tune writes it, a constant as it is."""
    if isinstance(domain, dict) and set(domain) == {"grid_search"}:
        return domain["grid_search"]
    return f"{type(domain).__name__} {domain.domain_str}" if hasattr(domain, "domain_str") else domain


def read_sweep(path: Path) -> tuple[str, Sweep]:
    """(name, sweep) that a run's folder, or its `run.json`, was made from. Raises `InputError`."""
    file = path / "run.json" if path.is_dir() else path
    try:
        about = json.loads(file.read_text())
        return str(about["sweep"]), from_data(about["definition"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file} holds no sweep that can be run again ({type(error).__name__}: {error})") from None


def from_data(data: Mapping[str, Any]) -> Sweep:
    """The sweep that `to_data` made data of. Raises `InputError`, or what a missing or foreign entry raises."""
    plain: dict[str, Any] = {name: data[name] for name in ("question", "samples", "metric", "mode", "replicates")}
    roles: dict[str, Any] = {role: {name: _domain(name, of) for name, of in data[role].items()} for role in ROLES}
    return Sweep(
        **plain,
        **roles,
        cases=tuple({name: _tupled(value) for name, value in case.items()} for case in data["cases"]),
        seeds=tuple(data["seeds"]),
        scheduler=_rule(data["scheduler"]),
        searcher=_rule(data["searcher"]),
        resources=Resources(**data["resources"]),
    )


def _rule(data: Any) -> Any:
    if isinstance(data, str):
        return data
    ((name, options),) = data.items()
    return RULES[name](**{option: _tupled(value) for option, value in options.items()})


def _domain(name: str, data: Any) -> Any:
    from ray import tune

    if not isinstance(data, dict):
        return _tupled(data)
    ((kind, values),) = data.items()
    if kind not in DOMAINS:
        raise InputError(f"{name}: unknown domain {kind!r}; there are {', '.join(DOMAINS)}")
    if kind in ("choice", "grid_search"):
        return getattr(tune, kind)([_tupled(value) for value in values])
    return getattr(tune, kind)(*values)


def _tupled(value: Any) -> Any:
    """Configs hold tuples where JSON has lists."""
    return tuple(value) if isinstance(value, list) else value
