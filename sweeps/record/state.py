"""The state of a run's trials, as a fold over the ledger. `apply` is used live and on reading alike.

An event that cannot be is left out and counted: the ledger may be damaged, or be somebody else's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from analysis.trial_status import ENDED, has_ended
from sweeps.record.event import UnusableEvent, check_epoch, check_fields, check_plan, lost_epoch, replacements_in
from sweeps.record.history import History, Means
from sweeps.record.ledger import Event, read_ledger, read_lines, say_once, time_of
from trainables.atomic_files import open_regular
from trainables.errors import InputError
from trainables.user_code.part_names import PARTS

PLANNED = (
    "trial_id", "key", "folder", "config", "parameters", "macs", "stratum", "bracket", "proposal", "code", "data",
    "weights",
)  # fmt: skip
# bytes before its end by which a ledger is known again: a line has its time, to the millisecond
TAIL = 512
# the events that only a trial which has not ended can have
WAKING = {"started", "epoch", "waiting", "retried", "interrupted", *ENDED}


@dataclass
class TrialState:
    """One planned trial, its status and its results.

    code, data, weights: digests of the training code, of the data and of pretrained weights; "" in runs of 0.1.0.
    mixed: trained by more than one state of the code. asked_to_stop: why, where somebody has asked for it.
    proposal: the searcher's own data of a trial that it proposed. pruned: stopped by the scheduler.
    changes: of population based training: epoch, donor, values. attempts: how often it was started.
    attempt: the worker's own count, which names the folder of its files.
    means: over replicates, for each epoch. finite: the loss was so at every epoch.
    last_report: the event of its last epoch, until it has ended. gpu_percents: use of its GPU at the end of each epoch.
    """

    trial_id: str
    key: str
    folder: str
    config: dict[str, Any]
    parameters: int
    macs: int
    stratum: str = ""
    bracket: int = 0
    code: str = ""
    data: str = ""
    weights: str = ""
    mixed: bool = False
    proposal: dict[str, Any] | None = None
    pruned: bool = False
    changes: list[dict[str, Any]] = field(default_factory=list)
    status: str = "planned"
    stop_reason: str = ""
    asked_to_stop: str = ""
    attempts: int = 0
    attempt: int = 0
    history: History = field(default_factory=History)
    means: Means = field(default_factory=Means)
    finite: bool = True
    last_report: Event | None = None
    memory_mb: float = 0.0
    gpu_percents: list[float] = field(default_factory=list)
    started: datetime | None = None

    @property
    def ended(self) -> bool:
        """Return whether it has ended, in whatever way."""
        return has_ended(self.status)

    @property
    def epoch(self) -> int:
        """Return the number of epochs that it has trained."""
        return len(self.means)

    @property
    def config_now(self) -> dict[str, Any]:
        """Return the config with the values that population based training has changed."""
        return {**self.config, **{name: value for change in self.changes for name, value in change["values"].items()}}


@dataclass
class RunState:
    """All trials of a run, in the order of their planning.

    expected: how many there will be, where that is known. generations: the epoch at which each population was last
    compared. foreign: trials that the last command does not plan, which are nobody's peers. changed: the trial's id
    of each event, so that a second look need only look at these. reports: the trial's id and the epoch of each report,
    in their order. counts: trials by status. first, last: times of
    the first and the last event. left_out: how many events could not be applied.
    """

    trials: dict[str, TrialState] = field(default_factory=dict)
    expected: int = 0
    generations: dict[str, int] = field(default_factory=dict)
    foreign: frozenset[str] = frozenset()
    changed: list[str] = field(default_factory=list)
    reports: list[tuple[str, int]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    first: datetime | None = None
    last: datetime | None = None
    left_out: int = 0
    first_left_out: str = ""

    def __post_init__(self) -> None:
        self.changed = list(self.trials)
        self.counts = Counter(trial.status for trial in self.trials.values())

    @property
    def total(self) -> int:
        """Return how many trials there will be."""
        return max(self.expected, len(self.trials))

    @property
    def ended(self) -> bool:
        """Return whether nothing is left to do of what the last command plans."""
        left = sum(not self.trials[name].ended for name in self.foreign)
        ended = self.count(*ENDED) + left == len(self.trials)
        return bool(self.trials) and len(self.trials) >= self.expected and ended

    def count(self, *statuses: str) -> int:
        """Return how many trials have one of the statuses."""
        return sum(self.counts[status] for status in statuses)

    def apply(self, event: Event) -> None:
        """Apply one event; kinds that do not concern trials are passed over. Raises `UnusableEvent`, unchanged."""
        kind = event["event"]
        check_fields(kind, event)
        if event.get("time"):
            self.last = time_of(event)
            self.first = self.first or self.last
        if kind == "planned":
            check_plan(event)
            self._add(TrialState(**{name: event[name] for name in PLANNED if name in event}))
        elif kind == "expected":
            self.expected = event["trials"]
        elif kind == "generation":
            changes = [(self._trial(change.get("trial_id")), change) for change in replacements_in(event)]
            self.generations[event["stratum"]] = event["epoch"]
            for trial, change in changes:
                trial.changes.append({"epoch": event["epoch"], **change})
                self.changed.append(trial.trial_id)
        elif kind == "resumed":
            named = (name for name in event.get("foreign") or () if isinstance(name, str))
            self.foreign = frozenset(name for name in named if name in self.trials)
        elif "trial_id" in event:
            trial = self._trial(event["trial_id"])
            before, epoch = trial.status, trial.epoch
            _apply_to_trial(trial, kind, event)
            if trial.epoch > epoch:
                self.reports.append((trial.trial_id, trial.epoch))
            self.counts[before] -= 1
            self.counts[trial.status] += 1
            self.changed.append(trial.trial_id)

    def _trial(self, trial_id: Any) -> TrialState:
        if not isinstance(trial_id, str) or trial_id not in self.trials:
            raise UnusableEvent(f"of a trial that was not planned: {str(trial_id)[:40]!r}")
        return self.trials[trial_id]

    def _add(self, trial: TrialState) -> None:
        """Add a trial; one that is planned twice stays as it is."""
        if trial.trial_id not in self.trials:
            self.trials[trial.trial_id] = trial
            self.counts[trial.status] += 1
            self.changed.append(trial.trial_id)


def _apply_to_trial(trial: TrialState, kind: str, event: Event) -> None:
    if trial.ended and kind in WAKING:
        # written by a second driver: two could work on one run of version 0.1.0
        return
    if kind == "started":
        # to go on after a comparison is no new attempt
        trial.attempts += trial.status != "waiting"
        trial.status, trial.started = "running", time_of(event)
    elif kind == "epoch":
        _apply_epoch(trial, event)
    elif kind in (*ENDED, "interrupted"):
        trial.status, trial.stop_reason = kind, event["reason"]
        trial.pruned = "rung" in event
        if trial.ended:
            # those of all trials together would fill the memory
            trial.last_report = None
    elif kind == "moved":
        # its data, weights or code lie elsewhere now
        places = {name: event["config"].get(name) for name in ("dataset", "weights", *PARTS)}
        trial.config.update({name: place for name, place in places.items() if isinstance(place, str)})
    elif kind == "recoded":
        # a resume with other code
        trial.code, trial.key, trial.mixed = event["code"], event["key"], trial.epoch > 0
    elif kind == "stop_requested":
        trial.asked_to_stop = event["reason"]
    elif kind == "waiting":
        trial.status = "waiting"
    elif kind == "stratum":
        trial.stratum = event["stratum"]
    elif kind in ("requeued", "retried"):
        trial.status, trial.stop_reason = "planned", ""
        if kind == "requeued":
            trial.asked_to_stop = ""


def _apply_epoch(trial: TrialState, event: Event) -> None:
    known = trial.epoch
    check_epoch(event, trial.config, known)
    for epoch in range(known + 1, event["epoch"] + 1):
        # all but the last are lost: their lines are damaged
        lost = epoch < event["epoch"]
        rows = [lost_epoch(row) for row in event["replicates"]] if lost else event["replicates"]
        try:
            trial.history.append(epoch, rows, event["mean"])
        except ValueError as error:
            raise UnusableEvent(str(error)) from None
        trial.means.append(dict.fromkeys(event["mean"]) if lost else event["mean"])
    if event["epoch"] > known:
        # an epoch that was trained again counts once
        trial.last_report, trial.finite = event, event.get("finite", True) is not False
    trial.status, trial.attempt = "running", event["attempt"]
    trial.memory_mb = max(event["memory_mb"] or 0.0, trial.memory_mb)
    if event.get("gpu_percent") is not None:
        trial.gpu_percents.append(event["gpu_percent"])


def fold(events: Iterable[Event], state: RunState | None = None) -> RunState:
    """Return the state after all events, from an earlier one on; those that cannot be are left out and counted."""
    state = state or RunState()
    for event in events:
        try:
            state.apply(event)
        except UnusableEvent as error:
            state.left_out += 1
            state.first_left_out = state.first_left_out or str(error)
    return state


def read_state(ledger: Path) -> RunState:
    """Return the state that a ledger holds, and say on stderr what was left out of it. Raises `InputError`."""
    state = fold(read_ledger(ledger))
    if state.left_out:
        say_once(f"{ledger}: events left out: {state.left_out}, the first {state.first_left_out}")
    return state


class GrowingLedger:
    """A ledger that another process writes. A look takes the time of the lines that came since the last one.

    begin: called where the file is read from its start; what it returns is given each event, before it is applied.
    """

    def __init__(self, path: Path, begin: Callable[[], Callable[[Event], None]] | None = None) -> None:
        self.path, self._follow = path, begin
        self._begin()

    def _begin(self) -> None:
        self.state = RunState()
        self._note = self._follow() if self._follow else None
        # end of the last line that was applied, and the bytes before it, by which the file is known again
        self._end, self._before = 0, b""

    def look(self) -> RunState:
        """Apply what was appended; return the same state, or a new one where the file is another. Raises `InputError`.

        A run that is kept at a URI may be fetched anew.
        """
        if self._tail() != self._before:
            self._begin()
        if not self._end:
            # an unreadable file is refused, and damaged lines are said
            next(read_ledger(self.path), None)
        for event, end in read_lines(self.path, self._end):
            if event and self._note:
                self._note(event)
            fold([event] if event else [], self.state)
            self._end = end
        self._before = self._tail()
        return self.state

    def _tail(self) -> bytes:
        try:
            with open_regular(self.path) as file:
                file.seek(max(0, self._end - TAIL))
                return file.read(min(TAIL, self._end))
        except OSError as error:
            raise InputError(f"{self.path} cannot be read ({error.strerror or error})") from None
