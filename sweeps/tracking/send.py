"""Sends a run to trackers: a finished one at once, or one that goes on, until its driver has ended."""

from __future__ import annotations

import logging
import os
import select
import sys
import time
import warnings
from collections.abc import Sequence

from rich.console import Console

from analysis.runs.run_folder import RunFolder
from analysis.runs.sync import where
from analysis.terminal.plain_text import say
from sweeps.trackers.table import check_trackers, read_files, read_spec
from sweeps.tracking.follow import Files, Follower
from trainables.errors import InputError

# Seconds between two signs of life.
ALIVE_SECONDS = 1.0


def send_run(console: Console, run: RunFolder, specs: Sequence[str], files: str) -> None:
    """Send all that each tracker lacks. Raises `InputError`."""
    if not specs:
        raise InputError("say where the run goes: --to mlflow, --to wandb or --to FILE.py:CLASS")
    kinds = Files(read_files(files))
    check_trackers(tuple(specs))
    for text in dict.fromkeys(specs):
        began = time.monotonic()
        told = Follower(run, read_spec(text), kinds, lambda line: say(console, line, "note:"), lambda seconds: False)
        told.follow()
        say(console, f"{text} has all of {where(run)} ({time.monotonic() - began:.1f} s)")


def follow_run(run: RunFolder, text: str, files: str) -> None:
    """Send a run that goes on; stdin is closed when its driver has ended, or was killed. Raises `InputError`.

    The driver reads stdout: a line is for the user, an empty one a sign of life.
    """
    # a library prints what it likes, and the driver reads lines of ours alone
    output = os.dup(1)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    life = _Life(output)
    kinds = Files(read_files(files))
    try:
        Follower(run, read_spec(text), kinds, life.say, life.more, life.alive).follow()
    except InputError as error:
        life.say(str(error))
        sys.exit(1)


class _Life:
    """The two ends of a follower: its driver's pipe at stdin, and the lines that the driver reads."""

    def __init__(self, output: int) -> None:
        self.output, self._due = output, 0.0

    def more(self, seconds: float) -> bool:
        """Wait; return False as soon as stdin is closed."""
        end = time.monotonic() + seconds
        while True:
            self.alive()
            left = max(0.0, min(ALIVE_SECONDS, end - time.monotonic()))
            if select.select([0], [], [], left)[0] and not os.read(0, 4096):
                return False
            if time.monotonic() >= end:
                return True

    def alive(self) -> None:
        """Give a sign of life, at most once a second."""
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + ALIVE_SECONDS
            self._write("")

    def say(self, text: str) -> None:
        """Hand a line to the driver."""
        self._write(" ".join(text.split()))

    def _write(self, text: str) -> None:
        try:
            os.write(self.output, f"{text}\n".encode(errors="replace"))
        except OSError:
            # the driver was killed: what is left is sent all the same
            return
