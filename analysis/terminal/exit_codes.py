"""Exit codes of all commands, in one table."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended. A signal that ended it is 128 and its number: 129 (SIGHUP), 130 (SIGINT), 143 (SIGTERM)."""

    DONE = 0
    # some of the work failed: trials, measurements, an upload
    FAILURES = 1
    # nothing was begun: one line on stderr says what to change
    BAD_INPUT = 2
    # the work ended before it was done, and `--resume` goes on with it; EX_TEMPFAIL of sysexits.h
    UNFINISHED = 75


def of_signal(number: int) -> int:
    """The exit code of a command that a signal has ended, as shells give it."""
    return 128 + number
