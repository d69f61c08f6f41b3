"""Ray starts while the sweep is planned: each takes seconds, and neither needs the other."""

from __future__ import annotations

import threading
from types import TracebackType


class Ahead:
    """While it is entered, a Ray of our own starts in a thread; `wait` is for whoever needs it."""

    def __init__(self) -> None:
        self._started, self._over = threading.Event(), threading.Event()
        self._error: BaseException | None = None

    def __enter__(self) -> Ahead:
        import sweeps.ray_session  # noqa: F401  here, not in the thread: two threads that import can meet half a module

        threading.Thread(target=self._start, name="ray's start", daemon=True).start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        from sweeps.ray_session import ray

        self._started.wait()
        ray.shutdown()
        self._over.set()

    def wait(self) -> None:
        """Returns once Ray runs. Raises `InputError` where it cannot be started."""
        self._started.wait()
        if self._error is not None:
            raise self._error

    def _start(self) -> None:
        from sweeps.ray_session import start_ray

        try:
            start_ray()
        except BaseException as error:  # raised by `wait`, where somebody sees it
            self._error = error
        self._started.set()
        self._over.wait()  # Linux kills Ray's processes when the thread ends that started them
