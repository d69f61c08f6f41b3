"""Ray starts while the sweep is planned: each takes seconds, and neither needs the other."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

import psutil

from sweeps.running.interrupt import SIGNALS


class EarlyRay:
    """While it is entered, a Ray of our own starts in a thread; `wait` is for whoever needs it.

    Until then a signal ends the process at once: no trial has begun, and Ray's processes end with ours.
    """

    def __init__(self) -> None:
        self.started, self._over = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> EarlyRay:
        import sweeps.running.ray_session  # noqa: F401  here, not in the thread: two threads that import can meet half a module

        self._handlers = {number: signal.signal(number, _leave) for number in SIGNALS}
        threading.Thread(target=self._start, name="ray's start", daemon=True).start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        from sweeps.running.ray_session import ray

        self.started.wait()
        ray.shutdown()
        self._over.set()
        self._give_back_signals()

    def wait(self) -> None:
        """Returns once Ray runs. Raises `InputError` where it cannot be started."""
        self.started.wait()
        self._give_back_signals()
        if self._error is not None:
            raise self._error

    def leave(self, code: int) -> None:
        """End the process with a Ray that is still starting, which nobody needs any more; else return."""
        if not self.started.is_set():
            _end_children()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _give_back_signals(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _start(self) -> None:
        from sweeps.running.ray_session import start_ray

        try:
            start_ray()
        except BaseException as error:  # raised by `wait`, where somebody sees it
            self._error = error
        self.started.set()
        self._over.wait()  # Linux kills Ray's processes when the thread ends that started them


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, b"\ninterrupted before the first trial: nothing is lost, start it again\n")
    _end_children()
    os._exit(128 + number)


def _end_children() -> None:
    for process in psutil.Process().children(recursive=True):  # Ray's agents outlive a raylet that dies of our death
        with suppress(psutil.NoSuchProcess):
            process.kill()
