"""An append-only log of predictions: each line holds the hash of the line before, so that a change shows.

Whoever can write the file can also write a whole new chain, or cut its end: keep the last hash elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from filelock import FileLock

from trainables.atomic_files import append_whole, lock_file, open_regular
from trainables.errors import InputError

START = "0" * 64


def append(path: Path, entries: Iterable[Mapping[str, Any]]) -> str:
    """Add lines to a log, once its chain was checked; return the last hash. Raises `InputError` for a broken chain.

    One process at a time; the lines are on the disk when it returns.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock_file(path)):
            last = check(path) if path.exists() else START
            lines = []
            for entry in entries:
                line = {"previous": last, **entry}
                last = digest_of(line)
                lines.append(json.dumps({**line, "hash": last}))
            append_whole(path, "".join(f"{line}\n" for line in lines).encode())
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): free space, or mend its rights") from None
    return last


def check(path: Path) -> str:
    """Check a log's chain; return its last hash. Raises `InputError` that names the first line that was changed."""
    last = START
    try:
        with TextIOWrapper(open_regular(path), encoding="utf-8") as file:
            for number, text in enumerate(file, 1):
                line = json.loads(text)
                said = line.pop("hash")
                if line["previous"] != last or digest_of(line) != said or not text.endswith("\n"):
                    raise ValueError(f"line {number}")
                last = said
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(
            f"{path} was changed at line {number}, or is no audit log: keep it, and begin another"
        ) from None
    return last


def digest_of(line: Mapping[str, Any]) -> str:
    """Return the SHA-256 of an entry with the hash of the line before it, in one form of JSON."""
    text = json.dumps(line, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
