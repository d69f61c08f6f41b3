"""Ask, run, record. `from sweeps import Asha, Settings, Sweep, run`; each is imported when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search_spaces.definition import Asha, Median, Optuna, Pbt, Resources, Sweep
    from sweeps.planning.settings import Settings
    from sweeps.run_sweep import run

__all__ = ["Asha", "Median", "Optuna", "Pbt", "Resources", "Settings", "Sweep", "run"]
MODULES = {"Settings": "sweeps.planning.settings", "run": "sweeps.run_sweep"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(MODULES.get(name, "search_spaces.definition")), name)
