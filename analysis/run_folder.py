"""Every file name of a run, in one place, and finding a run by what a user calls it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.errors import InputError

DEFAULT_STORAGE = Path("results")
SPLIT_SEPARATOR = "_"


@dataclass(frozen=True)
class RunFolder:
    """`results/<sweep>/<run_id>/` and what lies in it."""

    path: Path

    @property
    def sweep(self) -> str:
        return self.path.parent.name

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def description(self) -> Path:
        return self.path / "run.json"

    @property
    def ledger(self) -> Path:
        return self.path / "ledger.jsonl"

    @property
    def log(self) -> Path:
        return self.path / "run.log"

    @property
    def trials_table(self) -> Path:
        return self.path / "trials.parquet"

    @property
    def epochs_table(self) -> Path:
        return self.path / "epochs.parquet"

    @property
    def weights_table(self) -> Path:
        return self.path / "weights.parquet"

    @property
    def activations_table(self) -> Path:
        return self.path / "activations.parquet"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def trials(self) -> Path:
        return self.path / "trials"

    def trial(self, folder: str) -> TrialFolder:
        return TrialFolder(self.trials / folder)

    def read_description(self) -> dict[str, Any]:
        """The content of `run.json`. Raises `InputError` where it is missing or damaged."""
        try:
            content: dict[str, Any] = json.loads(self.description.read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"{self.path} is not a run: run.json cannot be read ({error})") from None
        return content


@dataclass(frozen=True)
class TrialFolder:
    """`trials/<timestamp>_<model>_<activation>_<two words>_<key>/`."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def run_stats(self) -> Path:
        return self.path / "run_stats.json"

    @property
    def training_curves(self) -> Path:
        return self.path / "training_curves.png"

    @property
    def weight_distributions(self) -> Path:
        return self.path / "weight_distributions.png"

    def attempt(self, number: int) -> Path:
        return self.path / f"attempt-{number}"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint"

    def replicate(self, seed: int) -> Path:
        return self.path / f"seed_{seed}"

    def best_model(self, seed: int) -> Path:
        return self.replicate(seed) / "best_model.safetensors"

    def final_model(self, seed: int) -> Path:
        return self.replicate(seed) / "final_model.safetensors"

    def initial_model(self, seed: int) -> Path:
        return self.replicate(seed) / "initial_model.safetensors"


def runs_in(storage: Path, sweep: str = "*") -> Iterator[RunFolder]:
    """The runs under a results folder, newest first."""
    found = [RunFolder(path.parent) for path in storage.glob(f"{sweep}/*/run.json")]
    yield from sorted(found, key=lambda run: (run.description.stat().st_mtime, run.run_id), reverse=True)


def find_run(name: str, storage: Path = DEFAULT_STORAGE) -> RunFolder:
    """A run by `latest`, a sweep's name (its newest run), a run id, or a path. Raises `InputError`."""
    if (Path(name) / "run.json").is_file():
        return RunFolder(Path(name))
    runs = list(runs_in(storage))
    for run in runs:
        if name in ("latest", run.sweep, run.run_id):
            return run
    known = ", ".join(f"{run.sweep}/{run.run_id}" for run in runs[:5])
    raise InputError(f"no run {name!r} in {storage}/: " + (f"newest are {known}" if runs else "there are no runs yet"))


def find_runs(names: Iterable[str], storage: Path = DEFAULT_STORAGE) -> list[RunFolder]:
    """The runs of several names, each once; a folder of results stands for all runs in it. Raises `InputError`."""
    found: dict[Path, RunFolder] = {}
    for name in names:
        inside = _files_of_runs(Path(name)) if Path(name).is_dir() else []
        for run in [RunFolder(path.parent) for path in inside] or [find_run(name, storage)]:
            found.setdefault(run.path.resolve(), run)
    return list(found.values())


def _files_of_runs(folder: Path) -> list[Path]:
    """A file of each run in a folder: the tables say what a run was, also where nothing else of it was kept."""
    return sorted(folder.rglob("run.json")) or sorted(folder.rglob("trials.parquet"))
