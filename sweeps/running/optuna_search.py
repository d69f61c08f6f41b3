"""Optuna proposes nuisance settings: each proposal is a function of the run's history alone.

A study is made anew for every proposal from the states that the ledger holds, with a sampler whose seed follows from
the combination of scientific values and its number of trials. So nothing of Optuna's has to survive a crash, and a
resumed run goes on as an uninterrupted one. Every combination has its own study and the same number of trials.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from search_spaces.definition import Optuna, Sweep, mode_of
from sweeps.planning.trials import PlannedTrial, Planner
from sweeps.record.state import RunState, TrialState
from sweeps.searchers.grid import Setting, config_of, scientific_rows
from sweeps.searchers.optuna_space import choices, distributions, setting_of, was_proposed_by
from trainables.trial_key import canonical_json, config_json

if TYPE_CHECKING:
    import optuna

TRIES = 5  # proposals of settings that are known already, after which an untried one is drawn
MOST_LISTED = 100_000  # settings of a space that are drawn from without repeating any


@dataclass(frozen=True)
class Proposal:
    """A trial, and what Optuna must know of it again."""

    trial: PlannedTrial
    row: int  # of the scientific rows
    params: Mapping[str, Any]
    attributes: Mapping[str, Any]  # the sampler's own notes


@dataclass
class Proposals:
    """The proposals of a run. each: how many trials every scientific row gets."""

    sweep: Sweep
    searcher: Optuna
    planner: Planner
    state: RunState
    each: int
    exhausted: set[int] = field(default_factory=set)
    foreign: set[str] = field(default_factory=set)  # trials of the run that another sweep proposed

    def __post_init__(self) -> None:
        known = (trial for trial in self.state.trials.values() if trial.proposal)
        self.foreign = {trial.trial_id for trial in known if not was_proposed_by(self.sweep, trial)}

    def next(self) -> Proposal | None:
        """Return a new trial of the scientific row that has the fewest; None once every row has its share."""
        rows = scientific_rows(self.sweep)
        history = self._history()
        while open_rows := [
            row for row in range(len(rows)) if len(history[row]) < self.each and row not in self.exhausted
        ]:
            row = min(open_rows, key=lambda row: len(history[row]))
            if proposal := self._propose(row, rows, history[row]):
                return proposal
            self.exhausted.add(row)
        return None

    def _history(self) -> dict[int, list[TrialState]]:
        found: dict[int, list[TrialState]] = {row: [] for row in range(len(scientific_rows(self.sweep)))}
        for trial in self.state.trials.values():
            if trial.proposal and trial.trial_id not in self.foreign:
                found[trial.proposal["row"]].append(trial)
        return found

    def _propose(self, row: int, rows: Sequence[Setting], history: Sequence[TrialState]) -> Proposal | None:
        """Return what the sampler likes most, or an untried setting at random where it repeats what is known."""
        # by config: a resume with other code gives equal settings other keys
        known = {canonical_json(trial.config) for trial in self.state.trials.values()}
        seed = (row * 100_003 + len(history)) * 25
        attributes: Mapping[str, Any] = {}
        for attempt in range(TRIES):
            asked = self._ask(history, seed=seed + attempt)
            attributes = dict(asked.storage.get_trial_system_attrs(asked._trial_id))
            if trial := self._unknown(rows, row, asked.params, known):
                return Proposal(trial, row, dict(asked.params), attributes)
        for params in _in_random_order(self.sweep, seed):
            if trial := self._unknown(rows, row, params, known):
                return Proposal(trial, row, params, attributes)
        return None

    def _unknown(
        self, rows: Sequence[Setting], row: int, params: Mapping[str, Any], known: Set[str]
    ) -> PlannedTrial | None:
        """Return the trial of a setting, or None where the run has it."""
        config = config_of(self.sweep, rows[row], setting_of(self.sweep, params), rows)
        trial = self.planner.trial(config, f"{len(self.state.trials) + 1:04d}")
        if config_json(trial.config) not in known:
            return trial
        self.planner.trials_by_bracket[trial.stratum][trial.bracket] -= 1
        return None

    def _ask(self, history: Sequence[TrialState], seed: int) -> optuna.trial.Trial:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        metrics = self.searcher.metrics or (self.sweep.metric,)
        directions: Any = ["minimize" if mode_of(name) == "min" else "maximize" for name in metrics]
        study = optuna.create_study(directions=directions, sampler=_sampler(self.searcher.sampler, seed))
        space = distributions(self.sweep)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.add_trials([as_optuna_trial(trial, metrics, space) for trial in history])
            return study.ask(space)


def _in_random_order(sweep: Sweep, seed: int) -> Iterator[dict[str, Any]]:
    """Yield the settings of a space that has an end, as Optuna's parameters; many thousands are drawn from instead."""
    space = choices(sweep)
    if space is None:
        return
    shape, rng = [len(values) for values in space.values()], np.random.default_rng(seed)
    total = math.prod(shape)
    listed = np.unravel_index(rng.permutation(total), shape) if total <= MOST_LISTED else ()
    for at in zip(*listed, strict=True) if listed else (rng.integers(shape) for _ in range(MOST_LISTED)):
        yield {name: values[int(n)] for (name, values), n in zip(space.items(), at, strict=True)}


def _sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if name == "tpe":  # trials that still run count as bad ones, so that no two workers try the same
            return optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        if name == "gp":
            return optuna.samplers.GPSampler(seed=seed, deterministic_objective=False)
        return optuna.samplers.NSGAIISampler(seed=seed, population_size=16)


def as_optuna_trial(trial: TrialState, metrics: Sequence[str], space: Mapping[str, Any]) -> optuna.trial.FrozenTrial:
    """Return a trial as Optuna keeps it: complete with its best values, pruned with its epochs', running or failed."""
    import optuna

    states = optuna.trial.TrialState
    proposal = trial.proposal or {}
    about: dict[str, Any] = {
        "params": proposal["params"],
        "distributions": {name: space[name] for name in proposal["params"]},
        "system_attrs": proposal["attributes"],
    }
    values = [best_value(trial, metric) for metric in metrics]
    if trial.status == "stopped" and trial.pruned:
        if len(metrics) > 1:
            return optuna.trial.create_trial(state=states.FAIL, **about)  # several metrics know no pruning
        steps = {number: mean[metrics[0]] for number, mean in enumerate(trial.means, start=1)}
        return optuna.trial.create_trial(
            state=states.PRUNED,
            intermediate_values={number: value for number, value in steps.items() if value is not None},
            **about,
        )
    if trial.status in ("completed", "stopped") and not any(math.isnan(value) for value in values):
        return optuna.trial.create_trial(state=states.COMPLETE, values=values, **about)
    return optuna.trial.create_trial(state=states.FAIL if trial.ended else states.RUNNING, **about)


def best_value(trial: TrialState, metric: str) -> float:
    """Return the best mean over replicates of any epoch; NaN where there is none."""
    values = [mean[metric] for mean in trial.means]
    known = [value for value in values if value is not None]
    pick = min if mode_of(metric) == "min" else max
    return pick(known) if known else math.nan
