"""The cost of a trial, measured on a few batches: seconds of an epoch and peak memory."""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from trainables.config import TrialConfig
from trainables.data.arrays import Data, DataInfo
from trainables.data.batches import DeviceSplit, subset, to_device
from trainables.data.normalization import Normalization
from trainables.network.model_size import planned_activation_size
from trainables.training.evaluation import CACHE, MOST_IMAGES, ROOM
from trainables.training.loop import start, train
from trainables.training.precision import make_repeatable

# Batches of training, at least, in each of the epochs that are measured.
BATCHES = 6
# Epochs of the measurement, of which the first warms up.
EPOCHS = 3


@dataclass(frozen=True)
class Cost:
    """The time and memory of a trial.

    epoch_seconds: of one replicate, with its evaluations, in each measured epoch. Memory is in bytes, 0 on a CPU.
    seconds: that the measuring took.
    """

    epoch_seconds: tuple[float, ...]
    peak_memory: int
    total_memory: int
    seconds: float


def measure(config: TrialConfig, data: Data, normalization: Normalization, threads: int) -> Cost:
    """Train one replicate for a few batches, evaluate a few, and scale up to the whole splits."""
    make_repeatable(threads)
    cuda = torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    whole = {"data_fraction": 1.0, "eval_train_every": 1}
    short = config.model_copy(update={"epochs": EPOCHS, "patience": None, **whole})
    full = to_device(data, normalization, device)
    splits = {name: _beginning(split, BATCHES * config.batch_size) for name, split in full.items()}
    state = start(short, config.seeds[0], data.info, device)
    trained = len(full["train"]) * config.data_fraction / len(splits["train"])
    sizes = {name: len(split) for name, split in full.items()}
    evaluated = images_evaluated(config, sizes) / sum(map(len, splits.values()))
    seconds = [epoch.train_seconds * trained + epoch.eval_seconds * evaluated for epoch in train(
        short, data.info, splits, state
    )]  # fmt: skip
    peak = torch.cuda.max_memory_allocated() if cuda else 0
    total = torch.cuda.get_device_properties(device).total_memory if cuda else 0
    return Cost(tuple(seconds[1:] or seconds), peak, total, time.perf_counter() - began)


def images_evaluated(config: TrialConfig, sizes: Mapping[str, int]) -> float:
    """Return about how many images an epoch evaluates: of train its share, as often as it is evaluated."""
    train = config.data_fraction * sizes["train"] / config.eval_train_every
    return train + sizes["val"] + sizes["test"]


def reset_peak_memory() -> None:
    """Begin `peak_memory_mb` anew. A worker trains one trial after another, and each has a peak of its own.

    On a CPU, free memory goes back to the system first, so that an earlier trial's does not count.
    """
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return
    # Linux with the GNU C library alone has both.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
        # This resets VmHWM, the peak of resident memory (proc(5)).
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb() -> float:
    """Return the peak in MiB since `reset_peak_memory`: of a GPU's tensors, or on a CPU of the process's memory.

    Where the system keeps no peak, the resident memory of this moment.
    """
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) / 1024
    return float(psutil.Process().memory_info().rss) / 2**20


def _beginning(split: DeviceSplit, images: int) -> DeviceSplit:
    return subset(split, images / len(split)) if len(split) > images else split


# Bytes of a process that has loaded torch.
WORKER = 600 * 2**20
# Copies of each weight: itself, its gradient, two moments, the best so far, and one on its way to the disk.
COPIES = 6


def needed_memory(config: TrialConfig, info: DataInfo, parameters: int) -> int:
    """Estimate the bytes that a worker takes to train a trial on CPUs, beside the images, which all workers share.

    Training holds the outputs of all layers and their gradients, one part of a batch at a time; an evaluation holds
    what `evaluation_batch` leaves room for.
    """
    images = math.ceil(config.batch_size / config.accumulate)
    size = planned_activation_size(config, info)
    evaluated = min(ROOM["cpu"], max(4 * size.largest * MOST_IMAGES["cpu"], CACHE["cpu"]))
    return WORKER + COPIES * 4 * parameters * len(config.seeds) + max(2 * 4 * size.kept * images, evaluated)


def share_of_gpu(peak: int, total: int, most: int = 8) -> float:
    """Return the share of a GPU for trials of such a peak: 1/k for the most trials k that fit.

    A tenth of the memory, and a CUDA context for each trial, stay free. 1 where nothing was measured.
    """
    # CUDA itself takes this, which its own count of allocations leaves out.
    context = 600 * 2**20
    if not peak or not total:
        return 1.0
    return 1 / max(1, min(most, int(0.9 * total / (peak + context))))
