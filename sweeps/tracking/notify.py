"""Runs the user's own command when a run ends, when its first trial fails, and when it is interrupted.

What there is to say goes to the command's stdin as JSON. Nothing of it becomes a part of the command.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from typing import Any

from analysis.runs.run_folder import RunFolder
from analysis.runs.sync import where
from analysis.terminal.exit_codes import ExitCode
from sweeps.record.outcome import Outcome
from sweeps.record.progress import Tally
from sweeps.record.state import RunState
from trainables.json_values import as_json_value

# Seconds that the command may take.
TIMEOUT = 30.0
# Bytes of what it says that are read.
LONGEST_LINE = 4096
Say = Callable[[str], None]


@dataclass
class Notifier:
    """Tells the user's command of one run. command: None for no command at all. say: prints what went wrong with it.

    Raises `InputError` where the run is none.
    """

    command: str | None
    run: RunFolder
    say: Say
    timeout: float = TIMEOUT
    _description: dict[str, Any] = field(default_factory=dict, init=False)
    _failed: threading.Thread | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        # the file may be gone when there is something to tell
        self._description = self.run.read_description() if self.command is not None else {}

    def check(self, state: RunState) -> None:
        """Tell of the first trial that has failed, without waiting for the command. To be called often."""
        if self.command is None or self._failed or not state.count("failed"):
            return
        trial = next(trial for trial in state.trials.values() if trial.status == "failed")
        cause = f"trial {trial.trial_id} failed: {trial.stop_reason}"
        found = self._message("trial failed", state, cause)
        self._failed = threading.Thread(target=self._send, args=(found,), name="notify", daemon=True)
        self._failed.start()

    def ended(self, outcome: Outcome) -> None:
        """Tell how the run has ended; one that goes on in a new process has not."""
        if self.command is None or (outcome.halt and outcome.halt.new_process):
            return
        event = "interrupted" if outcome.signal is not None else "ended early" if outcome.halt else "ended"
        reason = outcome.halt.reason if outcome.halt else ""
        more = {"exit_code": int(outcome.exit_code), "seconds": round(outcome.seconds, 1), "report": outcome.report}
        self.tell(self._message(event, outcome.state, reason, **more))

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Tell of an error that ends the run, and raise it again."""
        try:
            yield
        except Exception as error:
            text = " ".join(str(error).split())
            if self.command is not None:
                self.tell(self._message("error", None, text, exit_code=int(ExitCode.BAD_INPUT)))
            raise

    def tell(self, message: dict[str, Any]) -> None:
        """Run the command and wait for it, after the one before has ended."""
        if self.command is None:
            return
        if self._failed:
            self._failed.join()
        self._send(message)

    def _message(self, event: str, state: RunState | None, reason: str, **more: Any) -> dict[str, Any]:
        """Return what the command gets."""
        description = self._description
        found = {
            "event": event, "sweep": self.run.sweep, "run": self.run.run_id, "question": description["question"],
            "reason": reason, "metric": description["metric"], "results": where(self.run), **more,
        }  # fmt: skip
        if state is not None:
            found["trials"] = {status: count for status, count in state.counts.items() if count}
            found["best"] = _best(state, description["metric"], description["mode"])
        return {"text": _text(found), **found}

    def _send(self, message: dict[str, Any]) -> None:
        problem = run_command(str(self.command), json.dumps(as_json_value(message)), self.timeout)
        if problem:
            self.say(f"--notify: {problem}")


def _best(state: RunState, metric: str, mode: str) -> float | None:
    best = Tally(state, metric, mode).best()
    return best[0].value if best else None


def _text(message: dict[str, Any]) -> str:
    """Return the message in a line, for a command that sends a line."""
    counts = ", ".join(f"{count} {status}" for status, count in message.get("trials", {}).items())
    best = message.get("best")
    parts = [message["reason"], counts, "" if best is None else f"best {message['metric']} {best:.4f}"]
    return f"{message['sweep']}/{message['run']} {message['event']}: {'; '.join(filter(None, parts))}".rstrip(": ")


def run_command(command: str, content: str, timeout: float) -> str:
    """Run a command of the user's in a shell with `content` at its stdin; return what went wrong, "" if nothing."""
    try:
        # files and no pipes: what the command has started may keep a pipe open for ever
        with TemporaryFile() as given, TemporaryFile() as errors:
            given.write(content.encode(errors="replace"))
            given.seek(0)
            # a group of its own: what the command has started ends with it
            process = subprocess.Popen(
                ["/bin/sh", "-c", command], stdin=given, stdout=subprocess.DEVNULL, stderr=errors,
                start_new_session=True,
            )  # fmt: skip
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return f"the command took more than {timeout:g} s and was ended"
            errors.seek(0)
            first = errors.readline(LONGEST_LINE).decode(errors="replace").strip()
            return f"the command ended with {code} ({first[:200] or 'it said nothing'})" if code else ""
    # a full disk, a command that is too long for the system
    except (OSError, ValueError) as error:
        return f"the command cannot be run ({error})"
