"""Digests of our code, so that a result says which code made it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent
# These files train a trial; the files that they import, directly or not, are the training code.
ENTRIES = ("image_classifier.py", "worker/train_trial.py")
# `from trainables.x import y`, and the tables that are named by text: "trainables.x:NAME"
IMPORT = re.compile(r"^\s*(?:from|import) (trainables[\w.]*)(?: import ([\w, ]+))?|\"(trainables[\w.]+):\w+\"", re.M)


def code_digest() -> str:
    """Return 16 hexadecimal digits of SHA-256 over the names and contents of every Python file in `trainables/`."""
    return _digest_of(tuple(_contents()))


@cache
def training_digest(model: str) -> str:
    """Return the digest of the files that training this model imports, so that no other model's file changes it."""
    from trainables.models import MODELS

    own = [Path(str(MODELS[model].__file__)).relative_to(ROOT).as_posix()] if model in MODELS else []
    return _digest_of(tuple(sorted(imported_from((*ENTRIES, *own)))))


def file_digests() -> dict[str, str]:
    """Return the first 16 hexadecimal digits of each file's SHA-256, by its path in `trainables/`."""
    return {name: hashlib.sha256(content).hexdigest()[:16] for name, content in _contents().items()}


def changed_files(before: Mapping[str, str]) -> list[str]:
    """Return the files that changed, came or went since `before`, an earlier `file_digests`."""
    now = file_digests()
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))


def imported_from(files: Iterable[str]) -> set[str]:
    """Return the files in `trainables/` that these import, directly or not, with their packages."""
    files_seen: set[str] = set()
    waiting = list(files)
    while waiting:
        name = waiting.pop()
        if name not in files_seen:
            files_seen.add(name)
            waiting += _imports(name)
    return files_seen


@cache
def _imports(name: str) -> tuple[str, ...]:
    text = _contents()[name].decode()
    modules = set(_modules_in(text))
    modules |= {".".join(("trainables", *Path(name).parts[:depth])) for depth in range(len(Path(name).parts))}
    return tuple(path for module in sorted(modules) if (path := _path_of(module)))


def _modules_in(text: str) -> Iterator[str]:
    for module, names, table in IMPORT.findall(text):
        yield module or table
        yield from (f"{module}.{name.split(' as ')[0].strip()}" for name in names.split(",") if module)


def _path_of(module: str) -> str | None:
    """Return the file of a module; None where there is none, since what is imported may be a function."""
    below = "/".join(module.split(".")[1:])
    return next((path for path in (f"{below}.py", f"{below}/__init__.py".lstrip("/")) if path in _contents()), None)


@cache
def _contents() -> dict[str, bytes]:
    return {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in sorted(ROOT.rglob("*.py"))}


@cache
def _digest_of(names: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for name in names:
        digest.update(name.encode() + b"\0" + _contents()[name] + b"\0")
    return digest.hexdigest()[:16]
