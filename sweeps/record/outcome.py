"""What a run came to."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.runs.run_folder import RunFolder
from sweeps.record.state import RunState


@dataclass(frozen=True)
class Outcome:
    """What a run came to. signal: the one that interrupted it, else None; halted: why it ended before its trials."""

    run: RunFolder
    state: RunState
    signal: int | None
    seconds: float
    problems: tuple[str, ...] = ()  # what could not be measured or drawn
    halted: str = ""
    report: str = ""  # where it is, or why it is not
