"""uint8 splits on the device, cut into normalised batches. No per-sample Python."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.data.arrays import Data, Split
from trainables.data.normalization import Normalization


@dataclass(frozen=True)
class DeviceSplit:
    """Images (N, [D,] H, W, C) uint8 and labels on a device, with the factors that normalise a batch."""

    images: Tensor
    labels: Tensor
    scale: Tensor  # per channel, (C,)
    shift: Tensor

    def __len__(self) -> int:
        return len(self.images)


def to_device(data: Data, normalization: Normalization, device: torch.device) -> dict[str, DeviceSplit]:
    """All splits of a dataset on the device; on the CPU without a copy."""
    mean, std = torch.tensor(normalization.mean), torch.tensor(normalization.std)
    scale, shift = (1 / (255 * std)).to(device), (-mean / std).to(device)
    return {name: DeviceSplit(*_tensors(split, device), scale, shift) for name, split in data}


def _tensors(split: Split, device: torch.device) -> tuple[Tensor, Tensor]:
    with warnings.catch_warnings():
        # arrays from Ray's object store are read-only, and nothing here writes to them
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(split.images).to(device), torch.from_numpy(split.labels).to(device)


def batches(
    split: DeviceSplit, batch_size: int, generator: torch.Generator | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs (B, C, [D,] H, W) float32, channels last in memory, and labels; shuffled where a generator is given.

    A last training batch of one image is dropped: BatchNorm cannot use it.
    """
    n = len(split)
    order = torch.randperm(n, generator=generator).to(split.images.device) if generator else None
    for start in range(0, n, batch_size):
        stop = min(start + batch_size, n)
        if order is None:
            yield normalized(split, split.images[start:stop]), split.labels[start:stop]
        elif stop - start > 1 or n == 1:
            rows = order[start:stop]
            yield normalized(split, split.images[rows]), split.labels[rows]


def normalized(split: DeviceSplit, images: Tensor) -> Tensor:
    """uint8 (B, [D,] H, W, C) to float32 (B, C, [D,] H, W)."""
    values = torch.addcmul(split.shift, images.float(), split.scale)
    return values.movedim(-1, 1)
