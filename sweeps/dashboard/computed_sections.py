"""Sections of the report, computed by a program beside the server and kept until the tables that they read change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from analysis.runs.run_folder import RunFolder
from sweeps.dashboard.beside_run import WITH_PARENT

# computations that are kept, and that go on at a time
KEPT, AT_A_TIME = 12, 1
# a computation of a run that goes on is made again after so many seconds, and after so many times what it took
SECONDS, TIMES = 10.0, 20.0
MOST_SECONDS = 600.0
PROGRAM = "sweeps.dashboard.sections_program"
Stamp = tuple[tuple[int, int], ...]


@dataclass
class Sections:
    """The sections of some runs or of a trial, as far as they have come. took: seconds of the last computation."""

    words: tuple[str, ...]
    stamp: Stamp = ()
    shown: list[dict[str, str]] = field(default_factory=list)
    computing: bool = False
    ended: float = 0.0
    took: float = 0.0
    made: float = 0.0
    wrong: str = ""

    def document(self) -> dict[str, Any]:
        """Return what a page is sent. made: when, in seconds since 1970; it changes with each computation."""
        return {"sections": self.shown, "computing": self.computing, "made": self.made, "wrong": self.wrong}


class ComputedSections:
    """Computes sections when somebody looks at them, one computation at a time. To be closed."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, ...], Sections] = OrderedDict()
        self._lock, self._turn = threading.Lock(), threading.Semaphore(AT_A_TIME)
        self._processes: set[subprocess.Popen[str]] = set()

    def of(self, runs: Sequence[RunFolder], *options: str, running: bool = False) -> Sections:
        """Return what there is of the sections, and begin to compute them where they are missing or out of date."""
        words = (*(str(run.path.absolute()) for run in runs), *options)
        stamp = tuple(stamp for run in runs for stamp in _stamps(run))
        with self._lock:
            one = self._known.setdefault(words, Sections(words))
            self._known.move_to_end(words)
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
            rested = time.monotonic() - one.ended >= max(SECONDS, TIMES * one.took)
            if not one.computing and stamp != one.stamp and (rested or not one.ended):
                one.computing, one.stamp = True, stamp
                again = ["--running"] if running else []
                threading.Thread(target=self._compute, args=(one, again), daemon=True).start()
        return one

    def _compute(self, one: Sections, more: Sequence[str]) -> None:
        with self._turn:
            began = time.monotonic()
            found: list[dict[str, str]] = []
            environment = {**os.environ, WITH_PARENT: str(os.getpid())}
            command = [sys.executable, "-m", PROGRAM, *more, *one.words]
            errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed below, whatever happens
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
            self._processes.add(process)
            late = threading.Timer(MOST_SECONDS, process.kill)
            late.start()
            try:
                assert process.stdout
                for line in process.stdout:
                    found.append(json.loads(line))
                    if len(found) > len(one.shown):
                        # while it is computed anew, the earlier one stays
                        one.shown = list(found)
                if process.wait():
                    errors.seek(0)
                    one.wrong = (errors.read().strip().splitlines() or ["it was ended"])[-1]
            finally:
                late.cancel()
                errors.close()
                self._processes.discard(process)
                one.shown = found or one.shown
                one.took, one.ended = time.monotonic() - began, time.monotonic()
                one.computing, one.made = False, time.time()

    def close(self) -> None:
        """End what is being computed."""
        for process in list(self._processes):
            process.kill()


def _stamps(run: RunFolder) -> list[tuple[int, int]]:
    found = []
    for path in (run.trials_table, run.weights_table, run.activations_table, run.evaluation):
        try:
            status = path.stat()
            found.append((status.st_mtime_ns, status.st_size))
        except OSError:
            found.append((0, 0))
    return found
