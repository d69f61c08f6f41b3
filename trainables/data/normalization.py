"""Mean and standard deviation of the inputs, in units of the full scale (uint8 / 255).

Those of a dataset come from its training split, are computed once and kept with the dataset's digest: beside the data
where `python -m trainables.normalization save` put them, else beside the decoded arrays in the cache.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.atomic_files import read_regular
from trainables.data.arrays import Data, Split, chunks
from trainables.data.dataset_names import split_name
from trainables.data.downloads import cache_root, cache_text, write_beside
from trainables.errors import InputError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
COMMAND = "`python -m trainables.normalization save` and the same options"


@dataclass(frozen=True)
class Normalization:
    """The mean and standard deviation by channel: input = (value / 255 - mean) / std."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def _constant(mean: float, std: float) -> Callable[[Data], Normalization]:
    def constant(data: Data) -> Normalization:
        return Normalization((mean,) * data.info.channels, (std,) * data.info.channels)

    constant.__doc__ = f"Mean {mean:g} and standard deviation {std:g}, whatever the dataset."
    return constant


def _imagenet(data: Data) -> Normalization:
    """ImageNet's mean and standard deviation, for weights of torchvision; timm's take `half`.

    Grey images take the mean over the three channels.
    """
    if data.info.channels == 3:
        return Normalization(IMAGENET_MEAN, IMAGENET_STD)
    return Normalization((round(sum(IMAGENET_MEAN) / 3, 6),), (round(sum(IMAGENET_STD) / 3, 6),))


def _of_training_split(data: Data) -> Normalization:
    """Return the statistics that were saved for this dataset; else compute them, and keep them where it is on disk."""
    saved = find_saved(data)
    if saved is not None:
        return read_saved(saved, data)
    computed = statistics(data)
    if data.folder is not None:
        cache_text(data.folder / _file_name(data), _as_json(computed, data))
    return computed


NORMALIZATIONS: dict[str, Callable[[Data], Normalization]] = {
    "dataset": _of_training_split,
    "imagenet": _imagenet,
    "half": _constant(0.5, 0.5),
    "none": _constant(0.0, 1.0),
    # Values in [0, 0.5]: MedMNIST evaluates its 3D shape sets so.
    "times_half": _constant(0.0, 2.0),
}


def normalization_of(name: str, data: Data) -> Normalization:
    """Return the normalisation that a config names, for a dataset. Raises `InputError` where saved ones do not fit."""
    return NORMALIZATIONS[name](data)


def statistics(data: Data) -> Normalization:
    """Compute mean and standard deviation of the training split, by channel.

    Exact, from one histogram a channel, so that no float copy of the images is made.
    """
    counts = histogram(data.splits["train"])
    levels: NDArray[np.float64] = np.arange(256) / 255
    weights = counts / counts.sum(axis=1, keepdims=True)
    mean = weights @ levels
    std = np.sqrt(np.maximum(weights @ levels**2 - mean**2, 0))
    # A constant channel carries nothing; dividing by 1 leaves it at 0.
    std[std == 0] = 1.0
    return Normalization(tuple(mean.tolist()), tuple(std.tolist()))


def histogram(split: Split) -> NDArray[np.int64]:
    """Count how often each value 0..255 occurs in each channel: (C, 256)."""
    stored = split.stored
    counts = np.zeros((stored.shape[-1], 256), np.int64)
    # Small pieces, since bincount makes eight bytes of each value.
    for piece in chunks(stored, 2**22):
        for channel in range(len(counts)):
            counts[channel] += np.bincount(piece[..., channel].ravel(), minlength=256)
    return np.broadcast_to(counts, (split.images.shape[-1], 256))


Ranges = dict[str, tuple[float, float]]


def true_ranges(data: Data, normalizations: Mapping[str, Normalization]) -> dict[str, Ranges]:
    """Return, by normalisation and split, the lowest and the highest input that a model really meets."""
    occurs = {name: [np.flatnonzero(counts) for counts in histogram(split)] for name, split in data}
    return {
        name: {split: _range(values, normalization) for split, values in occurs.items()}
        for name, normalization in normalizations.items()
    }


def _range(occurs: list[NDArray[np.intp]], by: Normalization) -> tuple[float, float]:
    ends = [(values[[0, -1]] / 255 - mean) / std for values, mean, std in zip(occurs, by.mean, by.std, strict=True)]
    return float(min(low for low, _ in ends)), float(max(high for _, high in ends))


def find_saved(data: Data) -> Path | None:
    """Return the file of this dataset's statistics: beside the data, else in the cache; None where there is none."""
    return next((path for path in _candidates(data) if path.exists()), None)


def _candidates(data: Data) -> list[Path]:
    beside = data.source if data.source is None or data.source.is_dir() else data.source.parent
    folders = [beside, data.folder or cache_root() / "normalization"]
    return [folder / _file_name(data) for folder in folders if folder is not None]


def _file_name(data: Data) -> str:
    if data.source is not None and (split_name(data.info.name)[0] == "folder" or not data.source.is_dir()):
        name = data.source.name if data.source.is_dir() else data.source.stem
    else:
        name = data.info.name
    return f"{name}-{data.digest}.normalization.json"


def save(data: Data) -> Path:
    """Compute the statistics and save them beside the data; in the cache where that folder cannot be written."""
    computed, paths = statistics(data), _candidates(data)
    for path in paths[:-1]:
        if path.parent.is_dir() and os.access(path.parent, os.W_OK):
            write_beside(path, _as_json(computed, data))
            return path
    write_beside(paths[-1], _as_json(computed, data))
    return paths[-1]


def _as_json(normalization: Normalization, data: Data) -> str:
    content = {
        "dataset": data.info.name,
        "dataset_digest": data.digest,
        "split": "train",
        "mean": list(normalization.mean),
        "std": list(normalization.std),
    }
    return json.dumps({**content, "checksum": _checksum(content)}, indent=2) + "\n"


def _checksum(content: dict[str, Any]) -> str:
    text = json.dumps([content[key] for key in ("dataset_digest", "mean", "std")])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_saved(path: Path, data: Data) -> Normalization:
    """Read saved statistics. Raises `InputError` where they were changed by hand, are damaged or of another dataset."""
    remedy = f"delete it, or save it again with {COMMAND}"
    try:
        content = json.loads(read_regular(path))
        normalization = Normalization(tuple(content["mean"]), tuple(content["std"]))
        checksum, digest = content["checksum"], content["dataset_digest"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error}): {remedy}") from None
    if checksum != _checksum(content):
        raise InputError(f"{path} was changed after it was saved: {remedy}")
    if digest != data.digest or len(normalization.mean) != data.info.channels:
        raise InputError(f"{path} belongs to other data (digest {digest}, here {data.digest}): {remedy}")
    return normalization


def verify(data: Data) -> tuple[Path, Normalization]:
    """Compute the saved statistics again and return them. Raises `InputError` where there are none or they differ."""
    path = find_saved(data)
    if path is None:
        raise InputError(
            f"no statistics of {data.info.name} (digest {data.digest}) are saved: save them with {COMMAND}"
        )
    saved, again = read_saved(path, data), statistics(data)
    if saved != again:
        raise InputError(f"{path} says {saved}, the training split {again}: save it again with {COMMAND}")
    return path, saved
