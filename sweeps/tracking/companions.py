"""Runs each tracker of a run in a process of its own, beside the driver: none of them can stop or slow a trial.

A process that fails to answer, or is killed, is begun again and goes on from its position. Its end is waited for only
while it makes progress.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import psutil

from analysis.runs.run_folder import RunFolder
from sweeps.trackers.table import read_spec

# Seconds without a sign of life after which a process is ended: while the run goes on, and after its end.
SILENT_SECONDS, SILENT_AT_END = 90.0, 30.0
# Seconds before a process that died is begun again; each wait is twice the last.
FIRST_WAIT, LONGEST_WAIT = 2.0, 60.0
# Where the system has priorities, those of the driver and the workers go first.
NICE = 10
ROOT = Path(__file__).parents[2]
Say = Callable[[str], None]


class Companions:
    """The processes of a run's trackers, between `with` and its end."""

    def __init__(self, run: RunFolder, specs: Sequence[str], files: str, say: Say) -> None:
        self.run = run
        self._companions = [Companion(run, spec, files, say) for spec in specs]

    def __enter__(self) -> Companions:
        for companion in self._companions:
            companion.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for companion in self._companions:
            companion.end()
        for companion in self._companions:
            companion.join()


class Companion(threading.Thread):
    """The thread that keeps one tracker's process going."""

    def __init__(self, run: RunFolder, spec: str, files: str, say: Say) -> None:
        super().__init__(name=f"tracker {read_spec(spec).name}", daemon=True)
        self.folder, self.spec, self.files, self.say = run, spec, files, say
        self._ended = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._told = False

    @property
    def command(self) -> list[str]:
        """Return the command that sends the run to its tracker."""
        path = str(self.folder.path.absolute())
        return [sys.executable, "-m", "sweeps.track", path, "--to", self.spec, "--files", self.files]

    def end(self) -> None:
        """Let the process send what is left and end."""
        self._ended.set()
        with self._lock:
            if self._process and self._process.stdin:
                with contextlib.suppress(OSError):
                    self._process.stdin.close()

    def run(self) -> None:
        """Begin the process, and again whenever it dies before the run has ended."""
        wait = FIRST_WAIT
        while True:
            began = time.monotonic()
            code = self._run_once()
            if code == 0 and self._ended.is_set():
                return
            if self._ended.is_set():
                words = ["python", *self.command[1:]]
                self.say(f"{self.spec} lacks some of the run; to send it later: {' '.join(words)}")
                return
            if not self._told:
                self.say(f"{self.spec}: its process has ended ({code}); it is begun again and catches up")
            self._told = True
            wait = FIRST_WAIT if time.monotonic() - began > LONGEST_WAIT else min(LONGEST_WAIT, 2 * wait)
            self._ended.wait(wait)

    def _run_once(self) -> int:
        """Run the process to its end and say what it says. Returns its exit code."""
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        # a session of its own: Ctrl-C in a terminal is for the run, which ends in order
        with self._lock:
            process = self._process = subprocess.Popen(
                [*self.command, "--follow"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                start_new_session=True, env={**os.environ, "PYTHONPATH": path},
            )  # fmt: skip
            if self._ended.is_set() and process.stdin:
                process.stdin.close()
        with contextlib.suppress(psutil.Error):
            psutil.Process(process.pid).nice(NICE)
        try:
            self._relay(process)
            return process.wait()
        finally:
            if process.stdin:
                process.stdin.close()

    def _relay(self, process: subprocess.Popen[bytes]) -> None:
        """Say each line of the process until it closes its output; end it where it gives no sign of life for long."""
        assert process.stdout
        last, rest = time.monotonic(), b""
        with selectors.DefaultSelector() as waiting, process.stdout as output:
            waiting.register(output, selectors.EVENT_READ)
            while True:
                if waiting.select(1.0):
                    read = os.read(output.fileno(), 65536)
                    if not read:
                        return
                    last = time.monotonic()
                    *lines, rest = (rest + read).split(b"\n")
                    for line in filter(None, lines):
                        self.say(line.decode(errors="replace"))
                silent = time.monotonic() - last
                if silent > (SILENT_AT_END if self._ended.is_set() else SILENT_SECONDS):
                    self.say(f"{self.spec} has not answered for {silent:.0f} s")
                    self._told = True
                    process.kill()
                    return
