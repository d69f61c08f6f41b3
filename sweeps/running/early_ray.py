"""Ray starts while the sweep is planned: each takes seconds, and neither needs the other."""

from __future__ import annotations

import sys
import threading
from types import TracebackType

from sweeps.running.interrupt import end_process


class EarlyRay:
    """While it is entered, a Ray of our own starts in a thread; `wait` is for whoever needs it."""

    def __init__(self) -> None:
        self.started, self._over = threading.Event(), threading.Event()
        self._error: BaseException | None = None

    def __enter__(self) -> EarlyRay:
        import sweeps.running.ray_session  # noqa: F401  here, not in the thread: two threads that import can meet half a module

        threading.Thread(target=self._start, name="ray's start", daemon=True).start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """End the Ray of our own, once; what is printed afterwards is the last that the command does."""
        from sweeps.running.ray_session import shut_down

        self.started.wait()
        if not self._over.is_set():
            shut_down()
            self._over.set()

    def wait(self) -> None:
        """Wait until Ray runs. Raises `InputError` where it cannot be started."""
        self.started.wait()
        if self._error is not None:
            raise self._error

    def leave(self, code: int) -> None:
        """End the process with a Ray that is still starting, which nobody needs any more; else return."""
        if not self.started.is_set():
            sys.stdout.flush()
            sys.stderr.flush()
            end_process("", code)

    def _start(self) -> None:
        from sweeps.running.ray_session import start_ray

        try:
            start_ray()
        # raised by `wait`, where somebody sees it
        except BaseException as error:
            self._error = error
        self.started.set()
        # Linux kills Ray's processes when the thread ends that started them
        self._over.wait()
