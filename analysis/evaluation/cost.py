"""The cost of a prediction on this machine: latency, throughput, memory, operations and size on disk."""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

# Private by its path, documented by PyTorch; torch 2.15.
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from analysis.evaluation.bootstrap import Interval
from trainables.network.model_size import model_size
from trainables.network.trained import TrainedModel
from trainables.training.precision import numerics_of

# Single images: before the clock, at most, and at least.
WARM_UP, REPEATS, LEAST = 10, 100, 20
# Images from which on the interval of p95 has an upper end: 0.95^72 is below 2.5 %.
ENOUGH = 72
# Seconds after which no more than `ENOUGH` are timed, and no more than `LEAST`.
SECONDS, MOST_SECONDS = 2.0, 30.0
BATCHES = (32, 128)
Images = TypeVar("Images")
# Seconds for one batch size, with 3 passes at least.
BATCH_SECONDS = 0.05


@dataclass(frozen=True)
class Cost:
    """The cost of a prediction.

    latency_p50, latency_p95: s from an image on the device to its logits, one image at a time; p95_interval: 95 %, by
    order statistics. throughput: images a second by batch size. memory_mb: peak of the tensors of one image's pass,
    weights included, MiB. disk_mb: of the weights file, MiB.
    """

    device: str
    repeats: int
    latency_p50: float
    latency_p95: float
    p95_interval: Interval
    throughput: dict[int, float]
    memory_mb: float
    parameters: int
    macs: int
    disk_mb: float


def measure_cost(trained: TrainedModel) -> Cost:
    """Time a network on made-up images: warmed up, and synchronised where a GPU works beside the clock.

    On a CPU one thread computes, so that the figures do not hang on how many cores are free.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, numerics = trained.model.to(device), numerics_of(trained.config, device)

    def run(batch: Tensor) -> None:
        numerics.logits(model, batch)
        if device.type == "cuda":
            torch.cuda.synchronize()

    with torch.no_grad(), _one_thread():
        timing = time_batches(run, lambda n: _images(trained, n, device))
        memory = _peak_bytes(model, run, _images(trained, 1, device), device)
    size = model_size(trained.config, trained.info)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    return Cost(
        name, timing.repeats, timing.latency_p50, timing.latency_p95, timing.p95_interval, timing.throughput,
        memory / 2**20, size.parameters, size.macs, trained.n_bytes / 2**20,
    )  # fmt: skip


@dataclass(frozen=True)
class Timing:
    """The speed of a function of images. latencies: s of one image alone; throughput: images a second by batch size."""

    repeats: int
    latency_p50: float
    latency_p95: float
    p95_interval: Interval
    throughput: dict[int, float]


def time_batches(run: Callable[[Images], object], inputs: Callable[[int], Images]) -> Timing:
    """Time a function of images, warmed up. inputs: makes a batch of so many."""
    seconds = time_single(run, inputs(1))
    p50, p95 = (float(v) for v in np.quantile(seconds, [0.5, 0.95]))
    throughput = {n: _throughput(run, inputs(n), n) for n in BATCHES}
    return Timing(len(seconds), p50, p95, quantile_interval(seconds, 0.95), throughput)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _images(trained: TrainedModel, n: int, device: torch.device) -> Tensor:
    """Draw standard normal images in the layout that batches have: channels last in memory."""
    drawn = torch.randn(n, *trained.info.shape, generator=torch.Generator().manual_seed(0))
    return drawn.to(device).movedim(-1, 1)


def time_single(run: Callable[[Images], object], image: Images) -> np.ndarray:
    """Return the seconds of each of many passes of one image, after some that are not counted."""
    for _ in range(WARM_UP):
        run(image)
    seconds: list[float] = []
    began = time.perf_counter()
    while len(seconds) < _repeats(time.perf_counter() - began):
        start = time.perf_counter()
        run(image)
        seconds.append(time.perf_counter() - start)
    return np.array(seconds)


def _repeats(gone: float) -> int:
    """Return the passes of one image that are timed once so many seconds are gone."""
    return REPEATS if gone < SECONDS else ENOUGH if gone < MOST_SECONDS else LEAST


def _throughput(run: Callable[[Images], object], batch: Images, n: int) -> float:
    """Return images a second in batches, by the median pass."""
    run(batch)
    seconds: list[float] = []
    while len(seconds) < 3 or sum(seconds) < BATCH_SECONDS:
        start = time.perf_counter()
        run(batch)
        seconds.append(time.perf_counter() - start)
        if sum(seconds) > BATCH_SECONDS * 4:
            break
    return n / float(np.median(seconds))


def quantile_interval(values: np.ndarray, quantile: float, confidence: float = 0.95) -> Interval:
    """Return the interval of a quantile by order statistics, without a distribution (Conover 1999, section 3.2).

    An end is infinite where the values are too few to have one.
    """
    from scipy.stats import binom

    n, ranked = len(values), np.sort(values)
    low = int(binom.ppf((1 - confidence) / 2, n, quantile)) - 1
    high = int(binom.ppf((1 + confidence) / 2, n, quantile))
    return Interval(float(ranked[low]) if low >= 0 else -math.inf, float(ranked[high]) if high < n else math.inf)


def _peak_bytes(model: nn.Module, run: Callable[[Tensor], None], image: Tensor, device: torch.device) -> int:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        run(image)
        return int(torch.cuda.max_memory_allocated())
    with LiveTensors() as live:
        run(image)
    weights = [*model.parameters(), *model.buffers()]
    return live.peak + sum(tensor.nbytes for tensor in weights) + image.nbytes


class LiveTensors(TorchDispatchMode):
    """Counts the bytes of the storages that operations make and that are alive at a time; `peak` is the most.

    What a kernel takes for itself and frees again is not seen.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Nothing is compiled here, and to keep the compiler off means to import it, which takes over a second.
        return False

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, int] = {}
        self.now = 0
        self.peak = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        given = {t.untyped_storage()._cdata for t in _tensors((arguments, options or {}))}
        result = function(*arguments, **(options or {}))
        for tensor in _tensors(result):
            storage = tensor.untyped_storage()
            if storage._cdata not in given and storage._cdata not in self.alive:
                self._count(storage._cdata, storage, storage.nbytes())
        return result

    def _count(self, key: int, storage: Any, n_bytes: int) -> None:
        self.alive[key] = n_bytes
        self.now += n_bytes
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._free, key)

    def _free(self, key: int) -> None:
        self.now -= self.alive.pop(key, 0)


def _tensors(value: Any) -> list[Tensor]:
    # Private by its path; torch 2.15.

    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]
