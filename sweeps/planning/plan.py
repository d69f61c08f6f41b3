"""The plan: a sweep's space expanded into trials, each checked and with its key, before any worker starts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from search_spaces.definition import Asha, Median, Optuna, Pbt, Sweep, check_metric
from sweeps.planning.trials import Plan, PlannedTrial, Planner, stratum_of
from sweeps.schedulers.asha import bracket_weights
from sweeps.schedulers.population import population_fields
from sweeps.searchers.domains import ranges
from sweeps.searchers.grid import check_roles, config_of, expand, scientific_rows
from sweeps.searchers.optuna_space import check_space, first_setting
from trainables.config import CHANGEABLE, TrialConfig, make_config
from trainables.data.arrays import Data
from trainables.data.datasets import load
from trainables.data.normalization import Normalization, normalization_of
from trainables.errors import InputError, unknown_name
from trainables.image_classifier import DataKey, data_key


def make_plan(sweep: Sweep, data_root: Path | None, now: datetime) -> Plan:
    """Expand, check and name every trial. Raises `InputError` for whatever cannot run."""
    check_metric(sweep.metric)
    if isinstance(sweep.searcher, Optuna):
        return _open_plan(sweep, sweep.searcher, data_root, now)
    configs = expand(sweep)
    planner = make_planner(sweep, configs, data_root, now)
    apart = sweep.replicates == "apart"
    trials = [
        planner.trial(part, f"{number:04d}.{place}" if apart else f"{number:04d}")
        for number, config in enumerate(configs, start=1)
        for place, part in enumerate(_by_seed(config) if apart else [config])
    ]
    if isinstance(sweep.scheduler, Pbt):
        check_population(sweep, trials)
    return Plan(tuple(trials), planner, epochs=max(trial.config.epochs for trial in trials))


def _open_plan(sweep: Sweep, searcher: Optuna, data_root: Path | None, now: datetime) -> Plan:
    """No trial yet, but the data for all, and the proof that every scientific value can run."""
    for metric in searcher.metrics:
        check_metric(metric)
    check_roles(sweep)
    if isinstance(sweep.scheduler, Pbt):
        raise InputError("pbt and pb2 find values themselves: leave out --searcher optuna, or choose another scheduler")
    if sweep.replicates == "apart":
        raise InputError("the searcher optuna is told means over replicates: leave --replicates at together")
    check_space(sweep)
    rows = scientific_rows(sweep)
    configs = [config_of(sweep, row, first_setting(sweep), rows) for row in rows]
    planner = make_planner(sweep, configs * sweep.samples, data_root, now)
    examples = tuple(planner.trial(config, "") for config in configs)
    planner.taken.clear()
    epochs = max(config.epochs for config in configs)
    return Plan((), planner, len(configs) * sweep.samples, epochs, examples)


def make_planner(sweep: Sweep, configs: Sequence[TrialConfig], data_root: Path | None, now: datetime) -> Planner:
    """The planner for configs like these."""
    planner = Planner(load_datasets(configs, data_root), choose_strata(sweep, configs), now)
    if isinstance(sweep.scheduler, Asha):
        planner.brackets = bracket_weights(sweep.scheduler, max(config.epochs for config in configs))
    return planner


def _by_seed(config: TrialConfig) -> list[TrialConfig]:
    return [config.model_copy(update={"seeds": (seed,)}) for seed in config.seeds]


def with_ids(trials: Sequence[PlannedTrial], known: Mapping[str, tuple[str, str]]) -> list[PlannedTrial]:
    """The trials with ids and folders of those known by key, (id, folder); new ones count on from the last number.

    Replicates of one config that run apart share a number, known or new.
    """
    last = max((int(trial_id.split(".")[0]) for trial_id, _ in known.values()), default=0)
    numbers: dict[str, str] = {}  # of this plan -> of the run
    for trial in trials:
        if trial.key in known:
            numbers[_number(trial.trial_id)] = _number(known[trial.key][0])
    found = []
    for trial in trials:
        if trial.key in known:
            trial_id, folder = known[trial.key]
            found.append(replace(trial, trial_id=trial_id, folder=folder))
            continue
        number, dot, place = trial.trial_id.partition(".")
        if number not in numbers:
            last += 1
            numbers[number] = f"{last:04d}"
        found.append(replace(trial, trial_id=numbers[number] + dot + place))
    return found


def _number(trial_id: str) -> str:
    return trial_id.split(".")[0]


def settle(sweep: Sweep, address: str | None, about: Mapping[str, Any]) -> Sweep:
    """The sweep with `replicates="auto"` decided: as the run that is resumed decided, else by this machine.

    Apart where so few trials would leave processors idle; else together, which stops replicates as one.
    """
    if sweep.replicates != "auto":
        return sweep
    known: Any = about.get("replicates")
    if known is None:
        few = len(expand(sweep)) * sweep.resources.cpus < (os.cpu_count() or 1) and address is None
        known = "apart" if few and len(sweep.seeds) > 1 and not isinstance(sweep.searcher, Optuna) else "together"
    return replace(sweep, replicates=known)


def load_datasets(configs: Sequence[TrialConfig], data_root: Path | None) -> dict[DataKey, tuple[Data, Normalization]]:
    """The data of all configs, each dataset once."""
    loaded: dict[tuple[str, int | None, int | None], Data] = {}
    datasets: dict[DataKey, tuple[Data, Normalization]] = {}
    for config in configs:
        where = config.dataset, config.image_size, config.channels
        if where not in loaded:
            loaded[where] = load(config.dataset, config.image_size, data_root, config.channels)
        if data_key(config) not in datasets:
            datasets[data_key(config)] = loaded[where], normalization_of(config.normalization, loaded[where])
    return datasets


def choose_strata(sweep: Sweep, configs: Sequence[TrialConfig]) -> tuple[str, ...]:
    """The fields whose values compete only among themselves (see `Asha.stratify`)."""
    rule = sweep.scheduler
    if isinstance(rule, Pbt):
        return population_fields(sweep)
    if not isinstance(rule, Asha | Median):
        return ()
    if rule.stratify is not None:
        for name in rule.stratify:
            if name not in TrialConfig.model_fields:
                raise InputError(unknown_name("field to stratify by", name, TrialConfig.model_fields))
        return rule.stratify
    fields = sweep.compared
    sizes: dict[str, int] = {}
    for config in configs:
        stratum = stratum_of(config, fields)
        sizes[stratum] = sizes.get(stratum, 0) + 1
    enough = rule.reduction if isinstance(rule, Asha) else rule.min_peers
    return fields if fields and min(sizes.values()) > enough else ()


SMALLEST = 3  # trials of a population


def check_population(sweep: Sweep, trials: Sequence[PlannedTrial]) -> None:
    """Raises `InputError` for a sweep that has no populations to train."""
    domains = ranges(sweep)
    if not domains:
        raise InputError(f"pbt has nothing to change: give {', '.join(CHANGEABLE)} or several of them a range")
    if sweep.replicates == "apart":
        raise InputError("pbt compares means over replicates: leave --replicates at together")
    sizes = Counter(trial.stratum for trial in trials)
    least = min(sizes, key=lambda stratum: sizes[stratum])
    if sizes[least] < SMALLEST:
        where = f" of {least}" if least else ""
        raise InputError(
            f"a population{where} has {sizes[least]} trials and needs {SMALLEST} or more: raise --samples, or give "
            f"{', '.join(domains)} more values"
        )
    for trial in trials:
        make_config({**trial.config.model_dump(), **{name: domain.low for name, domain in domains.items()}})
