"""Override files: options in YAML or TOML, as editors and other programs write them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import yaml

from sweeps.planning.options import Options
from sweeps.planning.overrides import quote
from trainables.errors import InputError, shorten, unknown_name, validated

# bytes of a file, and values that it may hold once its aliases are followed
LARGEST = 1_000_000
TABLES = ("set", "tune", "fix")
# as YAML writes None
NOTHING = ("", "~", "null")


def read_options(path: Path) -> Options:
    """Options from a YAML or TOML file; set, tune and fix are tables there: `set: {lr: [1e-3, 1e-2]}`.

    Each value is read as the command line would read it. Raises `InputError`.
    """
    content = _parsed(path)
    for name in content:
        if name not in Options.model_fields:
            raise InputError(f"{path}: " + unknown_name("option", name, sorted(Options.model_fields)))
    given: dict[str, Any] = {}
    for name, value in content.items():
        if name in TABLES:
            if not isinstance(value, dict):
                raise InputError(f"{path}: {name} must be a table of fields and values")
            given[name] = tuple(f"{field}={_values(path, field, item)}" for field, item in value.items())
        elif isinstance(value, dict) or (isinstance(value, list) and name not in ("stratify", "metric")):
            raise InputError(f"{path}: {name}={shorten(value)}: write one value; several of a field go into set")
        elif str(value) not in NOTHING:
            given[name] = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return validated(Options, given, f"{path}: {{}}=")


def _values(path: Path, field: str, value: Any) -> str:
    """Return `0.001,0.01`, as on the command line: a list's values with commas, a list within it with dashes."""
    values = value if isinstance(value, list) else [value]
    for item in values:
        if isinstance(item, dict) or (isinstance(item, list) and any(isinstance(part, list | dict) for part in item)):
            raise InputError(f"{path}: {field}: write a value or a list of values, not {shorten(item)}")
    texts = ("-".join(map(str, item)) if isinstance(item, list) else str(item) for item in values)
    return ",".join("none" if text in NOTHING else quote(text) for text in texts)


def _parsed(path: Path) -> dict[str, Any]:
    kind = "TOML" if path.suffix == ".toml" else "YAML"
    text = _decoded(path)
    try:
        content = tomllib.loads(text) if kind == "TOML" else yaml.load(text, _Loader)
    except (tomllib.TOMLDecodeError, yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{path} is not valid {kind}: {' '.join(str(error).split())}") from None
    if content in NOTHING:
        return {}
    if not isinstance(content, dict):
        raise InputError(f"{path} must be a table of options, such as set, fix, epochs and seeds")
    return {name.replace("-", "_"): value for name, value in content.items()}


def _decoded(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path} cannot be read ({why}): name a YAML or TOML file of overrides") from None
    if len(raw) > LARGEST:
        raise InputError(f"{path} is larger than 1 MB: name a YAML or TOML file of overrides")
    utf16 = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        return raw.decode("utf-16" if utf16 else "utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8") from None


class _Loader(yaml.BaseLoader):
    """YAML whose scalars are all text, without what hides a mistake: keys that stand twice, aliases without end."""

    def get_single_data(self) -> Any:
        """Return the document of a file; an empty file has no values."""
        node = self.get_single_node()
        if node is None:
            return {}
        _count(node, {}, ())
        return self.construct_document(node)


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
