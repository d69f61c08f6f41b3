"""The names of data of one's own: `KIND:PATH[?NAME=VALUE&...]` (folder, npz, csv) and `FILE.py:NAME`.

A `?` or `&` that no `NAME=` follows belongs to what stands before it, so that a path may hold both.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from trainables.errors import InputError, unknown_name
from trainables.user_code.source import is_user_code
from trainables.user_code.user_paths import user_path

KINDS = ("folder", "npz", "csv")


@dataclass(frozen=True)
class Window:
    """The values that are shown: from black at center - width / 2 to white at center + width / 2."""

    center: float
    width: float


@dataclass(frozen=True)
class FolderOptions:
    """A folder of images and how to read it. group: finds the patient in a file's name."""

    path: Path
    group: re.Pattern[str] | None = None
    skip_unreadable: bool = False


@dataclass(frozen=True)
class ArrayOptions:
    """A file of arrays and how to read it. order: the classes from the least to the greatest, where they have one."""

    path: Path
    window: Window | None = None
    order: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableOptions:
    """A table of image files and how to read it.

    image, label, split, group, series: names of columns. label: several columns, or one. root: the folder that paths
    in the table start from and stay in. series: rows of the same value are the slices of one volume. frame: the slice
    or page of a volume that is taken as a flat image, from 1 on; "middle"; None: the whole volume.
    """

    path: Path
    root: Path
    image: str = "image"
    label: str = "label"
    split: str | None = None
    group: str | None = None
    series: str | None = None
    order: tuple[str, ...] = ()
    window: Window | None = None
    frame: int | str | None = None
    skip_unreadable: bool = False


def split_name(name: str) -> tuple[str, str, str]:
    """Split `KIND:PATH?NAME=...` into kind, path and options; the kind is empty where it is none of `KINDS`."""
    kind, colon, rest = name.partition(":")
    if not colon or kind not in KINDS:
        return "", name, ""
    options = re.search(r"\?(?=\w+=)", rest)
    return (kind, rest[: options.start()], rest[options.end() :]) if options else (kind, rest, "")


def is_code(name: str) -> bool:
    """Tell whether a name is `FILE.py:NAME` or `package.module:NAME`."""
    return not split_name(name)[0] and is_user_code(name)


def absolute(name: str) -> str:
    """Return a name whose path is absolute, as workers need it, whose working directory is another."""
    kind, path, options = split_name(name)
    if kind:
        return f"{kind}:{user_path(path)}{'?' * bool(options)}{options}"
    source, colon, function = name.rpartition(":")
    return f"{user_path(source)}:{function}" if colon and source.endswith(".py") else name


def without_path(name: str) -> str:
    """Return a name without the folders of its files: `folder:/a/b?unreadable=skip` is `folder:?unreadable=skip`."""
    kind, _, query = split_name(name)
    if kind:
        parts = query.split("&") if kind == "folder" else _parts(kind, query)
        return f"{kind}:?{'&'.join(part for part in parts if kind == 'folder' or not part.startswith('root='))}"
    source, colon, function = name.rpartition(":")
    return f"{Path(source).name}:{function}" if colon and source.endswith(".py") else name


def short_name(name: str) -> str:
    """Return a name without folders and options, to be shown: `csv:/a/train.csv?label=dx` is `csv:train.csv`."""
    kind, path, _ = split_name(name)
    if kind:
        return f"{kind}:{Path(path).name}"
    return without_path(name)


def folder_options(name: str) -> FolderOptions:
    """Read `folder:PATH?group=REGEX&unreadable=skip`. Raises `InputError` that names what is wrong with it."""
    path, values = _values(name, "folder", ("group", "unreadable"))
    group = values.get("group")
    return FolderOptions(path, None if group is None else _compiled(group), _skips(name, values))


def array_options(name: str) -> ArrayOptions:
    """Read `npz:FILE?window=CENTER/WIDTH&order=A<B<C`. Raises `InputError` that names what is wrong with it."""
    path, values = _values(name, "npz", ("window", "order"))
    return ArrayOptions(path, _window(name, values), _order(name, values))


