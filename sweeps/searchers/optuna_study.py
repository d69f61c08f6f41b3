"""The trials of one scientific row as a study of Optuna, which is kept: each question adds what is new.

An answer is nevertheless a function of the trials and a seed alone. The sampler is made anew for each question, and
nothing of an earlier one is left in the study but failed trials, which no sampler looks at. (Tried with Optuna 5.0.)
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState as Stage
from optuna.trial import create_trial

from analysis.trial_status import BY_REQUEST
from search_spaces.definition import Mode, Optuna, mode_of
from sweeps.record.state import TrialState


class RowStudy:
    """A study of one scientific row.

    metrics: what it optimises; space: Optuna's distributions by parameter; modes: of metrics whose names do not say it.
    """

    def __init__(
        self,
        searcher: Optuna,
        metrics: Sequence[str],
        space: Mapping[str, Any],
        modes: Mapping[str, Mode] | None = None,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.modes = {name: (modes or {}).get(name, mode_of(name)) for name in metrics}
        directions: Any = ["minimize" if mode == "min" else "maximize" for mode in self.modes.values()]
        self.searcher, self.metrics, self.space = searcher, metrics, space
        self.storage = optuna.storages.InMemoryStorage()
        self.study = optuna.create_study(directions=directions, storage=self.storage)
        self.study_id = self.storage.get_study_id_from_name(self.study.study_name)
        self.added = 0
        self.unfinished: dict[int, TrialState] = {}

    def ask(self, trials: Sequence[TrialState], seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the parameters that the sampler likes most, and its own notes, which a later question needs.

        trials: all of the row so far, in the order of their planning; those of the last question come first.
        """
        self._add(trials)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self.study.sampler = _sampler(self.searcher.sampler, seed)
            asked = self.study.ask(dict(self.space))
        attributes = dict(self.storage.get_trial_system_attrs(asked._trial_id))
        self.storage.set_trial_state_values(asked._trial_id, Stage.FAIL)
        # NSGA-II keeps its parents there, and would not look at what has ended since
        for name in self.storage.get_study_system_attrs(self.study_id):
            self.storage.set_study_system_attr(self.study_id, name, None)
        return dict(asked.params), attributes

    def _add(self, trials: Sequence[TrialState]) -> None:
        """Add the new trials as running ones, and the results of those that have ended since."""
        for trial in trials[self.added :]:
            proposal = trial.proposal or {}
            running = create_trial(
                state=Stage.RUNNING,
                params=proposal["params"],
                distributions={name: self.space[name] for name in proposal["params"]},
                system_attrs=proposal["attributes"],
            )
            self.unfinished[self.storage.create_new_trial(self.study_id, running)] = trial
        self.added = len(trials)
        for number in [number for number, trial in self.unfinished.items() if trial.ended]:
            self._finish(number, self.unfinished.pop(number))

    def _finish(self, number: int, trial: TrialState) -> None:
        """End a trial of the study: complete with its best values, pruned with its epochs', or failed.

        One that somebody stopped by hand is pruned, too: what it would have come to is not known.
        """
        pruned = trial.pruned or trial.stop_reason.startswith(BY_REQUEST)
        values = [best_value(trial, metric, self.modes[metric]) for metric in self.metrics]
        if trial.status == "stopped" and pruned and trial.epoch and len(self.metrics) == 1:
            for epoch, value in enumerate(trial.means.of(self.metrics[0]), start=1):
                if value is not None:
                    self.storage.set_trial_intermediate_value(number, epoch, value)
            self.storage.set_trial_state_values(number, Stage.PRUNED)
        elif trial.status in ("completed", "stopped") and not pruned and not any(map(math.isnan, values)):
            self.storage.set_trial_state_values(number, Stage.COMPLETE, values)
        else:
            # several metrics know no pruning
            self.storage.set_trial_state_values(number, Stage.FAIL)


def _sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    if name == "tpe":
        # trials that still run count as bad ones, so that no two workers try the same
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    if name == "gp":
        return optuna.samplers.GPSampler(seed=seed, deterministic_objective=False)
    return optuna.samplers.NSGAIISampler(seed=seed, population_size=16)


def best_value(trial: TrialState, metric: str, mode: Mode) -> float:
    """Return the best mean over replicates of any epoch; NaN where there is none."""
    known = [value for value in trial.means.of(metric) if value is not None]
    pick = min if mode == "min" else max
    return pick(known) if known else math.nan
