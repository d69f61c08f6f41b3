"""Every file name of a run, in one place."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.errors import InputError

DEFAULT_STORAGE = Path("results")


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
