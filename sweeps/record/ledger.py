"""The ledger: a run's truth, one JSON object a line, appended and flushed to disk by the driver alone."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from trainables.atomic_files import end_of_last_line, open_regular
from trainables.errors import InputError
from trainables.json_values import as_json_value

Event = dict[str, Any]
# bytes; an epoch of 100 replicates with the gradients of 1,000 layers has a third of that
MAX_LINE = 16 * 2**20
# lines at the beginning without an event, after which the file is taken for another one
MAX_GARBAGE = 10_000


class Ledger:
    """A ledger open for appending. A line reaches the operating system whole or not at all, and the disk at `sync`.

    Where a line can neither be written nor be taken back, nothing more is appended: no line may follow a torn one.
    """

    def __init__(self, path: Path, *, new: bool = False) -> None:
        """new: raises `FileExistsError` where another command has begun the run in the meantime."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_EXCL if new else 0)
        cut_damaged_end(path)
        self._file = os.open(path, flags, 0o644)
        self._length = os.fstat(self._file).st_size
        self._dirty = False
        self.failure = ""

    def append(self, event: str, **fields: Any) -> Event:
        """Write one event and return it as it will be read back. Raises `InputError` where it cannot be written."""
        line: Event = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **fields}
        text = json.dumps(as_json_value(line), separators=(",", ":"), allow_nan=False)
        self._refuse_after_a_failure()
        try:
            self._write(text.encode() + b"\n")
        except OSError as error:
            raise InputError(f"{self.path} cannot be written ({error.strerror}): free space, then --resume") from None
        self._dirty = True
        back: Event = from_json(text)
        return back

    def _write(self, data: bytes) -> None:
        """Write all of the data, or cut the file back to what it was: write(2) may take a part and say nothing."""
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError as error:
            try:
                os.ftruncate(self._file, self._length)
            except OSError:
                self.failure = f"{self.path} cannot be written ({error.strerror}): free space, then --resume"
            raise
        self._length += len(data)

    def sync(self) -> None:
        """Wait until everything written is on the disk. Raises `InputError`, also where the file was removed."""
        self._refuse_after_a_failure()
        if not self._is_there():
            self._fail(f"{self.path.parent} was removed while its run went on: what was trained since is lost")
        if self._dirty:
            try:
                os.fsync(self._file)
            except OSError as error:
                self._fail(f"{self.path} cannot be written ({error.strerror}): check the disk, then --resume")
            self._dirty = False

    def close(self) -> None:
        """Close the file, synced where nothing has failed before."""
        try:
            if not self.failure:
                self.sync()
        finally:
            os.close(self._file)

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._file))
        except FileNotFoundError:
            return False

    def _fail(self, reason: str) -> None:
        self.failure = reason
        raise InputError(reason) from None

    def _refuse_after_a_failure(self) -> None:
        if self.failure:
            raise InputError(self.failure)


def read_ledger(path: Path) -> Iterator[Event]:
    """Yield the events of a ledger. A last line without an end (a crash in the middle of a write) is left out.

    A damaged line costs its own event and not the run: it is left out and said on stderr. Raises `InputError` for a
    file that cannot be read or holds no event at all. Memory is bounded by `MAX_LINE`.
    """
    damaged: list[int] = []
    good = 0
    for number, (event, _) in enumerate(read_lines(path), start=1):
        if event is not None:
            good += 1
            yield event
        elif good or len(damaged) < MAX_GARBAGE:
            damaged.append(number)
        else:
            break
    if damaged and not good:
        raise InputError(f"{path} is no ledger: line 1 holds no event; name another run, or restore the file")
    if damaged:
        count = f"{len(damaged)} damaged lines are" if len(damaged) > 1 else "a damaged line is"
        say_once(f"{path}: {count} left out (line {damaged[0]}{', ...' if len(damaged) > 1 else ''})")


def read_lines(path: Path, offset: int = 0) -> Iterator[tuple[Event | None, int]]:
    """Yield the event of each whole line from an offset in bytes on, None for a damaged line, and where the line ends.

    Raises `InputError` for a file that cannot be read.
    """
    try:
        for line, end in _lines(path, offset):
            yield event_in(line), end
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from None


def _lines(path: Path, offset: int) -> Iterator[tuple[bytes, int]]:
    """Yield the lines that have an end, an empty one in place of each that is too long, and where each ends."""
    with open_regular(path) as file:
        file.seek(offset)
        whole = True
        while line := file.readline(MAX_LINE):
            offset += len(line)
            ends = line.endswith(b"\n")
            if ends:
                yield line if whole else b"", offset
            whole = ends


def event_in(line: bytes) -> Event | None:
    """Return the event that a line holds, None for a damaged line."""
    try:
        # three times as quick as json.loads, and the events share their keys
        event = from_json(line, allow_inf_nan=False)
        if not isinstance(event, dict) or not isinstance(event.get("event"), str):
            return None
        time_of(event)
    except (ValueError, TypeError):
        return None
    return event


def time_of(event: Event) -> datetime | None:
    """Return the time at which an event was written (UTC, unless it says otherwise), None where it has none."""
    text = event.get("time")
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_said: set[str] = set()


def say_once(text: str) -> None:
    """Print a note on stderr, once in a process."""
    if text not in _said:
        _said.add(text)
        print(f"note: {text}", file=sys.stderr)


def cut_damaged_end(path: Path) -> int:
    """Cut off what follows the last line end; return the bytes cut. Only for a ledger that nobody writes."""
    if not path.exists():
        return 0
    if not path.is_file():
        raise InputError(f"{path} cannot be read (is no regular file)")
    good, size = end_of_last_line(path), path.stat().st_size
    if good < size:
        os.truncate(path, good)
    return size - good
