"""Ends a run before its trials: by signals, a time budget, failures, or a lost Ray, after which it goes on anew."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

import psutil

from analysis.terminal.exit_codes import ExitCode, of_signal
from sweeps.record.outcome import Halt

if TYPE_CHECKING:
    from sweeps.planning.settings import Settings
    from sweeps.record.state import RunState

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
REUSE = "The same call with Settings(reuse=True) takes over what was trained to its end"
FROM_THE_START = "interrupted before the first trial: nothing is lost, start it again"


class Interrupt:
    """Takes the signals of a run while it is entered. `signal` is the number of the one that came, or None.

    Until `hold` a signal ends the process at once, for no trial has begun. Then the first is noted, so that the run
    ends in order, and the second ends the process: the ledger is on the disk line by line.
    go_on: the command that goes on with the run, once its folder exists; "" for a run from Python.
    restart: goes on with the run in a new process, given why and the seconds that the run took here; does not return.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.go_on = ""
        self.restart: Callable[[Halt, float], None] | None = None
        self._held = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        # it is entered already
        if self._before:
            return self
        # under `nohup` SIGHUP is ignored, and stays so
        wanted = [n for n in SIGNALS if n != signal.SIGHUP or signal.getsignal(n) is not signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._take) for number in wanted}
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    def hold(self) -> None:
        """Only note the first signal from now on."""
        self._held = True
        self.take_again()

    def take_again(self) -> None:
        """Set the handlers once more: Ray puts its own in their place when it starts, and aborts on SIGTERM."""
        for number in self._before:
            signal.signal(number, self._take)

    def release(self) -> None:
        """Give the signals back to whoever had them."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def requested(self) -> bool:
        """Return whether a signal came."""
        return self.signal is not None

    def advice(self) -> str:
        """Return how to go on with the run."""
        return f"To go on:\n  {self.go_on}" if self.go_on else REUSE

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self._held and self.signal is None:
            self.signal = number
            return
        text = "" if self._held else f"interrupted before the first trial. {self.advice()}"
        text = FROM_THE_START if not self._held and not self.go_on else text
        end_process(text, of_signal(number))


def end_process(text: str, code: int) -> None:
    """Print a text on stderr, end Ray's processes and this one. Nothing is waited for."""
    # the terminal may be gone
    with suppress(OSError):
        os.write(2, f"\n{text}\n".encode() if text else b"")
    # Ray's agents outlive a raylet that dies of our death
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            process.kill()
    os._exit(code)


@dataclass
class Brake:
    """Says when a run is to end before its trials have, and why. Failures count from this start of the run on."""

    interrupt: Interrupt
    settings: Settings
    state: RunState
    began: float
    halt: Halt | None = None
    failed_before: int = field(init=False)

    def __post_init__(self) -> None:
        self.failed_before = self.state.count("failed")

    def __call__(self) -> bool:
        budget, errors = self.settings.time_budget, self.settings.max_errors
        if not self.halt and budget and time.monotonic() - self.began > budget:
            self.halt = Halt(f"the time budget of {budget:g} s is used up", ExitCode.UNFINISHED)
        if not self.halt and errors and (failed := self.state.count("failed") - self.failed_before) >= errors:
            self.halt = Halt(f"failed trials: {failed} (--max-errors {errors})", ExitCode.FAILURES)
        return self.halt is not None or self.interrupt.signal is not None


def time_left(budget: float | None, seconds: float) -> float | None:
    """Return what is left of a time budget after some seconds, for a run that goes on at once: a second at least."""
    return None if budget is None else max(1.0, budget - seconds)


# Restarts of Ray in a row without an epoch between them, after which a run ends, to be resumed.
RESTARTS = 3
# Environment variable: how often Ray was lost since the last epoch, and the epochs by then.
LOSSES = "SWEEPS_RAY_LOSSES"


class Losses:
    """Counts the losses of Ray between which nothing was trained, across new processes."""

    def __init__(self) -> None:
        known = os.environ.pop(LOSSES, "0 -1").split()
        self.count, self.epochs = int(known[0]), int(known[1])

    def another(self, epochs: int) -> int:
        """Count one more, where the run has so many epochs. Returns how many there were in a row."""
        self.count, self.epochs = (self.count + 1 if epochs == self.epochs else 1), epochs
        os.environ[LOSSES] = f"{self.count} {self.epochs}"
        return self.count


def become(command: str) -> None:
    """Replace this process by `python -m sweeps.run ...`, and end what is left of its Ray. Does not return.

    A process whose Ray is gone cannot start another.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    rest = psutil.Process().children(recursive=True)
    for process in rest:
        with suppress(psutil.Error):
            process.kill()
    # those that nobody has waited for would stay this process's dead children
    psutil.wait_procs(rest, timeout=5)
    os.execv(sys.executable, [sys.executable, *shlex.split(command)[1:]])
