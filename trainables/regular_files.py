"""Reads files that have an end: to open a pipe waits for a writer, and a device may go on for ever."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path


def check_regular(path: Path | str) -> None:
    """Raise `OSError` for a pipe, a device or a socket; a folder is refused by whoever opens it."""
    _refuse_endless(os.stat(path).st_mode, path)


def open_regular(path: Path) -> BufferedReader:
    """Open a file for reading. Raises `OSError`, also for a pipe, a device or a socket."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _refuse_endless(os.fstat(descriptor).st_mode, path)
        return os.fdopen(descriptor, "rb")
    except OSError:
        os.close(descriptor)
        raise


def read_regular(path: Path) -> bytes:
    """Return the content of a file. Raises `OSError`, also for a pipe, a device or a socket."""
    with open_regular(path) as file:
        return file.read()


def _refuse_endless(mode: int, path: Path | str) -> None:
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "is no regular file", str(path))
