"""A planned trial, the planner that makes one of a config, and the plan that holds them all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sweeps.record.names import two_words
from sweeps.schedulers.asha import next_bracket
from trainables.config import TrialConfig
from trainables.data.arrays import Data
from trainables.data.normalization import Normalization
from trainables.image_classifier import DataKey, data_key
from trainables.network.pretrained_weights import weights_digest
from trainables.parts.planned import check_parts, code_of
from trainables.trial_key import trial_key
from trainables.user_code.part_names import short_name


@dataclass(frozen=True)
class PlannedTrial:
    """One trial to run.

    trial_id: "0007"; "0007.2" for the third replicate of it, where replicates run apart. code, data, weights: digests
    of the training code, of the data and of pretrained weights.
    """

    trial_id: str
    key: str
    config: TrialConfig
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

    brackets: weights of ASHA's brackets; trials_by_bracket: how many trials each stratum has in each.
    """

    datasets: Mapping[DataKey, tuple[Data, Normalization]]
    stratify: tuple[str, ...]
    now: datetime
    brackets: list[float] = field(default_factory=lambda: [1.0])
    trials_by_bracket: dict[str, dict[int, int]] = field(default_factory=dict)

    def trial(self, config: TrialConfig, trial_id: str) -> PlannedTrial:
        """Return a config as a trial. Raises `InputError` where its model cannot be built."""
        from trainables.network.model_size import model_size
        from trainables.network.transfer import check_weights

        data, _ = self.datasets[data_key(config)]
        check_weights(config, data.info)
        check_parts(config, data.info)
        code, weights = code_of(config), weights_digest(config)
        key = trial_key(config, data.digest, code, weights)
        size = model_size(config, data.info)
        parts = f"{short_name(config.model)}_{short_name(config.activation)}"
        name = f"{self.now:%Y%m%d-%H%M%S}_{parts}_{two_words(key)}_{key}"
        stratum = stratum_of(config, self.stratify)
        trials = self.trials_by_bracket.setdefault(stratum, {})
        bracket = next_bracket(trials, self.brackets)
        trials[bracket] = trials.get(bracket, 0) + 1
        return PlannedTrial(
            trial_id, key, config, name, size.parameters, size.macs, stratum, bracket, code, data.digest, weights
        )


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
    def datasets(self) -> Mapping[DataKey, tuple[Data, Normalization]]:
        """The data of all trials with their normalisation."""
        return self.planner.datasets

    @property
    def stratify(self) -> tuple[str, ...]:
        """The fields whose values compete only among themselves."""
        return self.planner.stratify


def stratum_of(config: TrialConfig, fields: tuple[str, ...]) -> str:
    """Return a readable name of the group that a trial competes in: `activation=relu`."""
    return " ".join(f"{name}={getattr(config, name, None)}" for name in fields)
