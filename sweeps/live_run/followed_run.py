"""A run that is followed: its ledger as far as it has come, what changed since a page last looked, and its words."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from analysis.runs.lease_holder import is_under_way
from analysis.runs.run_folder import RunFolder
from analysis.runs.sync import pull, remote_of
from sweeps.live_run.event_log import EventLog
from sweeps.record.ledger import Event
from sweeps.record.progress import Progress, Tally
from sweeps.record.state import GrowingLedger, RunState, TrialState
from sweeps.screen.live import varying_fields
from sweeps.screen.runs import state_of

T = TypeVar("T")
# between two looks at a run that is kept at a URI
REMOTE_SECONDS = 5.0
# between two looks at a ledger, however many pages ask
LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Changes:
    """The changes since a page last looked. epoch: of the reading; where it is another one, all is new.

    since: what to ask for next; trials: those that are new or other than they were.
    """

    epoch: int
    since: int
    trials: list[TrialState]


class FollowedRun:
    """A run whose ledger is read as it grows. Looks and answers one at a time: call `look` first, under `lock`."""

    def __init__(self, run: RunFolder) -> None:
        self.run, self.description = run, run.read_description()
        self.metric, self.mode = str(self.description["metric"]), str(self.description["mode"])
        roles = self.description["roles"]
        self.scientific, self.nuisance = tuple(roles["scientific"]), tuple(roles.get("nuisance", ()))
        self.lock = threading.RLock()
        self.log = EventLog()
        self._remote = remote_of(run)
        self._made: dict[tuple[str, ...], tuple[object, Any]] = {}
        self._looked, self._pulled, self.epoch = -LOOK_SECONDS, -REMOTE_SECONDS, 0
        self._ledger = GrowingLedger(run.ledger, self._begin)
        self._take(self._ledger.state)

    def _begin(self) -> Callable[[Event], None]:
        self.log = EventLog()
        return self.log.note

    def _take(self, state: RunState) -> None:
        self.state, self.epoch = state, self.epoch + 1
        self.tally = Tally(state, self.metric, self.mode, self.scientific)
        self.order: dict[str, int] = {}

    def look(self) -> None:
        """Read what the ledger has got since; where it lies at a URI, fetch it first. Raises `InputError`."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        # a driver on this machine writes to the copy, which is the newest there is
        if self._remote and now - self._pulled >= REMOTE_SECONDS and not is_under_way(self.run):
            pull(self.run, self._remote, whole=False)
            self._pulled = time.monotonic()
        state = self._ledger.look()
        if state is not self.state:
            self._take(state)
        self.tally.update()
        for trial_id in list(state.trials)[len(self.order) :]:
            self.order[trial_id] = len(self.order)
        self._looked = time.monotonic()

    @property
    def looked(self) -> bool:
        """Return whether the ledger has been read."""
        return self._looked >= 0

    def changes(self, epoch: int, since: int) -> Changes:
        """Return the trials that have changed since `since` of a reading."""
        changed = self.state.changed
        first = since if epoch == self.epoch and 0 <= since <= len(changed) else 0
        names = dict.fromkeys(changed[first:]) if first else self.state.trials
        return Changes(self.epoch, len(changed), [self.state.trials[name] for name in names])

    def kept(self, name: tuple[str, ...], make: Callable[[], T], stamp: object = None) -> T:
        """Return what `make` makes, made once for each state of the run (or for each other stamp), however many ask."""
        stamp = (self.epoch, self.version) if stamp is None else stamp
        known = self._made.get(name)
        if known is None or known[0] != stamp:
            known = self._made[name] = stamp, make()
        found: T = known[1]
        return found

    @property
    def version(self) -> int:
        """Return a number that grows with every change of a trial."""
        return len(self.state.changed)

    @property
    def fields(self) -> list[str]:
        """Return the compared and tuned fields whose values differ between trials."""
        return varying_fields(self.state, (*self.scientific, *self.nuisance))

    @property
    def metrics(self) -> list[str]:
        """Return the metrics that trials report: the selecting one first; none of test before all trials have ended.

        Nobody should stop a run, or go on with it, by the test split.
        """
        found = dict.fromkeys((self.metric,))
        for trial in self._some():
            found |= dict.fromkeys(trial.history.metrics)
        return [name for name in found if self.state.ended or not name.startswith("test_")]

    def _some(self) -> Sequence[TrialState]:
        trials = [trial for trial in self.state.trials.values() if trial.epoch]
        return trials[:: max(1, len(trials) // 50)]

    def progress(self) -> Progress:
        """Return counts, share and time left. What has gone is the run's own time until its last event, or now."""
        first, last = self.state.first, self.state.last
        end = last if self.status() not in ("running", "finishing") else datetime.now(UTC)
        gone = (end - first).total_seconds() if first and end else 0.0
        return self.tally.progress(gone, since_start=True)

    def status(self) -> str:
        """Return `running`, `finishing`, `finished` or `interrupted`."""
        return state_of(self.run, self.state, self.state.last or datetime.now(UTC))

    def best_epoch(self, trial: TrialState) -> tuple[int, float] | None:
        """Return the epoch with the trial's best mean of the selecting metric, and that mean; None before the first."""
        values = [(epoch, value) for epoch, value in enumerate(trial.means.of(self.metric), 1) if value is not None]
        sign = 1 if self.mode == "max" else -1
        return max(values, key=lambda pair: sign * pair[1], default=None)
