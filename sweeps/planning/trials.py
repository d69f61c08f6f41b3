"""A planned trial, the planner that makes one of a config, and the plan that holds them all."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sweeps.record.names import two_words
from sweeps.schedulers.asha import next_bracket
from trainables.trainable import Prepared, Trainable


@dataclass(frozen=True)
class PlannedTrial:
    """One trial to run.

    trial_id: "0007"; "0007.2" for the third replicate of it, where replicates run apart. code, data, weights: digests
    of the training code, of the data and of pretrained weights.
    """

    trial_id: str
    key: str
    config: Any
    folder: str
    parameters: int
    macs: int
    stratum: str
    bracket: int = 0
    code: str = ""
    data: str = ""
    weights: str = ""


@dataclass
class Planner:
    """Makes trials of configs: names, keys, sizes, strata and brackets.

    prepared: what all trials share. brackets: weights of ASHA's brackets; trials_by_bracket: how many trials each
    stratum has in each.
    """

    trainable: Trainable
    prepared: Prepared
    stratify: tuple[str, ...]
    now: datetime
    brackets: list[float] = field(default_factory=lambda: [1.0])
    trials_by_bracket: dict[str, dict[int, int]] = field(default_factory=dict)

    def trial(self, config: Any, trial_id: str) -> PlannedTrial:
        """Return a config as a trial. Raises `InputError` where it cannot be trained."""
        facts = self.prepared.facts(config)
        name = f"{self.now:%Y%m%d-%H%M%S}_{facts.label}_{two_words(facts.key)}_{facts.key}"
        stratum = stratum_of(config, self.stratify)
        trials = self.trials_by_bracket.setdefault(stratum, {})
        bracket = next_bracket(trials, self.brackets)
        trials[bracket] = trials.get(bracket, 0) + 1
        return PlannedTrial(
            trial_id, facts.key, config, name, facts.parameters, facts.macs, stratum, bracket, facts.code, facts.data,
            facts.weights,
        )  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """All trials of a run with the data they need; with the searcher Optuna, more are planned while it runs.

    proposed: trials that the searcher makes in all; epochs: those of the longest trial; examples: one trial for each
    compared value, where the searcher makes the trials; notes: what the user should know before the start.
    """

    trials: tuple[PlannedTrial, ...]
    planner: Planner
    proposed: int = 0
    epochs: int = 1
    examples: tuple[PlannedTrial, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def prepared(self) -> Prepared:
        """Return what all trials share, such as data."""
        return self.planner.prepared

    @property
    def stratify(self) -> tuple[str, ...]:
        """The fields whose values compete only among themselves."""
        return self.planner.stratify


def stratum_of(config: Any, fields: tuple[str, ...]) -> str:
    """Return a readable name of the group that a trial competes in: `activation=relu`."""
    return " ".join(f"{name}={getattr(config, name, None)}" for name in fields)
