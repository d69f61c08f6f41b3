"""Reads the small text files that a user writes: their encodings, and YAML without what hides a mistake."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import yaml

from trainables.errors import InputError

# bytes of a file, and values that it may hold once its aliases are followed
LARGEST = 1_000_000


def read_text(path: Path, remedy: str) -> str:
    """Return the text of a file in UTF-8 or UTF-16. Raises `InputError`; remedy: ends its line."""
    try:
        if stat.S_ISFIFO(path.stat().st_mode) and not path.is_relative_to("/dev"):
            # to open it would wait for a writer
            raise InputError(f"{path} is a pipe and no file: {remedy}")
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        why = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path} cannot be read ({why}): {remedy}") from None
    if len(raw) > LARGEST:
        raise InputError(f"{path} is larger than 1 MB: {remedy}")
    utf16 = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        return raw.decode("utf-16" if utf16 else "utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8") from None


def read_yaml(path: Path, remedy: str, *, texts: bool = False) -> Any:
    """Return the content of a YAML file, {} of an empty one. texts: every value as text. Raises `InputError`."""
    try:
        return yaml.load(read_text(path, remedy), TextLoader if texts else ValueLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None


class _Strict:
    """Refuses keys that stand twice and aliases without end."""

    def get_single_data(self: Any) -> Any:
        """Return the document of a file; an empty file has no values."""
        node = self.get_single_node()
        if node is None:
            return {}
        _count(node, {}, ())
        return self.construct_document(node)


class TextLoader(_Strict, yaml.BaseLoader):
    """YAML whose scalars are all text."""


class ValueLoader(_Strict, yaml.SafeLoader):
    """YAML whose scalars are numbers, flags and texts."""


def _count(node: yaml.Node, known: dict[int, int], above: tuple[int, ...]) -> int:
    """Return how many values a node holds once aliases are followed. Raises `YAMLError` for what a table cannot be."""
    if id(node) in above:
        raise yaml.YAMLError("an alias stands within itself")
    if id(node) not in known:
        children: list[yaml.Node] = list(node.value) if isinstance(node, yaml.SequenceNode) else []
        if isinstance(node, yaml.MappingNode):
            _check_keys(node)
            children = [value for _, value in node.value]
        known[id(node)] = 1 + sum(_count(child, known, (*above, id(node))) for child in children)
    if known[id(node)] > LARGEST:
        raise yaml.YAMLError("its aliases make more than a million values of it")
    return known[id(node)]


def _check_keys(node: yaml.MappingNode) -> None:
    names = [key.value if isinstance(key, yaml.ScalarNode) else None for key, _ in node.value]
    line = node.start_mark.line + 1
    for name in names:
        if name is None:
            raise yaml.YAMLError(f"a name in the table of line {line} is no text")
        if names.count(name) > 1:
            raise yaml.YAMLError(f"{name!r} stands twice in the table of line {line}")
