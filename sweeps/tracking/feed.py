"""Feeds a tracker from a run's ledger, from where it got to on: nothing is lost, and nothing is sent twice for long.

`RUN/trackers/<name>.json` says how far the tracker is. It moves on only after a `flush`; so what a failure or a kill
interrupts comes again, to a tracker that knows it by trial and epoch.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analysis.runs.run_folder import RunFolder
from analysis.table.hardware import read_usage
from analysis.trial_status import ENDED
from sweeps.record.epoch_events import EpochEvents
from sweeps.record.ledger import Event, read_lines, time_of
from sweeps.record.state import RunState, TrialState, fold
from sweeps.trackers.tracker import RunEnding, TrackedEpoch, TrackedRun, TrackedTrial
from sweeps.tracking.position import Position
from trainables.atomic_files import open_regular

# Lines of the ledger that are read before they are sent.
CHUNK = 500


@dataclass(frozen=True)
class _Begun:
    trial_id: str


@dataclass(frozen=True)
class _Epoch:
    trial_id: str
    epoch: TrackedEpoch


@dataclass(frozen=True)
class _Ended:
    trial_id: str
    status: str
    reason: str
    time: datetime


class Feed:
    """A run, as it is fed to a tracker.

    connect: makes the tracker, anew after each failure. alive: called before each call of it.
    """

    def __init__(
        self, run: RunFolder, position: Position, connect: Callable[[], Any], save: Callable[[Position], None],
        alive: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self.run, self.position, self.connect, self.save, self.alive = run, position, connect, save, alive
        self.state = RunState()
        self._read_to = 0
        self._pending: list[_Begun | _Epoch | _Ended] = []
        # epochs of each trial that the tracker has for sure
        self._sent: dict[str, int] = {}
        self._tracker: Any = None
        self._trials: dict[str, TrackedTrial] = {}
        self._run: TrackedRun | None = None

    @property
    def lines_behind(self) -> int:
        """Return how many lines of the ledger the tracker lacks."""
        return sum(1 for _ in read_lines(self.run.ledger, self.position.offset))

    def step(self) -> bool:
        """Send what was appended since the last call, in parts. Returns whether there was any.

        Raises whatever the tracker does; then the tracker is given up, and the next call makes another one.
        """
        sent = False
        while self._pending or self._read():
            self._deliver()
            sent = True
        return sent

    def _read(self) -> bool:
        """Apply the next lines of the ledger; keep what they say beyond the position. False: there are none."""
        read = 0
        for event, end in read_lines(self.run.ledger, self._read_to):
            news = self._apply(event) if event else ()
            self._read_to = end
            if end > self.position.offset:
                self._pending += news
                read += 1
            else:
                for item in news:
                    self._note_sent(item)
            if read >= CHUNK:
                break
        if not self._pending and self._read_to > self.position.offset:
            self.position.offset = self._read_to
        return bool(self._pending)

    def _apply(self, event: Event) -> Sequence[_Begun | _Epoch | _Ended]:
        """Apply an event to the state and return what it says that is new."""
        trial_id = event.get("trial_id")
        before = self.state.trials.get(trial_id) if isinstance(trial_id, str) else None
        known, had_ended = (before.epoch, before.ended) if before else (0, False)
        left_out = self.state.left_out
        fold([event], self.state)
        if before is None or self.state.left_out > left_out or had_ended:
            return ()
        kind, time = event["event"], time_of(event) or datetime.now(UTC)
        if kind == "started":
            return (_Begun(before.trial_id),)
        if kind == "epoch" and before.epoch > known:
            rows = dict(zip(_seeds(before, event), event["replicates"], strict=False))
            return (_Epoch(before.trial_id, TrackedEpoch(event["epoch"], time, event["mean"], rows)),)
        if kind in (*ENDED, "interrupted"):
            return (_Ended(before.trial_id, kind, event["reason"], time),)
        return ()

    def _deliver(self) -> None:
        """Send what is pending, and move on once the tracker has written it."""
        with self._connected() as tracker:
            for item in self._pending:
                if isinstance(item, _Ended) and not self._is_known(item.trial_id):
                    continue
                trial = self._begun(item.trial_id)
                if isinstance(item, _Epoch):
                    self._call(tracker, "epoch", trial, item.epoch)
                elif isinstance(item, _Ended):
                    self._call(tracker, "end_trial", trial, item.status, item.reason, item.time)
                    # it may be tried again
                    del self._trials[item.trial_id]
            self._call(tracker, "flush")
        for item in self._pending:
            self._note_sent(item)
        self._pending = []
        self.position.offset = self._read_to
        self.save(self.position)

    def _is_known(self, trial_id: str) -> bool:
        """Return whether a trial has begun; one that never did is no run of a tracker."""
        return trial_id in self._trials or bool(
            self.state.trials[trial_id].attempts or self.state.trials[trial_id].epoch
        )

    def _note_sent(self, item: _Begun | _Epoch | _Ended) -> None:
        if isinstance(item, _Epoch):
            self._sent[item.trial_id] = item.epoch.number

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """Yield the tracker, made and told of the run where it is not yet; after an error it is given up."""
        try:
            if self._tracker is None:
                self._tracker = self.connect()
                self._run = tracked_run(self.run, self.state)
                self._call(self._tracker, "begin", self._run)
                if not getattr(self._tracker, "appends", True):
                    self.position.hardware, self.position.files = 0, {}
            yield self._tracker
        except BaseException:
            self.give_up()
            raise

    def give_up(self) -> None:
        """Leave the tracker; the next call makes another one."""
        tracker, self._tracker = self._tracker, None
        self._trials.clear()
        # what does not answer cannot be left in order
        with suppress(Exception):
            self._call(tracker, "close")

    def _begun(self, trial_id: str) -> TrackedTrial:
        """Return a trial that the tracker knows."""
        if trial_id not in self._trials:
            found = self.trial(trial_id)
            self._call(self._tracker, "begin_trial", found)
            self._trials[trial_id] = found
        return self._trials[trial_id]

    def trial(self, trial_id: str) -> TrackedTrial:
        """Return a trial as trackers know it."""
        assert self._run
        trial, run = self.state.trials[trial_id], self._run
        varied = {name: trial.config.get(name) for name in run.varied}
        tags = {"trial": trial_id, "trial_key": trial.key, "data_digest": trial.data, "code_digest": trial.code}
        tags = {**run.tags, **{name: value for name, value in tags.items() if value}}
        sent = self._sent.get(trial_id, 0)
        return TrackedTrial(
            _digest(run.id, trial_id), trial_id, dict(trial.config), varied, tags, run.folder.trial(trial.folder).path,
            trial.started or self.state.first or datetime.now(UTC), lambda: _past(self.run, trial, sent),
        )  # fmt: skip

    def end(self, files: Sequence[tuple[str | None, Path, str]], links: dict[str, dict[str, str]]) -> int:
        """Send the files that have changed since they were sent, and how the run stands; return how many files.

        files: trial id, or None for one of the run; path; name.
        """
        sent = 0
        with self._connected() as tracker:
            for trial_id, path, name in files:
                stamp = _stamp(path)
                if not stamp or self.position.files.get(name) == stamp:
                    continue
                self._call(tracker, "file", self.trial(trial_id) if trial_id else None, path, name)
                self.position.files[name] = stamp
                sent += 1
            self._call(tracker, "end", self._ending(links))
            self._call(tracker, "flush")
            self._call(tracker, "close")
        self._tracker = None
        self._trials.clear()
        self.position.ended = self._status()
        self.save(self.position)
        return sent

    def hardware(self, rows: Sequence[dict[str, Any]]) -> None:
        """Send rows of `hardware.parquet`, those after the ones that the tracker has."""
        if len(rows) > self.position.hardware:
            with self._connected() as tracker:
                self._call(tracker, "hardware", rows[self.position.hardware :])
                self._call(tracker, "flush")
            self.position.hardware = len(rows)
            self.save(self.position)

    def _call(self, tracker: Any, method: str, *values: Any) -> None:
        """Call a method of a tracker; a class of a user's own may lack it."""
        self.alive()
        if found := getattr(tracker, method, None):
            found(*values)

    def _status(self) -> str:
        return "completed" if self.state.ended else "interrupted"

    def _ending(self, links: dict[str, dict[str, str]]) -> RunEnding:
        description = self.run.read_description()
        sign = 1 if description["mode"] == "max" else -1
        trials = self.state.trials.values()
        reached = ((value, trial.trial_id) for trial in trials for value in trial.means.of(description["metric"]))
        known = [(value, trial_id) for value, trial_id in reached if value is not None and math.isfinite(value)]
        best, trial_id = max(known, key=lambda pair: sign * pair[0]) if known else (None, "")
        counts = {status: count for status, count in self.state.counts.items() if count}
        time = self.state.last or datetime.now(UTC)
        usage = read_usage(self.run)
        numbers = usage.numbers if usage else {}
        return RunEnding(self._status(), time, counts, best, trial_id, numbers, links)


def tracked_run(run: RunFolder, state: RunState) -> TrackedRun:
    """Return a run as trackers know it. Its id is made of its names and of the first line of its ledger."""
    with open_regular(run.ledger) as file:
        first = file.readline().decode(errors="replace")
    description = run.read_description()
    return TrackedRun(_digest(run.sweep, run.run_id, first), run, description, state.first or datetime.now(UTC))


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode(errors="replace")).hexdigest()[:16]


def _seeds(trial: TrialState, event: Event) -> list[int]:
    """Return the seed of each row of an epoch."""
    return [row.get("seed", seed) for row, seed in zip(event["replicates"], trial.config["seeds"], strict=False)]


def _past(run: RunFolder, trial: TrialState, sent: int) -> list[TrackedEpoch]:
    """Read the first epochs of a trial from the ledger."""
    if not sent:
        return []
    found = EpochEvents(run.ledger, [trial.trial_id]).events_of(trial.trial_id)
    return [
        TrackedEpoch(
            event["epoch"], time_of(event) or datetime.now(UTC), event["mean"],
            dict(zip(_seeds(trial, event), event["replicates"], strict=False)),
        )
        for event in found[:sent]
    ]  # fmt: skip


def _stamp(path: Path) -> list[int]:
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]
