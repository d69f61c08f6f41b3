"""The trackers by the names that users give them: `mlflow[=URI]`, `wandb[=PROJECT]`, or FILE.py:CLASS of one's own.

A new tracker is a file of its own and a line here.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sweeps.trackers.tracker import Tracker
from trainables.errors import InputError, pip_install, unknown_name
from trainables.user_code.in_use import object_of
from trainables.user_code.signature import parameters_of
from trainables.user_code.source import is_user_code

# Files that may go to a tracker: report.html with its figures; figures and figures' numbers of trials; best weights.
KINDS = ("report", "figures", "weights")


@dataclass(frozen=True)
class Entry:
    """A tracker. module: has `make(target, results)` and `check(target)`. package: what it needs; extra: its name."""

    module: str
    text: str
    package: str = ""
    extra: str = ""


TRACKERS: dict[str, Entry] = {
    "mlflow": Entry(
        "sweeps.trackers.mlflow", "a server or database of MLflow, by default an SQLite file in the results folder",
        "mlflow", "mlflow",
    ),
    "wandb": Entry(
        "sweeps.trackers.wandb", "a project of Weights & Biases; without an account, or with wandb=offline, files",
        "wandb", "wandb",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Spec:
    """A tracker as the command line names it: `mlflow=http://localhost:5000` is the target of `mlflow`."""

    name: str
    target: str

    @property
    def text(self) -> str:
        """Return it as it was written."""
        return f"{self.name}={self.target}" if self.target else self.name

    @property
    def file_name(self) -> str:
        """Return a name for its files, unlike that of every other target."""
        readable = re.sub(r"\W+", "-", self.name).strip("-")
        return f"{readable}-{hashlib.sha256(self.text.encode()).hexdigest()[:8]}"


def read_spec(text: str) -> Spec:
    """Return the spec of `NAME[=TARGET]`. Raises `InputError` for an unknown name; nothing is imported."""
    name, equals, target = text.partition("=")
    if name not in TRACKERS and not is_user_code(name):
        raise InputError(f"{unknown_name('tracker', name, TRACKERS)}; or write FILE.py:CLASS")
    if equals and not target:
        raise InputError(f"{text}: write {name}, or {name}= and what follows")
    return Spec(name, target)


def check_trackers(texts: tuple[str, ...]) -> None:
    """Raise `InputError` where one of them cannot be made: a missing package, a wrong target, a class that is none.

    A server that does not answer is no mistake: it is caught up with.
    """
    for text in texts:
        spec = read_spec(text)
        if spec.name not in TRACKERS:
            _check_own(spec)
            continue
        entry = TRACKERS[spec.name]
        if entry.package and find_spec(entry.package) is None:
            raise InputError(f"--track {spec.name} needs {entry.package}: {pip_install(entry.extra)}")
        import_module(entry.module).check(spec.target)


def make_tracker(spec: Spec, results: Path) -> Any:
    """Return a tracker. results: the folder of all results. Raises `InputError`, and what a library raises."""
    if spec.name in TRACKERS:
        return import_module(TRACKERS[spec.name].module).make(spec.target, results)
    made = object_of(spec.name)
    return made(target=spec.target) if spec.target else made()


def _check_own(spec: Spec) -> None:
    """Raise `InputError` where a class of a user's own takes in nothing, or cannot be made without arguments."""
    made = object_of(spec.name)
    known = [name for name in vars(Tracker) if not name.startswith("_")]
    if not isinstance(made, type) or not any(callable(getattr(made, name, None)) for name in known):
        raise InputError(f"--track {spec.name} is no tracker: write a class with one of {', '.join(known)}")
    parameters = parameters_of(made)
    plain = [one for one in parameters.values() if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    needed = [one.name for one in plain if one.default is one.empty]
    if [name for name in needed if name != "target"]:
        raise InputError(f"--track {spec.name}: its __init__ may ask for target alone, not for {', '.join(needed)}")
    if needed and not spec.target:
        raise InputError(f"--track {spec.name}: it needs a target: write {spec.name}=TARGET")
    if spec.target and "target" not in parameters:
        raise InputError(f"--track {spec.text}: {spec.name} takes no target: leave ={spec.target} out")


def read_files(text: str) -> tuple[str, ...]:
    """Read `report,figures,weights` or `none`. Raises `InputError`."""
    kinds = () if text == "none" else tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for kind in kinds:
        if kind not in KINDS:
            raise InputError(f"{unknown_name('kind of file', kind, KINDS)}; none for none at all")
    return kinds
