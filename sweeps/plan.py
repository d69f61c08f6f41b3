"""The plan: a sweep's space expanded into trials, each checked and with its key, before any worker starts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from search_spaces.definition import Asha, Median, Optuna, Pbt, Sweep, check_metric
from sweeps.asha import bracket_weights, next_bracket
from sweeps.expansion import check_roles, config_of, expand, scientific_rows
from sweeps.names import two_words
from sweeps.population import check_population, population_fields
from trainables.code_digest import code_digest
from trainables.config import TrialConfig
from trainables.data.arrays import Data
from trainables.data.datasets import load
from trainables.data.normalization import Normalization, normalization_of
from trainables.errors import InputError, unknown_name
from trainables.image_classifier import DataKey, data_key
from trainables.trial_key import trial_key
from trainables.weights import weights_digest


@dataclass(frozen=True)
class PlannedTrial:
    """One trial to run."""

    trial_id: str  # "0007"; "0007.2" for the third replicate of it, where replicates run apart
    key: str
    config: TrialConfig
    folder: str
    parameters: int
    macs: int
    stratum: str
    bracket: int = 0


@dataclass
class Planner:
    """Makes trials of configs: names, keys, sizes, strata and brackets."""

    datasets: Mapping[DataKey, tuple[Data, Normalization]]
    stratify: tuple[str, ...]
    now: datetime
    brackets: list[float] = field(default_factory=lambda: [1.0])  # weights of ASHA's brackets
    taken: dict[str, dict[int, int]] = field(default_factory=dict)  # trials by stratum and bracket

    def trial(self, config: TrialConfig, trial_id: str) -> PlannedTrial:
        """A config as a trial. Raises `InputError` where its model cannot be built."""
        from trainables.model_size import model_size

        data, _ = self.datasets[data_key(config)]
        key = trial_key(config, data.digest, code_digest(), weights_digest(config))
        size = model_size(config, data.info)
        name = f"{self.now:%Y%m%d-%H%M%S}_{config.model}_{config.activation}_{two_words(key)}_{key}"
        stratum = stratum_of(config, self.stratify)
        taken = self.taken.setdefault(stratum, {})
        bracket = next_bracket(taken, self.brackets)
        taken[bracket] = taken.get(bracket, 0) + 1
        return PlannedTrial(trial_id, key, config, name, size.parameters, size.macs, stratum, bracket)


@dataclass(frozen=True)
class Plan:
    """All trials of a run with the data they need; with the searcher Optuna, more are planned while it runs."""

    trials: tuple[PlannedTrial, ...]
    planner: Planner
    proposed: int = 0  # trials that the searcher makes in all
    epochs: int = 1  # that the longest of them is trained
    examples: tuple[PlannedTrial, ...] = ()  # one for each compared value, where the searcher makes the trials

    @property
    def datasets(self) -> Mapping[DataKey, tuple[Data, Normalization]]:
        return self.planner.datasets

    @property
    def stratify(self) -> tuple[str, ...]:
        return self.planner.stratify


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
    from sweeps.proposals import check_space, first_setting

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


def stratum_of(config: TrialConfig, fields: tuple[str, ...]) -> str:
    """A readable name of the group that a trial competes in: `activation=relu`."""
    return " ".join(f"{name}={getattr(config, name)}" for name in fields)
