"""Output that may fail without ending the command: its reader has gone, its terminal is closed, its disk is full."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO


class SteadyStream:
    """A stream whose writes go nowhere once one has failed: its reader has gone, its terminal or its disk's room."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or do nothing once a write has failed."""
        with self._failing():
            if self._stream is not None:
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or do nothing once a write has failed."""
        with self._failing():
            if self._stream is not None:
                self._stream.flush()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        # ValueError: it was closed.
        except (OSError, ValueError):
            self._stream = None

    def isatty(self) -> bool:
        """Tell whether the stream is a terminal that still works."""
        return self._stream is not None and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream or sys.__stdout__, name)


def go_on_without_output() -> None:
    """Let output fail from here on without ending the command: its work is worth more than its words."""
    sys.stdout, sys.stderr = (SteadyStream(stream) for stream in (sys.stdout, sys.stderr))
