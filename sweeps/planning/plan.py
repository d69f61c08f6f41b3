"""The plan: a sweep's space expanded into trials, each checked and with its key, before any worker starts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from search_spaces.definition import Asha, Optuna, Pbt, Sweep
from sweeps.planning.notes import plan_notes
from sweeps.planning.trials import Plan, PlannedTrial, Planner
from sweeps.schedulers.asha import bracket_weights
from sweeps.schedulers.pbt import population_fields
from sweeps.searchers.domains import changeable_ranges
from sweeps.searchers.grid import check_roles, check_size, config_of, expand, scientific_rows
from sweeps.searchers.optuna_space import check_space, first_setting, settings_of_each_row
from trainables.errors import InputError
from trainables.trainable import trainable_of


def make_plan(sweep: Sweep, data_root: Path | None, now: datetime) -> Plan:
    """Expand, check and name every trial. Raises `InputError` for whatever cannot run."""
    if isinstance(sweep.searcher, Optuna):
        plan = plan_for_optuna(sweep, data_root, now)
    else:
        configs = expand(sweep)
        planner = make_planner(sweep, configs, data_root, now)
        apart = sweep.replicates == "apart"
        trials = [
            planner.trial(part, f"{number:04d}.{position}" if apart else f"{number:04d}")
            for number, config in enumerate(configs, start=1)
            for position, part in enumerate(by_seed(config) if apart else [config])
        ]
        if isinstance(sweep.scheduler, Pbt):
            check_population(sweep, trials)
        plan = Plan(tuple(trials), planner, epochs=max(trial.config.epochs for trial in trials))
    return replace(plan, notes=plan_notes(sweep, plan))


def plan_for_optuna(sweep: Sweep, data_root: Path | None, now: datetime) -> Plan:
    """Return a plan without trials yet, but with the data for all, and one example of every scientific value."""
    check_roles(sweep)
    if isinstance(sweep.scheduler, Pbt):
        raise InputError("pbt and pb2 find values themselves: leave out --searcher optuna, or choose another scheduler")
    if sweep.replicates == "apart":
        raise InputError("the searcher optuna is told means over replicates: leave --replicates at together")
    check_space(sweep)
    check_size(len(scientific_rows(sweep)) * sweep.samples)
    rows = scientific_rows(sweep)
    configs = [config_of(sweep, row, first_setting(sweep), rows) for row in rows]
    planner = make_planner(sweep, configs, data_root, now)
    examples = tuple(planner.trial(config, "") for config in configs)
    planner.trials_by_bracket.clear()
    epochs = max(config.epochs for config in configs)
    return Plan((), planner, len(rows) * settings_of_each_row(sweep), epochs, examples)


def make_planner(sweep: Sweep, configs: Sequence[Any], data_root: Path | None, now: datetime) -> Planner:
    """Return the planner for configs like these."""
    trainable = trainable_of(sweep.trainable)
    prepared = trainable.prepare(configs, data_root)
    searched = sweep.searcher.metrics if isinstance(sweep.searcher, Optuna) else ()
    for metric in dict.fromkeys((sweep.metric, *searched)):
        prepared.check_metric(metric)
    planner = Planner(trainable, prepared, choose_strata(sweep, configs), now)
    if isinstance(sweep.scheduler, Asha):
        planner.brackets = bracket_weights(sweep.scheduler, max(config.epochs for config in configs))
    return planner


def by_seed(config: Any) -> list[Any]:
    """Return a config for each of its seeds, to be trained apart."""
    return [config.model_copy(update={"seeds": (seed,)}) for seed in config.seeds]


def decide_replicates(sweep: Sweep, address: str | None, description: Mapping[str, Any]) -> Sweep:
    """Return the sweep with `replicates="auto"` decided: as the run that is resumed decided, else by this machine.

    'apart' where nothing is stopped or searched by means over replicates, and there are fewer trials than CPUs; else
    'together'.
    """
    if sweep.replicates != "auto":
        return sweep
    known: Any = description.get("replicates")
    if known is None:
        free = sweep.scheduler == "fifo" and not isinstance(sweep.searcher, Optuna) and len(sweep.seeds) > 1
        few = free and address is None and len(expand(sweep)) < sweep.resources.slots(os.cpu_count() or 1, 0)
        known = "apart" if few else "together"
    return replace(sweep, replicates=known)


def choose_strata(sweep: Sweep, configs: Sequence[Any]) -> tuple[str, ...]:
    """Return the fields whose values compete only among themselves (see `Asha.stratify`).

    Raises `InputError` for a field that does not exist.
    """
    rule = sweep.scheduler
    if isinstance(rule, Pbt):
        return population_fields(sweep)
    if isinstance(rule, str):
        return ()
    trainable = trainable_of(sweep.trainable)
    wanted: tuple[str, ...] | None = getattr(rule, "stratify", None)
    for name in wanted or ():
        trainable.check_field(name, "field to stratify by")
    chosen = sweep.compared if wanted is None else wanted
    differ = [
        name
        for name in trainable.always_apart
        if name in sweep.nuisance or len({getattr(config, name, None) for config in configs}) > 1
    ]
    return tuple(dict.fromkeys((*chosen, *differ)))


# trials of a population
SMALLEST = 3


def check_population(sweep: Sweep, trials: Sequence[PlannedTrial]) -> None:
    """Raises `InputError` for a sweep that has no populations to train."""
    domains, trainable = changeable_ranges(sweep), trainable_of(sweep.trainable)
    if not domains:
        names = ", ".join(trainable.changeable)
        if names:
            raise InputError(f"pbt has nothing to change: give {names} or several of them a range")
        raise InputError(
            f"pbt: {sweep.trainable} does not say what may change: set NAME.changeable = ('lr', ...) there"
        )
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
        trainable.make({**trial.config.model_dump(), **{name: domain.low for name, domain in domains.items()}})
