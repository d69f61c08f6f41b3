"""The result of a run, and why it ended before its trials where it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis import table
from analysis.runs.run_folder import RunFolder
from analysis.terminal.exit_codes import ExitCode, of_signal
from analysis.trial_evaluation.select_trials import BEST, choose_trials
from sweeps.record.state import RunState
from trainables.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from analysis.trial_evaluation.select_trials import ChosenTrial


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

    # pandas and torch are imported by whoever asks for what needs them

    @property
    def trials(self) -> pd.DataFrame:
        """Return `trials.parquet`: one row per trial and replicate. Raises `InputError` before any trial has ended."""
        if not self.run.trials_table.exists():
            raise InputError(f"{self.run.path}: no trial has ended yet")
        return table.read(self.run.trials_table, "trials")

    @property
    def best(self) -> ChosenTrial:
        """Return the trial with the best validation metric, as the summary names it; `.load()` builds its network.

        Raises `InputError` where trials are of several datasets, none was trained to its end, or none kept its weights.
        """
        return choose_trials(self.run, BEST)[0]

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
