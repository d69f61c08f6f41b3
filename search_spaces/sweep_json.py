"""A sweep as JSON, and back: what `run.json` holds of it, so that a run can be repeated as it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from search_spaces.definition import IMAGE_CLASSIFIER, Mode, Optuna, Resources, Rule, Sweep
from search_spaces.domains import domain_data, plain
from trainables.atomic_files import read_regular
from trainables.errors import InputError

DOMAINS = (
    "choice", "grid_search", "lograndint", "loguniform", "qlograndint", "qloguniform", "qrandint", "qrandn", "quniform",
    "randint", "randn", "uniform",
)  # fmt: skip
ROLES = ("scientific", "nuisance", "fixed")


def to_data(sweep: Sweep) -> dict[str, Any]:
    """Return a sweep as JSON holds it. Raises `InputError` for a domain that is code."""
    roles = {role: {name: domain_data(name, of) for name, of in getattr(sweep, role).items()} for role in ROLES}
    names = ("question", "seeds", "samples", "trainable", "metric", "mode", "replicates")
    return {
        **{name: getattr(sweep, name) for name in names},
        **roles,
        "cases": [{name: plain(value) for name, value in case.items()} for case in sweep.cases],
        "scheduler": rule_data(sweep.scheduler),
        "searcher": rule_data(sweep.searcher),
        "resources": asdict(sweep.resources),
    }


def rule_data(rule: Any) -> Any:
    """Return a scheduler or searcher with its options, `{"asha": {"grace": 1, ...}}`; its name where it has none."""
    return rule if isinstance(rule, str) else {type(rule).__name__.lower(): asdict(rule)}


def read_sweep(path: Path) -> tuple[str, Sweep]:
    """Return (name, sweep) that a run's folder, or its `run.json`, was made from. Raises `InputError`."""
    file = path / "run.json" if path.is_dir() else path
    try:
        content = json.loads(read_regular(file))
        return str(content["sweep"]), from_data(content["definition"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{file} holds no sweep that can be run again ({type(error).__name__}: {error})") from None


def from_data(data: Mapping[str, Any]) -> Sweep:
    """Return the sweep that `to_data` made data of. Raises `InputError`, or what a missing or foreign entry raises."""
    own: dict[str, Any] = {name: data[name] for name in ("question", "samples", "metric", "replicates")}
    roles: dict[str, Any] = {role: {name: _domain(name, of) for name, of in data[role].items()} for role in ROLES}
    return Sweep(
        **own,
        **roles,
        trainable=data.get("trainable", IMAGE_CLASSIFIER),
        mode=cast(Mode, data.get("mode")),
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
    known: list[Any] = [Optuna, *Rule.__subclasses__()]
    kinds = {kind.__name__.lower(): kind for kind in known}
    return kinds[name](**{option: _tupled(value) for option, value in options.items()})


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
    """Return a list as a tuple: configs hold tuples where JSON has lists."""
    return tuple(value) if isinstance(value, list) else value
