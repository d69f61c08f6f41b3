"""Exit codes of all commands, in one table."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The end of a command. A signal that ended it is 128 and its number: 129 (SIGHUP), 130 (SIGINT), 143 (SIGTERM)."""

    DONE = 0
    # Some of the work failed: trials, measurements, an upload.
    FAILURES = 1
    # Nothing was begun: one line on stderr says what to change.
    BAD_INPUT = 2
    # The work ended before it was done, and `--resume` goes on with it; EX_TEMPFAIL of sysexits.h.
    UNFINISHED = 75


def of_signal(number: int) -> int:
    """Return the exit code of a command that a signal has ended, as shells give it."""
    return 128 + number
