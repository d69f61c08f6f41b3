"""`Tracker`: what receives a run, a call at a time: one protocol for MLflow, Weights & Biases and a class of one's own.

A feed (`sweeps/tracking/feed.py`) reads the ledger and makes the calls, in its order. After a failure the calls since
the last `flush` come again, to a tracker that is made anew: what a tracker writes is known by trial and epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from analysis.runs.run_folder import RunFolder

Row = Mapping[str, Any]


@dataclass(frozen=True)
class TrackedRun:
    """A run. id: 16 hexadecimal digits that no other run has. description: the content of `run.json`."""

    id: str
    folder: RunFolder
    description: Mapping[str, Any]
    began: datetime

    @property
    def sweep(self) -> str:
        """Return the sweep's name."""
        return self.folder.sweep

    @property
    def run_id(self) -> str:
        """Return the run's name."""
        return self.folder.run_id

    @property
    def question(self) -> str:
        """Return what the sweep asks."""
        return str(self.description.get("question", ""))

    @property
    def varied(self) -> tuple[str, ...]:
        """Return the fields that differ between trials, the compared ones first."""
        roles = self.description.get("roles", {})
        return (*roles.get("scientific", {}), *roles.get("nuisance", {}))

    @property
    def tags(self) -> dict[str, str]:
        """Return sweep, run, git commit, and the digest of the code and of each dataset."""
        made = self.description.get("provenance", {})
        data = self.description.get("datasets", {})
        found = {
            "sweep": self.sweep,
            "run": self.run_id,
            "git_commit": (made.get("git") or {}).get("commit"),
            "code_digest": made.get("code_digest"),
            **{f"data_digest.{name}": digest for name, digest in (data.items() if isinstance(data, dict) else ())},
        }
        return {name: str(value) for name, value in found.items() if value}


@dataclass(frozen=True)
class TrackedEpoch:
    """An epoch of a trial. means: of each metric over replicates; rows: each replicate's values, by its seed."""

    number: int
    time: datetime
    means: Mapping[str, float | None]
    rows: Mapping[int, Row]

    @property
    def numbers(self) -> dict[str, float]:
        """Return the means, the learning rate, seconds and images a second; with several replicates each one's too.

        Undefined values are left out. A replicate's names are `seed_0/val_auc`.
        """
        rows = list(self.rows.values())
        named = {**self.means, "lr": _mean(rows, "lr_used"), "gradient_norm": _mean(rows, "gradient_norm")}
        seconds, images = _sum(rows, "train_seconds"), _sum(rows, "images_trained")
        named["epoch_seconds"] = seconds + _sum(rows, "eval_seconds")
        named["images_per_second"] = images / seconds if seconds and images else None
        for seed, row in self.rows.items() if len(rows) > 1 else ():
            named |= {f"seed_{seed}/{name}": row.get(name) for name in self.means}
        return {name: float(value) for name, value in named.items() if value is not None}


def _mean(rows: Sequence[Row], name: str) -> float | None:
    values = [row[name] for row in rows if row.get(name) is not None]
    return sum(values) / len(values) if values else None


def _sum(rows: Sequence[Row], name: str) -> float:
    return float(sum(row.get(name) or 0 for row in rows))


@dataclass(frozen=True)
class TrackedTrial:
    """A trial. id: 16 hexadecimal digits that no other trial has. varied: the values of the fields that differ.

    past: returns the epochs that came before this `begin_trial`, for a tracker that cannot append to what it wrote.
    """

    id: str
    trial_id: str
    config: Mapping[str, Any]
    varied: Mapping[str, Any]
    tags: Mapping[str, str]
    folder: Path
    began: datetime
    past: Callable[[], list[TrackedEpoch]] = field(repr=False)


@dataclass(frozen=True)
class RunEnding:
    """The state of a run when a feed ends. status: completed or interrupted. best: the best mean of its metric."""

    status: str
    time: datetime
    counts: Mapping[str, int]
    best: float | None
    best_trial: str
    hardware: Mapping[str, float]
    """Hours, busy share, peak memory, energy and CO2e, as far as they are known."""
    links: Mapping[str, Mapping[str, str]]
    """By trial: where its evaluation, exports and registered versions are."""


class Tracker:
    """Receives a run. A class of one's own need not derive from it, and has the methods that it wants.

    Each may come again with the same values, after a failure or a kill. None is ever waited for by a trial.
    """

    # False: what was interrupted is begun anew, so that files and samples of the machine are all sent again
    appends = True

    def begin(self, run: TrackedRun) -> None:
        """Take in the run, which may be known already."""

    def begin_trial(self, trial: TrackedTrial) -> None:
        """Take in a trial that begins or goes on; it may be known already."""

    def epoch(self, trial: TrackedTrial, epoch: TrackedEpoch) -> None:
        """Take in an epoch."""

    def end_trial(self, trial: TrackedTrial, status: str, reason: str, time: datetime) -> None:
        """Take in how a trial has ended; `interrupted` may go on later."""

    def hardware(self, rows: Sequence[Row]) -> None:
        """Take in rows of `hardware.parquet`."""

    def file(self, trial: TrackedTrial | None, path: Path, name: str) -> None:
        """Take in a file of a trial, or of the run. name: its path with the tracker."""

    def flush(self) -> None:
        """Write all that was taken in: none of it comes again."""

    def end(self, ending: RunEnding) -> None:
        """Take in how the run stands; a resumed run begins again."""

    def close(self) -> None:
        """Leave, also after a failure."""
