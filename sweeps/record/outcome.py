"""The result of a run, and why it ended before its trials where it did."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.runs.run_folder import RunFolder
from analysis.terminal.exit_codes import ExitCode, of_signal
from sweeps.record.state import RunState


@dataclass(frozen=True)
class Halt:
    """The reason for which a run ended before its trials, in words and as the exit code.

    new_process: the run can go on at once, but in another process, since this one's Ray is gone.
    """

    reason: str
    code: ExitCode
    new_process: bool = False


@dataclass(frozen=True)
class Outcome:
    """The result of a run.

    signal: the one that interrupted it, else None. problems: why something could not be measured or drawn.
    report: its path, or why there is none.
    """

    run: RunFolder
    state: RunState
    signal: int | None
    seconds: float
    problems: tuple[str, ...] = ()
    halt: Halt | None = None
    report: str = ""

    @property
    def exit_code(self) -> int:
        """Return the exit code of the command. It is 0 only for a run that is done."""
        if self.signal is not None:
            return of_signal(self.signal)
        if self.halt:
            return self.halt.code
        if self.state.count("failed") or self.problems:
            return ExitCode.FAILURES
        return ExitCode.DONE if self.state.ended else ExitCode.UNFINISHED
