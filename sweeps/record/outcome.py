"""What a run came to."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.runs.run_folder import RunFolder
from analysis.terminal.exit_codes import ExitCode, of_signal
from sweeps.record.state import RunState


@dataclass(frozen=True)
class Halt:
    """Why a run ended before its trials, in words and as the exit code.

    new_process: the run can go on at once, but in another process, since this one's Ray is gone.
    """

    reason: str
    code: ExitCode
    new_process: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a run came to. signal: the one that interrupted it, else None."""

    run: RunFolder
    state: RunState
    signal: int | None
    seconds: float
    problems: tuple[str, ...] = ()  # what could not be measured or drawn
    halt: Halt | None = None
    report: str = ""  # where it is, or why it is not

    @property
    def exit_code(self) -> int:
        """The exit code of the command. A run that is not done is never 0."""
        if self.signal is not None:
            return of_signal(self.signal)
        if self.halt:
            return self.halt.code
        if self.state.count("failed") or self.problems:
            return ExitCode.FAILURES
        return ExitCode.DONE if self.state.ended else ExitCode.UNFINISHED
