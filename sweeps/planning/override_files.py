"""Override files: options in YAML or TOML, as editors and other programs write them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from analysis.terminal.text_files import read_text, read_yaml
from sweeps.planning.options import Options
from sweeps.planning.overrides import quote
from trainables.errors import InputError, shorten, unknown_name, validated

REMEDY = "name a YAML or TOML file of overrides"
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
    if path.suffix == ".toml":
        try:
            content = tomllib.loads(read_text(path, REMEDY))
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise InputError(f"{path} is not valid TOML: {' '.join(str(error).split())}") from None
    else:
        content = read_yaml(path, REMEDY, texts=True)
    if content in (*NOTHING, {}):
        raise InputError(f"{path} holds no option: leave --overrides out, or set some of set, fix, epochs and seeds")
    if not isinstance(content, dict):
        raise InputError(f"{path} must be a table of options, such as set, fix, epochs and seeds")
    return {name.replace("-", "_"): value for name, value in content.items()}
