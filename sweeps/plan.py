"""The plan: a sweep's space expanded into trials, each checked and with its key, before any worker starts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from search_spaces.definition import Asha, Sweep
from sweeps.names import two_words
from trainables.code_digest import code_digest
from trainables.config import MODEL_OPTIONS, TrialConfig, make_config, options_of, registry, trial_key
from trainables.data.arrays import Data
from trainables.data.datasets import load
from trainables.data.normalization import Normalization, normalization_of
from trainables.errors import InputError, unknown_name
from trainables.image_classifier import DataKey, data_key

DRAW_SEED = 0  # of the random nuisance domains


@dataclass(frozen=True)
class PlannedTrial:
    """One trial to run."""

    trial_id: str
    key: str
    config: TrialConfig
    folder: str
    parameters: int
    macs: int
    stratum: str


@dataclass(frozen=True)
class Plan:
    """All trials of a run with the data they need."""

    trials: tuple[PlannedTrial, ...]
    datasets: Mapping[DataKey, tuple[Data, Normalization]]
    stratify: tuple[str, ...]

    @property
    def replicates(self) -> int:
        return sum(len(trial.config.seeds) for trial in self.trials)


def make_plan(sweep: Sweep, data_root: Path | None, now: datetime) -> Plan:
    """Expand, check and name every trial. Raises `InputError` for whatever cannot run."""
    from trainables.model_size import model_size

    check_metric(sweep.metric)
    configs = expand(sweep)
    datasets = _load_datasets(configs, data_root)
    stratify = choose_strata(sweep, configs)
    trials = []
    for number, config in enumerate(configs, start=1):
        data, _ = datasets[data_key(config)]
        key = trial_key(config, data.digest, code_digest())
        size = model_size(config, data.info)
        name = f"{now:%Y%m%d-%H%M%S}_{config.model}_{config.activation}_{two_words(key)}_{key}"
        stratum = stratum_of(config, stratify)
        trials.append(PlannedTrial(f"{number:04d}", key, config, name, size.parameters, size.macs, stratum))
    return Plan(tuple(trials), datasets, stratify)


def check_metric(metric: str) -> None:
    """Only a validation metric may steer."""
    known = [f"val_{name}" for name in ("auc", "acc", "loss")]
    if metric not in known:
        raise InputError(unknown_name("metric", metric, known) + "; nothing is ever selected by train or test")


def _load_datasets(configs: list[TrialConfig], data_root: Path | None) -> dict[DataKey, tuple[Data, Normalization]]:
    loaded: dict[tuple[str, int | None, int | None], Data] = {}
    datasets: dict[DataKey, tuple[Data, Normalization]] = {}
    for config in configs:
        where = config.dataset, config.image_size, config.channels
        if where not in loaded:
            loaded[where] = load(config.dataset, config.image_size, data_root, config.channels)
        if data_key(config) not in datasets:
            datasets[data_key(config)] = loaded[where], normalization_of(config.normalization, loaded[where])
    return datasets


def expand(sweep: Sweep) -> list[TrialConfig]:
    """Every scientific value with every nuisance setting, nuisance outermost, each config once."""
    compared, nuisance, fixed = set(sweep.compared), set(sweep.nuisance), set(sweep.fixed)
    twice = (compared & nuisance) | ((compared | nuisance) & fixed) | (set(sweep.scientific) & _case_fields(sweep))
    if twice:
        raise InputError(f"{', '.join(sorted(twice))}: a field has one role, scientific, nuisance or fixed")
    for name in (*sweep.compared, *sweep.nuisance, *sweep.fixed):
        if name not in TrialConfig.model_fields or name == "seeds":
            raise InputError(unknown_name("field", name, [f for f in TrialConfig.model_fields if f != "seeds"]))
    scientific = [{**case, **row} for case in sweep.cases or ({},) for row in _product(_grids(sweep.scientific))]
    unique: dict[TrialConfig, None] = {}
    for setting in nuisance_settings(sweep):
        for row in scientific:
            values = {**sweep.fixed, **setting, **row, "seeds": sweep.seeds}
            unique[make_config(_without_foreign_options(values, scientific))] = None
    return list(unique)


def _case_fields(sweep: Sweep) -> set[str]:
    return {name for case in sweep.cases for name in case}


def nuisance_settings(sweep: Sweep) -> Iterator[dict[str, Any]]:
    """The product of the nuisance grids, times `samples` paired draws of the random domains."""
    from ray.tune.search.sample import Domain

    random = {name: domain for name, domain in sweep.nuisance.items() if isinstance(domain, Domain)}
    grids = _grids({name: domain for name, domain in sweep.nuisance.items() if name not in random})
    rng = np.random.RandomState(DRAW_SEED)
    draws = [
        {name: _plain(domain.sample(random_state=rng)) for name, domain in random.items()}
        for _ in range(sweep.samples if random else 1)
    ]
    for draw in draws:
        for grid in _product(grids):
            yield {**grid, **draw}


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


def choose_strata(sweep: Sweep, configs: list[TrialConfig]) -> tuple[str, ...]:
    """The fields whose values compete only among themselves (see `Asha.stratify`)."""
    if not isinstance(sweep.scheduler, Asha):
        return ()
    if sweep.scheduler.stratify is not None:
        for name in sweep.scheduler.stratify:
            if name not in TrialConfig.model_fields:
                raise InputError(unknown_name("field to stratify by", name, TrialConfig.model_fields))
        return sweep.scheduler.stratify
    fields = sweep.compared
    sizes: dict[str, int] = {}
    for config in configs:
        stratum = stratum_of(config, fields)
        sizes[stratum] = sizes.get(stratum, 0) + 1
    return fields if fields and min(sizes.values()) > sweep.scheduler.reduction else ()


def stratum_of(config: TrialConfig, fields: tuple[str, ...]) -> str:
    """A readable name of the group that a trial competes in: `activation=relu`."""
    return " ".join(f"{name}={getattr(config, name)}" for name in fields)
