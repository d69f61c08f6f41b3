"""Ask, run, record. `from sweeps import Sweep, run`; both are imported when they are first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search_spaces.definition import Sweep
    from sweeps.run_sweep import run

__all__ = ["Sweep", "run"]


def __getattr__(name: str) -> Any:
    if name == "Sweep":
        from search_spaces.definition import Sweep

        return Sweep
    if name == "run":
        from sweeps.run_sweep import run

        return run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
