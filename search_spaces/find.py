"""Finding a sweep by name or by path, and listing them."""

from __future__ import annotations

import random
import runpy
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import search_spaces
from search_spaces.definition import Sweep
from search_spaces.sweep_json import read_sweep
from trainables.errors import InputError, unknown_name

NOT_SWEEPS = {"definition", "named_options", "find", "sweep_json", "domains"}


def sweep_names() -> list[str]:
    """Return the names of all sweeps in `search_spaces/`; nothing is imported."""
    return sorted(m.name for m in iter_modules(search_spaces.__path__) if m.name not in NOT_SWEEPS and m.name[0] != "_")


def find_sweep(name: str) -> tuple[str, Sweep]:
    """Return (name, sweep) of a name in `search_spaces/`, a `.py` file with a `SWEEP`, or a run to be repeated."""
    if name.endswith(".py"):
        return Path(name).stem, _checked(_run_file(Path(name)).get("SWEEP"), name)
    if name.endswith(".json") or (Path(name) / "run.json").is_file():
        return read_sweep(Path(name))
    if name not in sweep_names():
        raise InputError(
            unknown_name("sweep", name, sweep_names()) + " (or a .py file with a SWEEP, or a run's folder)"
        )
    return name, _checked(getattr(import_module(f"search_spaces.{name}"), "SWEEP", None), name)


def _run_file(path: Path) -> dict[str, object]:
    if not path.is_file():
        raise InputError(f"{path} is not a file: name a .py file with a SWEEP")
    # not at the top: --help needs no numpy
    import numpy

    # a file that draws its values must give the same ones at a resume
    random.seed(0)
    numpy.random.seed(0)  # noqa: NPY002 the generator that such a file draws from
    try:
        return runpy.run_path(str(path))
    # the user's own file: whatever it raises is bad input, and so is an end of the program
    except (Exception, SystemExit) as error:
        raise InputError(f"{path} cannot be run ({type(error).__name__}: {error})") from error


def _checked(sweep: object, name: str) -> Sweep:
    if not isinstance(sweep, Sweep):
        raise InputError(f"{name} has no SWEEP = Sweep(...): see search_spaces/activations.py for an example")
    return sweep
