"""The user's code that this process uses, as it was when it was first asked for.

A spec is looked up here first. So a file that is edited while a sweep is planned is still one text for all trials, and
a worker, which has no such file, uses the texts that the driver sent it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from trainables.atomic_files import write_atomically
from trainables.errors import InputError
from trainables.user_code.source import Source, load_object, read_source

_IN_USE: dict[str, Source] = {}


def source_of(spec: str) -> Source:
    """Return the texts behind a spec, read from its file at the first call. Raises `InputError` as `read_source`."""
    if spec not in _IN_USE:
        _IN_USE[spec] = read_source(spec)
    return _IN_USE[spec]


def object_of(spec: str) -> Any:
    """Return the class or function that a spec names. Raises `InputError` as `read_source` and `load_object`."""
    return load_object(spec, source_of(spec))


def sources_in_use() -> dict[str, Source]:
    """Return all that was asked for so far, by its spec: what workers need, and what a run keeps."""
    return dict(_IN_USE)


def use_sources(sources: Mapping[str, Source]) -> None:
    """Take these texts for their specs from now on, whatever the files say."""
    _IN_USE.update(sources)


def forget_sources() -> None:
    """Read every file again when it is next asked for: a run begins, and files may have been edited since the last."""
    _IN_USE.clear()


def save_sources(folder: Path, sources: Mapping[str, Source]) -> None:
    """Write the texts below `folder`, one folder for each source, named by its digest."""
    for source in sources.values():
        for path, text in source.files.items():
            file = folder / source.digest / PurePosixPath(path)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, text.encode())


def read_saved(folder: Path, main: str, digest: str) -> Source:
    """Read what `save_sources` wrote. Raises `InputError` where it is not there, or no longer what it was."""
    root = folder / digest
    files = {path.relative_to(root).as_posix(): path.read_text("utf-8") for path in sorted(root.rglob("*.py"))}
    source = Source(main, files)
    if not files or source.digest != digest:
        raise InputError(f"{root} does not hold the code it held when the run began: it cannot be used")
    return source
