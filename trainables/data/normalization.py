"""Mean and standard deviation of the inputs, in units of the full scale (uint8 / 255)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainables.data.arrays import Data


@dataclass(frozen=True)
class Normalization:
    """Per channel: input = (value / 255 - mean) / std."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def _constant(mean: float, std: float) -> Callable[[Data], Normalization]:
    return lambda data: Normalization((mean,) * data.info.channels, (std,) * data.info.channels)


def _of_training_split(data: Data) -> Normalization:
    """Exact, from one histogram a channel, so that no float copy of the images is made."""
    images = data.splits["train"].images
    counts = np.stack([np.bincount(images[..., c].ravel(), minlength=256) for c in range(data.info.channels)])
    levels: NDArray[np.float64] = np.arange(256) / 255
    weights = counts / counts.sum(axis=1, keepdims=True)
    mean = weights @ levels
    std = np.sqrt(np.maximum(weights @ levels**2 - mean**2, 0))
    std[std == 0] = 1.0  # a constant channel carries nothing; dividing by 1 leaves it at 0
    return Normalization(tuple(mean.tolist()), tuple(std.tolist()))


NORMALIZATIONS: dict[str, Callable[[Data], Normalization]] = {
    "dataset": _of_training_split,
    "half": _constant(0.5, 0.5),
    "none": _constant(0.0, 1.0),
}


def normalization_of(name: str, data: Data) -> Normalization:
    """The normalisation that a config names, for a dataset."""
    return NORMALIZATIONS[name](data)
