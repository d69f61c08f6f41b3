"""The options of `folder:PATH[?group=REGEX][&unreadable=skip]`: the images' folder and how to read it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from trainables.errors import InputError, unknown_name

FOLDER = "folder:"


@dataclass(frozen=True)
class FolderOptions:
    """A folder of images and how to read it. group: finds the patient in a file's name."""

    path: Path
    group: re.Pattern[str] | None = None
    skip_unreadable: bool = False


def folder_options(name: str) -> FolderOptions:
    """Read `folder:PATH?group=REGEX&unreadable=skip`. Raises `InputError` that names what is wrong with it."""
    path, query = split_name(name)
    if not path:
        raise InputError(f"{name!r} names no folder: write folder:PATH")
    if any("\ud800" <= letter <= "\udfff" or letter == "\0" for letter in path):
        raise InputError(f"{name!r} names a folder whose path is not UTF-8: rename it")
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


def split_name(name: str) -> tuple[str, str]:
    """Split `folder:PATH?NAME=...` into path and options. A `?` that no `NAME=` follows belongs to the path."""
    text = name.removeprefix(FOLDER)
    options = re.search(r"\?(?=\w+=)", text)
    return (text[: options.start()], text[options.end() :]) if options else (text, "")


def _compiled(expression: str) -> re.Pattern[str]:
    try:
        return re.compile(expression)
    except re.error as error:
        raise InputError(f"group={expression!r} is no regular expression ({error})") from None
