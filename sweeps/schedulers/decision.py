"""What a rule that stops trials is asked and answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Decision:
    """What a rung said of a value. cutoff is NaN where there were no peers to compare with: the trial goes on."""

    stop: bool
    rung: int  # the epoch at which was judged
    value: float
    cutoff: float
    peers: int  # trials that reached the rung before


class Judge(Protocol):
    """A rule that stops trials: a fold over the values of the epochs, in the order of their reports."""

    def judge(self, trial_id: str, stratum: str, epoch: int, value: float, bracket: int = 0) -> Decision | None: ...
