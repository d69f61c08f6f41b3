"""What `folder:PATH[?group=REGEX][&unreadable=skip]` says: where images are and how they are read."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from trainables.errors import InputError, unknown_name

FOLDER = "folder:"


@dataclass(frozen=True)
class FolderOptions:
    """Where the images are and how they are read."""

    path: Path
    group: re.Pattern[str] | None = None  # its first group, or its match, in a file's name: the patient
    skip_unreadable: bool = False


def folder_options(name: str) -> FolderOptions:
    """Read `folder:PATH?group=REGEX&unreadable=skip`. Raises `InputError` that names what is wrong with it."""
    path, _, query = name.removeprefix(FOLDER).partition("?")
    if not path:
        raise InputError(f"{name!r} names no folder: write folder:PATH")
    options = FolderOptions(Path(path).expanduser().absolute())
    for part in re.split("&(?=group=|unreadable=)", query) if query else ():
        key, _, value = part.partition("=")
        if key == "group":
            options = replace(options, group=_compiled(value))
        elif key == "unreadable" and value in ("skip", "refuse"):
            options = replace(options, skip_unreadable=value == "skip")
        elif key == "unreadable":
            raise InputError(f"{name!r}: unreadable={value} is unknown: choose skip or refuse")
        else:
            raise InputError(f"{name!r}: {unknown_name('option', key, ('group', 'unreadable'))}")
    return options


def _compiled(expression: str) -> re.Pattern[str]:
    try:
        return re.compile(expression)
    except re.error as error:
        raise InputError(f"group={expression!r} is no regular expression ({error})") from None
