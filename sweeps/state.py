"""The state of a run's trials, as a fold over the ledger. `apply` is used live and on reading alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sweeps.ledger import Event

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
    status: str = "planned"
    stop_reason: str = ""
    attempts: int = 0
    attempt: int = 0  # the worker's own count, which names the folder of its files
    epochs: list[list[dict[str, Any]]] = field(default_factory=list)  # [epoch][replicate]
    means: list[dict[str, float | None]] = field(default_factory=list)
    memory_mb: float = 0.0
    started: datetime | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def epoch(self) -> int:
        return len(self.epochs)


@dataclass
class RunState:
    """All trials of a run, in the order of their planning."""

    trials: dict[str, TrialState] = field(default_factory=dict)

    def count(self, *statuses: str) -> int:
        return sum(trial.status in statuses for trial in self.trials.values())

    def apply(self, event: Event) -> None:
        """Take one event in. Events of kinds that say nothing of trials are passed over."""
        kind = event["event"]
        if kind == "planned":
            fields = ("trial_id", "key", "folder", "config", "parameters", "macs", "stratum")
            self.trials[event["trial_id"]] = TrialState(**{name: event[name] for name in fields})
        elif "trial_id" in event:
            _apply_to_trial(self.trials[event["trial_id"]], kind, event)


def _apply_to_trial(trial: TrialState, kind: str, event: Event) -> None:
    if kind == "started":
        trial.status, trial.attempts = "running", trial.attempts + 1
        trial.started = datetime.fromisoformat(event["time"])
    elif kind == "epoch":
        trial.status, trial.attempt = "running", event["attempt"]
        trial.memory_mb = max(event["memory_mb"], trial.memory_mb)
        if event["epoch"] == trial.epoch + 1:  # an epoch trained again after a resume is the same epoch
            trial.epochs.append(event["replicates"])
            trial.means.append(event["mean"])
    elif kind in (*ENDED, "interrupted"):
        trial.status, trial.stop_reason = kind, event["reason"]


def fold(events: Iterable[Event]) -> RunState:
    """The state after all events."""
    state = RunState()
    for event in events:
        state.apply(event)
    return state
