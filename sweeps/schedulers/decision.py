"""A rule that stops trials, what it answers, and which trials are peers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sweeps.record.state import RunState, TrialState


@dataclass(frozen=True)
class Decision:
    """The answer to one value.

    rung: the epoch at which was judged; cutoff: NaN where there were no peers to compare with, and the trial goes on;
    peers: trials that reached the rung before.
    """

    stop: bool
    rung: int
    value: float
    cutoff: float
    peers: int


class Judge(Protocol):
    """A rule that stops trials: a fold over the values of the epochs, in the order of their reports."""

    def judge(self, trial_id: str, stratum: str, epoch: int, value: float, bracket: int = 0) -> Decision | None:
        """File a value and judge it; None where there is nothing to judge at this epoch."""

    def reason(self, decision: Decision, metric: str) -> str:
        """Return why a decision stops a trial, for the ledger and the tables."""


def peers(state: RunState, stratum: str) -> list[TrialState]:
    """Return the trials that compete in a stratum: all that the present command plans there."""
    return [t for t in state.trials.values() if t.stratum == stratum and t.trial_id not in state.foreign]


def competes(state: RunState, trial: TrialState, epoch: int, finite: bool) -> bool:
    """Return whether a trial's report at an epoch is compared with those of its peers.

    A trial that diverged moves no cutoff, one that the present command does not plan is no peer, and at its own last
    epoch nothing of a trial is left to save.
    """
    return finite and epoch < trial.config["epochs"] and trial.trial_id not in state.foreign
