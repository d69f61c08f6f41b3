"""Keeps how far a tracker is with a run: `RUN/trackers/<name>.json`, one process at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from analysis.runs.run_folder import RunFolder
from sweeps.record.state import TAIL
from sweeps.trackers.table import Spec
from trainables.atomic_files import open_regular, read_regular, write_atomically
from trainables.errors import InputError


@dataclass
class Position:
    """The place of a tracker. offset: bytes of the ledger that it has; before: digest of the last of them.

    files: size and time of change of each file that was sent. hardware: rows of `hardware.parquet` that it has.
    ended: status of the run at the last `end`, "" before the first.
    """

    offset: int = 0
    before: str = ""
    hardware: int = 0
    files: dict[str, list[int]] = field(default_factory=dict)
    ended: str = ""


class PositionFile:
    """`RUN/trackers/<name>.json`, and the lock on it: one process at a time feeds one tracker."""

    def __init__(self, run: RunFolder, spec: Spec) -> None:
        self.run, self.spec = run, spec
        self.path = run.trackers / f"{spec.file_name}.json"

    @contextmanager
    def held(self) -> Iterator[Position]:
        """Yield the position. Raises `InputError` where another process feeds this tracker with this run."""
        lock = FileLock(self.path.with_suffix(".lock"), timeout=0)
        try:
            self.run.trackers.mkdir(exist_ok=True)
            lock.acquire()
        except Timeout:
            raise InputError(
                f"{self.spec.text}: another process sends {self.run.run_id} there: let it end, or stop its run"
            ) from None
        except OSError as error:
            raise InputError(f"{self.run.trackers} cannot be written ({error.strerror}): copy the run first") from None
        try:
            yield self._read()
        finally:
            lock.release()

    def _read(self) -> Position:
        """Read the position; one of another ledger is none, and all is sent again."""
        with suppress(OSError, ValueError, TypeError):
            found = Position(**json.loads(read_regular(self.path)))
            if found.before == _tail(self.run.ledger, found.offset):
                return found
        return Position()

    def save(self, position: Position) -> None:
        """Write the position."""
        position.before = _tail(self.run.ledger, position.offset)
        write_atomically(self.path, json.dumps(asdict(position)).encode())


def _tail(ledger: Path, offset: int) -> str:
    """Return the digest of the bytes before an offset."""
    with open_regular(ledger) as file:
        file.seek(max(0, offset - TAIL))
        return hashlib.sha256(file.read(min(TAIL, offset))).hexdigest()[:16]
