"""The progress of a run: counts by status, share of the work, time left, best values so far."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

from analysis.comparison.labels import show_value
from analysis.trial_status import BY_REQUEST, ENDED, has_ended
from sweeps.record.state import RunState, TrialState

STATUSES = ("running", "waiting", "completed", "stopped", "diverged", "failed", "interrupted", "planned")


@dataclass(frozen=True)
class Progress:
    """Counts, share and time. share: of the epochs, from 0 to 1. seconds_left: None until the pace is known."""

    planned: int
    ended: int
    counts: dict[str, int]
    share: float
    seconds_gone: float
    seconds_left: float | None


@dataclass(frozen=True)
class Best:
    """The best value that a group has reached so far, by which trial, and how many of its trials have ended."""

    name: str
    value: float
    epoch: int
    trial_id: str = ""
    ended: int = 0
    trials: int = 0


@dataclass
class Stratum:
    """Counts of the trials that compete with each other. epochs: trained so far."""

    name: str
    ended: int = 0
    trials: int = 0
    stopped: int = 0
    epochs: int = 0


class _Counted(NamedTuple):
    """The facts about a trial that a tally counts."""

    group: str
    stratum: str
    status: str
    epoch: int
    planned_epochs: int
    pruned: bool
    cause: str
    # somebody stopped it by hand
    by_request: bool

    @property
    def telling(self) -> bool:
        """Tell whether its length says how long others will train."""
        return self.ended and not self.by_request

    @property
    def ended(self) -> bool:
        return has_ended(self.status)

    @property
    def untouched(self) -> bool:
        return not self.epoch and not self.ended


class Tally:
    """Totals and best values of a run. A look takes the time of the events since the last one, not that of the run.

    fields: those whose values are groups, each with its best. What was trained when the tally was made counts as done
    by an earlier driver, which says nothing of this one's pace.
    """

    def __init__(self, state: RunState, metric: str, mode: str, fields: Sequence[str] = ()) -> None:
        self.state, self.metric, self.sign, self.fields = state, metric, 1 if mode == "max" else -1, fields
        # the number of entries of `state.changed` that have been taken in
        self._read = 0
        self._known: dict[str, _Counted] = {}
        self._best: dict[str, Best] = {}
        self._groups: dict[str, Stratum] = {}
        self._strata: dict[str, Stratum] = {}
        self._causes: Counter[str] = Counter()
        self._running: dict[str, None] = {}
        # neither untouched nor ended
        self._begun: dict[str, None] = {}
        self.epochs = self._telling = self._telling_epochs = self._untouched = self._untouched_epochs = 0
        self.update()
        self.earlier = self.epochs

    def update(self) -> None:
        """Take in what has changed since the last look."""
        changed = self.state.changed
        for trial_id in dict.fromkeys(changed[self._read :]):
            trial = self.state.trials[trial_id]
            known = self._known.get(trial_id)
            now = self._known[trial_id] = self._counted(trial, known)
            if known:
                self._count(known, -1)
            self._count(now, 1)
            _keep(self._running, trial_id, now.status == "running")
            _keep(self._begun, trial_id, not now.untouched and not now.ended)
            self._take_best(trial, now.group, known.epoch if known else 0)
        self._read = len(changed)

    def _counted(self, trial: TrialState, known: _Counted | None) -> _Counted:
        config = trial.config
        group = known.group if known else " ".join(f"{name}={show_value(config.get(name))}" for name in self.fields)
        cause = trial.stop_reason if trial.status == "failed" else ""
        planned = config["epochs"]
        by_request = trial.stop_reason.startswith(BY_REQUEST)
        return _Counted(group, trial.stratum, trial.status, trial.epoch, planned, trial.pruned, cause, by_request)

    def _count(self, one: _Counted, sign: int) -> None:
        for name, totals in ((one.group, self._groups), (one.stratum, self._strata)):
            total = totals.setdefault(name, Stratum(name))
            total.trials += sign
            total.ended += sign * one.ended
            total.stopped += sign * one.pruned
            total.epochs += sign * one.epoch
        self.epochs += sign * one.epoch
        self._telling += sign * one.telling
        self._telling_epochs += sign * one.epoch * one.telling
        self._untouched += sign * one.untouched
        self._untouched_epochs += sign * one.untouched * one.planned_epochs
        if one.cause:
            self._causes[one.cause] += sign

    def _take_best(self, trial: TrialState, group: str, after: int) -> None:
        for epoch, value in enumerate(trial.means.of(self.metric, after), start=after + 1):
            best = self._best.get(group)
            if value is not None and (best is None or self.sign * value > self.sign * best.value):
                self._best[group] = Best(group or "all trials", value, epoch, trial.trial_id)

    def progress(self, seconds_gone: float, *, since_start: bool = False) -> Progress:
        """Return counts, share and time left: the epochs to come at the pace so far, with stops as frequent as before.

        seconds_gone: since the tally was made, or (since_start) since the run began.
        """
        state = self.state
        counts = {status: state.count(status) for status in STATUSES}
        ended = state.count(*ENDED)
        typical = self._telling_epochs / self._telling if self._telling else None
        left = sum(self._epochs_left(state.trials[trial_id], typical) for trial_id in self._begun)
        left += self._untouched * max(typical, 0.5) if typical is not None else self._untouched_epochs
        left += (state.total - len(state.trials)) * (typical or self._longest())
        share = self.epochs / (self.epochs + left) if self.epochs else 0.0
        done = self.epochs - (0 if since_start else self.earlier)
        # A driver interrupts what trains as its last act: nobody works at what is left.
        over = counts["interrupted"] and not counts["running"] + counts["waiting"]
        known = done and (self._telling or not left) and not over
        # 0 where all have ended
        seconds_left = seconds_gone * left / done if known else None
        return Progress(state.total, ended, counts, share, seconds_gone, seconds_left)

    def _longest(self) -> int:
        return max((known.planned_epochs for known in self._known.values()), default=1)

    @staticmethod
    def _epochs_left(trial: TrialState, typical: float | None) -> float:
        # Who has outlived the others is likely to train to its end.
        planned = trial.config["epochs"] if typical is None or trial.epoch > typical else typical
        return float(max(planned - trial.epoch, 0.5))

    def best(self) -> list[Best]:
        """Return the best mean over replicates so far of each group that has a value, best first."""
        groups = ((best, self._groups[name]) for name, best in self._best.items())
        found = [replace(best, ended=group.ended, trials=group.trials) for best, group in groups]
        return sorted(found, key=lambda best: -self.sign * best.value)

    def running(self, most: int) -> list[TrialState]:
        """Return up to `most` of the trials that run, those that began first."""
        return [self.state.trials[trial_id] for trial_id in islice(self._running, most)]

    def strata(self) -> list[Stratum]:
        """Return the groups within which trials compete, in the order of planning; none where all compete with all."""
        return [group for name, group in self._strata.items() if name and group.trials]

    def failures(self) -> list[tuple[str, int]]:
        """Return the causes of failed trials with their counts, the most frequent first."""
        return [(cause, count) for cause, count in self._causes.most_common() if count]


def _keep(trials: dict[str, None], trial_id: str, belongs: bool) -> None:
    if belongs:
        trials.setdefault(trial_id)
    else:
        trials.pop(trial_id, None)


BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None], width: int = 20) -> str:
    """Return the last values as a line of blocks, from the lowest to the highest of them; "" for fewer than two."""
    known = [value for value in values if value is not None and math.isfinite(value)][-width:]
    if len(known) < 2:
        return ""
    low, high = min(known), max(known)
    scale = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(BLOCKS[round((value - low) * scale)] for value in known)
