"""Chooses how a trial's replicates are trained, one by one or together: by a few steps of both, remembered on disk."""

from __future__ import annotations

import hashlib
import json
import math
import platform
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo
from trainables.data.batches import DeviceSplit, subset
from trainables.data.downloads import cache_root
from trainables.fused.stacked_network import layers_of
from trainables.fused.together import Group, can_be_fused, together
from trainables.trainable import Fuse
from trainables.training.loop import TrainingState, start, steps_of, train_epoch
from trainables.training.precision import numerics_of
from trainables.training.random_streams import stream
from trainables.training.replicates import Way, one_by_one

# Steps of each measured round, and rounds, of which the first warms up.
STEPS, ROUNDS = 3, 4
# A trial of fewer steps than so many measurements is not measured.
WORTH = 5
# Together must take at most this share of the time of one by one.
ENOUGH = 0.95
# Raised where joint steps become faster or slower, so that shapes that are known are measured anew.
GENERATION = 2


@dataclass(frozen=True)
class Choice:
    """How replicates of a shape are trained on a device. apart, together: measured seconds a step, of all of them.

    key: a digest of shape and device.
    """

    key: str
    fused: bool
    reason: str
    apart: float | None = None
    together: float | None = None

    @property
    def way(self) -> Way:
        """Return the function that trains so."""
        return together if self.fused else one_by_one


def choose(
    fuse: Fuse, config: TrialConfig, info: DataInfo, data: Mapping[str, DeviceSplit], states: Sequence[TrainingState]
) -> Choice | None:
    """Choose for a trial's replicates; None where there is only one. Leaves `states` as they are."""
    if len(states) < 2:
        return None
    device = data["train"].labels.device
    key = _key(config, info, states, device)
    if fuse == "off" or not can_be_fused(config, states):
        return Choice(key, False, "--fuse off" if fuse == "off" else "the network is no sequence of layers of ours")
    if fuse == "on":
        return Choice(key, True, "--fuse on")
    path = cache_root() / "fused" / f"{key}.json"
    if known := _read(path):
        return known
    images = data["train"] if config.data_fraction == 1 else subset(data["train"], config.data_fraction)
    if config.epochs * steps_of(len(images), config.batch_size) < WORTH * STEPS * ROUNDS:
        return Choice(key, False, "too few steps to measure")
    return _remember(path, _measure(key, config, info, images))


def _measure(key: str, config: TrialConfig, info: DataInfo, images: DeviceSplit) -> Choice:
    """Train fresh replicates for a few steps, both ways in turn, and take each way's quickest round."""
    few = subset(images, min(1.0, STEPS * config.batch_size / len(images)))
    steps, device = steps_of(len(few), config.batch_size), images.labels.device
    numerics = numerics_of(config, device)
    alone, joined = ([start(config, seed, info, device) for seed in config.seeds] for _ in range(2))
    group = Group(config, info, {"train": few}, joined)

    def apart() -> None:
        for state in alone:
            torch.manual_seed(stream(state.seed, state.epoch))
            train_epoch(config, info, few, state, numerics)

    best = [math.inf, math.inf]
    for state in (*alone, *joined):
        state.epoch = 1
    for number in range(ROUNDS):
        for way, run in enumerate((apart, lambda: group.train(few))):
            seconds = _seconds(run, device)
            best[way] = min(best[way], seconds / steps) if number else math.inf
    return Choice(key, best[1] < ENOUGH * best[0], "measured", *best)


def _seconds(run: Callable[[], Any], device: torch.device) -> float:
    began = clock(device)
    run()
    return clock(device) - began


def clock(device: torch.device) -> float:
    """Return seconds: of this thread's processor where it works alone, which others' work disturbs least, else of time.

    A GPU has finished what it was given.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.thread_time() if torch.get_num_threads() == 1 else time.perf_counter()


def _key(config: TrialConfig, info: DataInfo, states: Sequence[TrainingState], device: torch.device) -> str:
    """Return a digest of what the time of a step hangs on."""
    model = states[0].learner
    layers = [(type(layer).__name__, *(tuple(p.shape) for p in layer.parameters())) for layer in layers_of(model) or []]
    settings = (
        config.model, config.batch_size, config.accumulate, config.optimizer, config.precision, config.channels_last,
        config.ema is None, config.clip_norm is None, config.augmentation, info.shape, len(states),
    )  # fmt: skip
    where = (GENERATION, torch.__version__, torch.get_num_threads(), _name_of(device))
    return hashlib.sha256(repr((layers, settings, where)).encode()).hexdigest()[:16]


def _name_of(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line for line in lines if line.startswith("model name"))
    return platform.processor()


def _read(path: Path) -> Choice | None:
    # a damaged entry is measured anew
    with suppress(OSError, ValueError, TypeError):
        return Choice(**json.loads(path.read_text()))
    return None


def _remember(path: Path, choice: Choice) -> Choice:
    """Keep a measurement; of several at the same time, all workers take the first, so that equal trials train alike."""
    # a cache that cannot be written only costs a measurement
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".new") as file:
            json.dump(asdict(choice), file)
            file.flush()
            if path.exists() and _read(path) is None:
                # damaged, and so nobody's
                path.unlink(missing_ok=True)
            with suppress(FileExistsError):
                path.hardlink_to(file.name)
        return _read(path) or choice
    return choice
