"""The ledger: a run's truth, one JSON object a line, appended and flushed to disk by the driver alone."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from trainables.errors import InputError

Event = dict[str, Any]


class Ledger:
    """Appends events to a file. Every line reaches the operating system at once, and the disk at `sync`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        cut_damaged_end(path)
        self._file = path.open("ab", buffering=0)
        self._dirty = False

    def append(self, event: str, **fields: Any) -> Event:
        """Write one event and return it as it will be read back."""
        line: Event = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **fields}
        text = json.dumps(_without_nan(line), separators=(",", ":"), allow_nan=False)
        try:
            self._file.write(text.encode() + b"\n")
        except OSError as error:
            raise InputError(f"{self.path} cannot be written ({error}): free space, then --resume") from None
        self._dirty = True
        back: Event = from_json(text)
        return back

    def sync(self) -> None:
        """Wait until everything written is on the disk."""
        if self._dirty:
            os.fsync(self._file.fileno())
            self._dirty = False

    def close(self) -> None:
        self.sync()
        self._file.close()


def _without_nan(value: Any) -> Any:
    """JSON has no NaN and no infinity: both become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return [_without_nan(item) for item in value] if isinstance(value, list | tuple) else value


def read_ledger(path: Path) -> Iterator[Event]:
    """The events of a ledger. A damaged last line (a crash in the middle of a write) is left out."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error})") from None
    for number, line in enumerate(lines[:-1], start=1):
        try:
            # three times as quick as json.loads, and the events share their keys
            yield from_json(line)
        except ValueError:
            raise InputError(f"{path}, line {number} is damaged: restore the file from a backup") from None


def cut_damaged_end(path: Path) -> int:
    """Cut off what follows the last line end; returns the number of bytes cut."""
    if not path.exists():
        return 0
    content = path.read_bytes()
    good = content.rfind(b"\n") + 1
    if good < len(content):
        os.truncate(path, good)
    return len(content) - good
