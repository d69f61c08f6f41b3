"""Optuna proposes nuisance settings: each proposal is a function of the run's history alone.

Every combination of scientific values has its own study and the same number of trials. The seed of a proposal follows
from the combination and its number of trials. So nothing of Optuna's has to survive a crash, and a resumed run goes on
as an uninterrupted one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from search_spaces.definition import Optuna, Sweep
from sweeps.planning.trials import PlannedTrial, Planner
from sweeps.record.state import RunState, TrialState
from sweeps.searchers.grid import Setting, config_of, scientific_rows
from sweeps.searchers.optuna_space import choices, distributions, setting_of, was_proposed_by
from sweeps.searchers.optuna_study import RowStudy
from trainables.trial_key import canonical_json, config_json

# Proposals of known settings after which an untried one is drawn.
TRIES = 5
# Settings of a space that are drawn from without repeating any.
MOST_LISTED = 100_000


@dataclass(frozen=True)
class Proposal:
    """A trial, and what Optuna must know of it again."""

    trial: PlannedTrial
    # number of the scientific row
    row: int
    params: Mapping[str, Any]
    # the sampler's own notes
    attributes: Mapping[str, Any]


@dataclass
class Row:
    """A combination of scientific values: its study, and its trials in the order of their planning."""

    values: Setting
    study: RowStudy
    trials: list[TrialState] = field(default_factory=list)
    exhausted: bool = False


class Proposals:
    """The proposals of a run. each: how many trials every scientific row gets."""

    def __init__(self, sweep: Sweep, searcher: Optuna, planner: Planner, state: RunState, each: int) -> None:
        self.sweep, self.planner, self.state, self.each = sweep, planner, state, each
        metrics, space = searcher.metrics or (sweep.metric,), distributions(sweep)
        self.values = scientific_rows(sweep)
        self.rows = [
            Row(values, RowStudy(searcher, metrics, space, {sweep.metric: sweep.mode})) for values in self.values
        ]
        known = (trial for trial in state.trials.values() if trial.proposal)
        self.foreign = {trial.trial_id for trial in known if not was_proposed_by(sweep, trial)}
        # configs, not keys: a resume with other code gives equal settings other keys
        self.known: set[str] = set()
        self.seen = 0

    def next(self) -> Proposal | None:
        """Return a new trial of the scientific row that has the fewest; None once every row has its share."""
        self._look()
        while unfilled := [row for row in self.rows if len(row.trials) < self.each and not row.exhausted]:
            row = min(unfilled, key=lambda row: len(row.trials))
            if proposal := self._propose(row):
                return proposal
            row.exhausted = True
        return None

    def _look(self) -> None:
        """Sort the trials that were planned since the last time into their rows."""
        for trial in itertools.islice(self.state.trials.values(), self.seen, None):
            self.known.add(canonical_json(trial.config))
            if trial.proposal and trial.trial_id not in self.foreign:
                self.rows[trial.proposal["row"]].trials.append(trial)
        self.seen = len(self.state.trials)

    def _propose(self, row: Row) -> Proposal | None:
        """Return what the sampler likes most, or an untried setting at random where it repeats what is known."""
        number = self.rows.index(row)
        seed = (number * 100_003 + len(row.trials)) * 25
        attributes: Mapping[str, Any] = {}
        for attempt in range(TRIES):
            params, attributes = row.study.ask(row.trials, seed=seed + attempt)
            if trial := self._unknown(row, params):
                return Proposal(trial, number, params, attributes)
        for params in _in_random_order(self.sweep, seed):
            if trial := self._unknown(row, params):
                return Proposal(trial, number, params, attributes)
        return None

    def _unknown(self, row: Row, params: Mapping[str, Any]) -> PlannedTrial | None:
        """Return the trial of a setting, or None where the run has it."""
        config = config_of(self.sweep, row.values, setting_of(self.sweep, params), self.values)
        trial = self.planner.trial(config, f"{len(self.state.trials) + 1:04d}")
        if config_json(trial.config) not in self.known:
            return trial
        self.planner.trials_by_bracket[trial.stratum][trial.bracket] -= 1
        return None


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
