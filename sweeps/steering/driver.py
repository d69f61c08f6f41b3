"""Takes up what is asked of a run while it goes on, and makes it lines of the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from analysis.runs.run_folder import RunFolder
from analysis.terminal.exit_codes import ExitCode
from analysis.terminal.plain_text import visible
from analysis.trial_status import BY_REQUEST
from sweeps.record.outcome import Halt
from sweeps.record.state import RunState
from sweeps.steering.requests import AddValues, EndRun, Request, take_requests
from trainables.errors import InputError

# between two looks
SECONDS = 0.5
# characters of a reason for a refusal
MOST_REASON = 400


class Recorder(Protocol):
    """The recorder of a run, as far as it is asked here."""

    run: RunFolder
    state: RunState

    def record(self, event: str, **fields: Any) -> None:
        """Append to the ledger and take into the state."""

    def ask_to_stop(self, trial_id: str, reason: str) -> bool:
        """Note that a trial is to stop."""


class Brake(Protocol):
    """The means to end a run before its trials."""

    halt: Halt | None


@dataclass
class Steering:
    """Looks for requests in the run's folder, twice a second at most. say: prints a note.

    add: adds values to a grid, and returns what it did; raises `InputError`. began: seconds since 1970; older requests
    meant an earlier driver.
    """

    recorder: Recorder
    brake: Brake
    say: Callable[[str], None]
    add: Callable[[str], str]
    began: float = field(default_factory=time.time)
    due: float = 0.0
    done: set[str] = field(default_factory=set)

    def check(self) -> None:
        """Take up the requests that have come. To be called often."""
        if (now := time.monotonic()) < self.due:
            return
        self.due = now + SECONDS
        for request in take_requests(self.recorder.run, self.began, self.done):
            self._take(request)

    def _take(self, request: Request) -> None:
        if isinstance(request, EndRun):
            if self.brake.halt is None:
                self.recorder.record("end_requested")
                self.brake.halt = Halt("its end was requested", ExitCode.UNFINISHED)
                self.say("the end of the run was requested: it ends once its workers have reported")
            return
        if isinstance(request, AddValues):
            try:
                self.say(self.add(request.values))
            except InputError as error:
                # on one line, whatever was asked for
                reason = " ".join(visible(error).split())[:MOST_REASON]
                self.recorder.record("refused", reason=reason)
                self.say(f"values that were asked for are not added: {reason}")
            return
        trial = self.recorder.state.trials.get(request.trial_id)
        if trial and self.recorder.ask_to_stop(trial.trial_id, BY_REQUEST):
            self.say(f"trial {trial.trial_id} is stopped by request")
