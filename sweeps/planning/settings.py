"""How and where a sweep is run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from analysis.runs.find import new_run
from analysis.runs.run_folder import DEFAULT_STORAGE
from analysis.runs.sync import folder_of


@dataclass(frozen=True)
class Settings:
    """How and where a sweep is run; what it asks stands in the `Sweep`."""

    data_root: Path | None = None
    storage: Path | str = DEFAULT_STORAGE  # a folder, or a URI
    name: str | None = None  # the run's id; None: made from the time
    max_concurrent: int | None = None
    max_failures: int = 1  # times a failed trial is tried again
    address: str | None = None  # of a Ray cluster; None: this machine
    reuse: bool = False  # take finished trials with the same key from earlier runs in the storage
    retry_failed: bool = False  # on a resume, trials that failed are tried again
    time_budget: float | None = None  # seconds after which the run ends, to be resumed
    max_errors: int | None = None  # failed trials at which the run ends
    quiet: bool = False
    measure: bool = True  # the trained weights, and draw each trial's curves
    report: bool = True  # write report.html and figures/ at the end

    def __post_init__(self) -> None:
        """Raises `InputError` for a run's name that no folder may have."""
        if self.name is not None:
            new_run(Path(), "sweep", self.name)

    @property
    def results(self) -> Path:
        """The folder on this machine that the driver writes to."""
        return folder_of(self.storage)
