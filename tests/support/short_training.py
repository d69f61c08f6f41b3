"""Short trainings on the embedded digits, which the tests of activations, layers, optimisers and schedules share."""

from __future__ import annotations

from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from trainables.config import TrialConfig, make_config
from trainables.data.arrays import Data
from trainables.data.batches import DeviceSplit, to_device
from trainables.data.datasets import load
from trainables.data.normalization import normalization_of
from trainables.training.checkpoint import load_checkpoint, save_checkpoint
from trainables.training.loop import EpochMetrics, TrainingState, start, train

CPU = torch.device("cpu")
torch.set_num_threads(1)  # sums in one order, so that equal means equal


@cache
def digits() -> Data:
    return load("digits")


@cache
def splits() -> dict[str, DeviceSplit]:
    return to_device(digits(), normalization_of("dataset", digits()), CPU)


def small_config(**values: object) -> TrialConfig:
    """Two epochs of a small mlp, unless the values say otherwise."""
    given = {"dataset": "digits", "epochs": 2, "model": "mlp", **values}
    return make_config({"hidden_dims": (32, 16), **given} if given["model"] == "mlp" else given)


def started(config: TrialConfig, seed: int = 0) -> TrainingState:
    return start(config, seed, digits().info, CPU)


def go_on(config: TrialConfig, state: TrainingState) -> list[EpochMetrics]:
    return list(train(config, digits().info, splits(), state))


def trained(**values: object) -> tuple[TrainingState, list[EpochMetrics]]:
    """The state and all metrics after training from the start."""
    config = small_config(**values)
    state = started(config)
    return state, go_on(config, state)


def draw(*shape: int, seed: int = 1) -> torch.Tensor:
    """Numbers from N(0, 1) that do not depend on what was drawn before."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def untimed(metrics: EpochMetrics) -> dict[str, Any]:
    """All that must be equal in two runs of one config: not how long it took."""
    values = {**vars(metrics), "train_seconds": 0, "eval_seconds": 0}
    return {name: str(value) if name == "quality" else value for name, value in values.items()}  # NaN equals NaN


def resumed_after(epochs: int, config: TrialConfig, place: Path) -> tuple[list[EpochMetrics], TrainingState]:
    """All metrics and the state of a run that was interrupted after some epochs and went on from its checkpoint."""
    first = started(config)
    before = list(islice(train(config, digits().info, splits(), first), epochs))
    save_checkpoint(place / "checkpoint.pt", [first])
    torch.rand(7)  # numbers that someone else draws meanwhile
    second = load_checkpoint(place / "checkpoint.pt", config, digits(), CPU)[0]
    return before + go_on(config, second), second
