"""Paths as a user writes them. Loads without torch."""

from __future__ import annotations

import os
from pathlib import Path

from trainables.errors import InputError, shorten

# Bytes of a file's name, and of a whole path, that Linux and macOS allow.
LONGEST_NAME, LONGEST_PATH = 255, 4095


def user_path(text: Path | str, folder: Path | None = None) -> Path:
    """Return the absolute path that a user means: `~` is the home folder.

    folder: what a relative path is relative to; None: the working directory. Raises `InputError` for what no file can
    be called, and for the home of a user who is not there.
    """
    try:
        path = (folder or Path.cwd()) / Path(text).expanduser()
    except RuntimeError:
        raise InputError(f"{shorten(str(text))}: there is no such home folder: write the whole path") from None
    try:
        sizes = [len(os.fsencode(part)) for part in path.parts]
    except ValueError:
        sizes = [LONGEST_NAME + 1]
    if "\0" in str(text) or max(sizes) > LONGEST_NAME or sum(sizes) + len(sizes) > LONGEST_PATH:
        raise InputError(f"{shorten(str(text))}: no file can have this name (too long, or not text): choose another")
    return path
