"""The state of a run's trials, as a fold over the ledger. `apply` is used live and on reading alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sweeps.record.history import History
from sweeps.record.ledger import Event

PLANNED = ("trial_id", "key", "folder", "config", "parameters", "macs", "stratum", "bracket", "proposal")
ENDED = ("completed", "stopped", "diverged", "failed")  # interrupted trials go on at a resume


@dataclass
class TrialState:
    """One planned trial and what has become of it."""

    trial_id: str
    key: str
    folder: str
    config: dict[str, Any]
    parameters: int
    macs: int
    stratum: str = ""
    bracket: int = 0
    proposal: dict[str, Any] | None = None  # what the searcher must know of it again
    pruned: bool = False  # stopped by the scheduler
    changes: list[dict[str, Any]] = field(default_factory=list)  # population based training: epoch, donor, values
    status: str = "planned"
    stop_reason: str = ""
    attempts: int = 0
    attempt: int = 0  # the worker's own count, which names the folder of its files
    history: History = field(default_factory=History)
    means: list[dict[str, float | None]] = field(default_factory=list)  # over replicates, of each epoch
    memory_mb: float = 0.0
    gpu_percents: list[float] = field(default_factory=list)  # how busy its GPU was, at the end of each epoch
    started: datetime | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def epoch(self) -> int:
        return len(self.means)

    @property
    def config_now(self) -> dict[str, Any]:
        """The config with what population based training has changed in it."""
        return {**self.config, **{name: value for change in self.changes for name, value in change["values"].items()}}


@dataclass
class RunState:
    """All trials of a run, in the order of their planning. expected: how many there will be, where that is known.

    changed: the id of a trial for each event that was about it, so that who looks again looks at these alone.
    """

    trials: dict[str, TrialState] = field(default_factory=dict)
    expected: int = 0
    generations: dict[str, int] = field(default_factory=dict)  # epoch at which each population was last compared
    foreign: frozenset[str] = frozenset()  # trials that the last command does not plan: nobody's peers
    changed: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)  # trials by status

    def __post_init__(self) -> None:
        self.changed = list(self.trials)
        self.counts = Counter(trial.status for trial in self.trials.values())

    @property
    def total(self) -> int:
        return max(self.expected, len(self.trials))

    @property
    def ended(self) -> bool:
        """Return whether nothing is left to do of what the last command plans."""
        left = sum(not self.trials[name].ended for name in self.foreign)
        ended = self.count(*ENDED) + left == len(self.trials)
        return bool(self.trials) and len(self.trials) >= self.expected and ended

    def count(self, *statuses: str) -> int:
        return sum(self.counts[status] for status in statuses)

    def apply(self, event: Event) -> None:
        """Take one event in. Events of kinds that say nothing of trials are passed over."""
        kind = event["event"]
        if kind == "planned":
            known = {name: event[name] for name in PLANNED if name in event}
            self._add(TrialState(**known))
        elif kind == "expected":
            self.expected = event["trials"]
        elif kind == "generation":
            self.generations[event["stratum"]] = event["epoch"]
            for change in event["replaced"]:
                self.trials[change["trial_id"]].changes.append({"epoch": event["epoch"], **change})
                self.changed.append(change["trial_id"])
        elif kind == "resumed":
            self.foreign = frozenset(self.trials.keys() & set(event.get("foreign", ())))
        elif "trial_id" in event:
            trial = self.trials[event["trial_id"]]
            before = trial.status
            _apply_to_trial(trial, kind, event)
            self.counts[before] -= 1
            self.counts[trial.status] += 1
            self.changed.append(trial.trial_id)

    def _add(self, trial: TrialState) -> None:
        if known := self.trials.get(trial.trial_id):
            self.counts[known.status] -= 1
        self.trials[trial.trial_id] = trial
        self.counts[trial.status] += 1
        self.changed.append(trial.trial_id)


def _apply_to_trial(trial: TrialState, kind: str, event: Event) -> None:
    if kind == "started":
        trial.attempts += trial.status != "waiting"  # to go on after a comparison is no new attempt
        trial.status = "running"
        trial.started = datetime.fromisoformat(event["time"])
    elif kind == "epoch":
        trial.status, trial.attempt = "running", event["attempt"]
        trial.memory_mb = max(event["memory_mb"], trial.memory_mb)
        if "gpu_percent" in event:
            trial.gpu_percents.append(event["gpu_percent"])
        if event["epoch"] == trial.epoch + 1:  # an epoch trained again after a resume is the same epoch
            trial.history.append(event["epoch"], event["replicates"])
            trial.means.append(event["mean"])
    elif kind in (*ENDED, "interrupted"):
        trial.status, trial.stop_reason = kind, event["reason"]
        trial.pruned = "rung" in event
    elif kind == "waiting":
        trial.status = "waiting"
    elif kind == "stratum":
        trial.stratum = event["stratum"]
    elif kind in ("requeued", "retried"):
        trial.status, trial.stop_reason = "planned", ""


def fold(events: Iterable[Event]) -> RunState:
    """The state after all events."""
    state = RunState()
    for event in events:
        state.apply(event)
    return state
