"""Writing and reading small files in a folder or a bucket, to see whether all nodes share it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PREFIX = ".doctor-"


def _open(storage: str) -> tuple[Any, str]:
    """Return (pyarrow file system, folder) of a path or a URI."""
    from pyarrow.fs import FileSystem, LocalFileSystem

    if "://" in storage:
        files, folder = FileSystem.from_uri(storage)
        return files, folder
    return LocalFileSystem(), str(Path(storage).absolute())


def write(storage: str, name: str, content: bytes) -> str:
    """Write a file; return what went wrong, "" if nothing."""
    try:
        files, folder = _open(storage)
        files.create_dir(folder, recursive=True)
        with files.open_output_stream(f"{folder}/{PREFIX}{name}") as stream:
            stream.write(content)
    except (OSError, ValueError) as error:
        return str(error).splitlines()[0]
    return ""


def read(storage: str, names: list[str]) -> dict[str, bytes | None]:
    """Return the content of each file; None where it cannot be read."""
    found: dict[str, bytes | None] = {}
    for name in names:
        try:
            files, folder = _open(storage)
            with files.open_input_stream(f"{folder}/{PREFIX}{name}") as stream:
                found[name] = stream.read()
        except (OSError, ValueError):
            found[name] = None
    return found


def remove(storage: str, names: list[str]) -> None:
    """Delete the files that are there."""
    from pyarrow.fs import FileType

    files, folder = _open(storage)
    for name in names:
        path = f"{folder}/{PREFIX}{name}"
        if files.get_file_info(path).type == FileType.File:
            files.delete_file(path)
