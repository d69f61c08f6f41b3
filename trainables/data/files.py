"""Finding a dataset's files under the data root, downloading what is missing, and checking what is there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from trainables.errors import InputError


def find_file(candidates: list[Path]) -> Path | None:
    """The first path that is a file."""
    return next((path for path in candidates if path.is_file()), None)


def check_md5(path: Path, expected: str) -> None:
    """Raise `InputError` where a file's MD5 is not the published one."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if found != expected:
        raise InputError(
            f"{path} is damaged or not the published file (MD5 {found}, expected {expected}): "
            "delete it and run again to download it"
        )


def download(name: str, folder: Path, fetch: Callable[[Path], None]) -> None:
    """Make the folder and fetch into it; every failure becomes one line with the remedy."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fetch(folder)
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{name} is not in {folder} and could not be downloaded ({reason}): put the file there, "
            "name its folder with --data-root, or try --dataset digits, which needs no download"
        ) from None
