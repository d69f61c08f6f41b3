"""What ends a run before its trials: SIGINT and SIGTERM, whose second ends it at once, a time budget, failures."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweeps.planning.settings import Settings
    from sweeps.record.state import RunState

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """While it is entered, `signal` is the number of the signal that came, or None."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        self._before = {number: signal.signal(number, self._take) for number in SIGNALS}
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def requested(self) -> bool:
        """Whether a signal came."""
        return self.signal is not None

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            os._exit(128 + number)  # the ledger is on disk line by line: nothing is lost
        self.signal = number


@dataclass
class Brake:
    """Says when a run is to end before its trials have, and why."""

    interrupt: Interrupt
    settings: Settings
    state: RunState
    began: float
    reason: str = ""

    def __call__(self) -> bool:
        budget, errors = self.settings.time_budget, self.settings.max_errors
        if not self.reason and budget and time.monotonic() - self.began > budget:
            self.reason = f"the time budget of {budget:g} s is used up"
        if not self.reason and errors and (failed := self.state.count("failed")) >= errors:
            self.reason = f"failed trials: {failed} (--max-errors {errors})"
        return bool(self.reason) or self.interrupt.signal is not None