def table_options(name: str) -> TableOptions:
    """Read `csv:FILE?image=COLUMN&label=COLUMN&...`. Raises `InputError` that names what is wrong with it."""
    allowed = [field.name for field in fields(TableOptions) if field.name not in ("path", "skip_unreadable")]
    path, values = _values(name, "csv", (*allowed, "unreadable"))
    columns = {key: values[key] for key in ("image", "label", "split", "group", "series") if key in values}
    return TableOptions(
        path,
        user_path(values.get("root", ""), path.parent),
        **columns,
        order=_order(name, values),
        window=_window(name, values),
        frame=_frame(name, values),
        skip_unreadable=_skips(name, values),
    )


def check_name(name: str) -> None:
    """Raise `InputError` where a name's options cannot be read."""
    kind = split_name(name)[0]
    readers: Mapping[str, Any] = {"folder": folder_options, "npz": array_options, "csv": table_options}
    if kind:
        readers[kind](name)


def _values(name: str, kind: str, allowed: tuple[str, ...]) -> tuple[Path, dict[str, str]]:
    """Return a name's path, made absolute, and its options as text."""
    _, path, query = split_name(name)
    if not path:
        what = "folder" if kind == "folder" else "file"
        raise InputError(f"{name!r} names no {what}: write {kind}:PATH")
    if any("\ud800" <= letter <= "\udfff" or letter == "\0" for letter in path):
        what = "folder" if kind == "folder" else "file"
        raise InputError(f"{name!r} names a {what} whose path is not UTF-8: rename it")
    values: dict[str, str] = {}
    for part in _parts(kind, query):
        key, _, value = part.partition("=")
        if key not in allowed:
            raise InputError(f"{name!r}: {unknown_name('option', key, allowed)}")
        if key in values:
            raise InputError(f"{name!r}: {key}= stands twice: leave one of them")
        if not value:
            raise InputError(f"{name!r}: {key}= is empty: give it a value, or leave it out")
        values[key] = value
    return user_path(path), values


def _parts(kind: str, query: str) -> list[str]:
    """Split options at each `&` that an option's name follows; a folder's regular expression may hold others."""
    if not query:
        return []
    return re.split(r"&(?=group=|unreadable=)" if kind == "folder" else r"&(?=\w+=)", query)


def _skips(name: str, values: Mapping[str, str]) -> bool:
    choice = values.get("unreadable", "refuse")
    if choice not in ("skip", "refuse"):
        raise InputError(f"{name!r}: unreadable={choice} is unknown: choose skip or refuse")
    return choice == "skip"


def _window(name: str, values: Mapping[str, str]) -> Window | None:
    if "window" not in values:
        return None
    try:
        center, width = (float(part) for part in values["window"].split("/"))
    except ValueError:
        center = width = math.nan
    if not (math.isfinite(center) and math.isfinite(width) and width > 0):
        raise InputError(f"{name!r}: window={values['window']}: write CENTER/WIDTH, such as window=40/400")
    return Window(center, width)


def _order(name: str, values: Mapping[str, str]) -> tuple[str, ...]:
    if "order" not in values:
        return ()
    text = values["order"]
    order = tuple(part.strip() for part in text.split("<" if "<" in text else ","))
    if len(order) < 2 or len(set(order)) < len(order) or not all(order):
        raise InputError(f"{name!r}: order={text}: name each class once, the least first, such as order=mild<severe")
    return order


def _frame(name: str, values: Mapping[str, str]) -> int | str | None:
    text = values.get("frame")
    if text in (None, "middle"):
        return text
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"{name!r}: frame={text}: write middle, or a number from 1 on")
    return int(text)


def _compiled(expression: str) -> re.Pattern[str]:
    try:
        return re.compile(expression)
    except re.error as error:
        raise InputError(f"group={expression!r} is no regular expression ({error})") from None
