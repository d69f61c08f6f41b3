"""The files that an earlier command has made of a trial: what its report says of them is kept while they are there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from deployment.model.metadata import ModelMetadata
from trainables.atomic_files import read_regular

Entry = dict[str, Any]
# what tells two networks of a trial apart
IDENTITY = ("seed", "epoch", "input")


def identity_of(metadata: ModelMetadata) -> Entry:
    """Return the fields that tell a network from another one of its trial."""
    return {name: getattr(metadata, name) for name in IDENTITY}


def earlier_files(report: Path, places: Mapping[str, Path]) -> dict[str, Entry]:
    """Return what a report says of files that are still there, by name. places: of each name.

    A report that cannot be read says nothing.
    """
    files: Any = {}
    with suppress(OSError, ValueError, RecursionError, TypeError, KeyError):
        files = json.loads(read_regular(report))["files"]
    if isinstance(files, list):
        files = {entry.get("name"): entry for entry in files if isinstance(entry, dict)}
    if not isinstance(files, dict):
        return {}
    return {name: files[name] for name, path in places.items() if isinstance(files.get(name), dict) and path.is_file()}


def replacing(entry: Entry | None, metadata: ModelMetadata, path: Path) -> str:
    """Return a note where a file of another seed, epoch or input stands in a file's place, "" where none does."""
    if entry is None or all(entry.get(name, value) == value for name, value in identity_of(metadata).items()):
        return ""
    before = ", ".join(f"{name} {entry[name]}" for name in IDENTITY if name in entry)
    return f"{path.name} of {before} is replaced"


@contextmanager
def made_beside(path: Path) -> Iterator[Path]:
    """Give a path beside a file's own; what is still there at the end is removed."""
    beside = path.with_name(f".{path.name}")
    try:
        yield beside
    finally:
        beside.unlink(missing_ok=True)
