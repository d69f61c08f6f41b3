"""uint8 splits on the device, cut into normalised and, for training, augmented batches. No per-sample Python."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from trainables.data.arrays import Data, DataInfo, Split
from trainables.data.augmentation import augment, strengths_of
from trainables.data.mixing import cut_and_mix
from trainables.data.normalization import Normalization
from trainables.data.splitting import noisy_labels, stratified_rows
from trainables.errors import InputError
from trainables.registries import entry
from trainables.user_code.part_names import arguments_in, is_own

# At most this share of a GPU's memory is filled with images; larger sets stay mapped and go batch by batch.
DEVICE_SHARE = 1 / 8


class BatchSettings(Protocol):
    """The fields of a `TrialConfig` that batches follow."""

    @property
    def batch_size(self) -> int:
        """Return the number of images a batch."""

    @property
    def data_fraction(self) -> float:
        """Return the share of the training images that is used."""

    @property
    def label_noise(self) -> float:
        """Return the share of the training labels that is replaced."""

    @property
    def augmentation(self) -> str:
        """Return a preset or operations, as `strengths_of` reads them."""

    @property
    def sampling(self) -> Literal["shuffle", "balanced"]:
        """Return the way in which training images are drawn."""

    @property
    def channels(self) -> int | None:
        """Return the channels that were asked for; None: the dataset's own."""


@dataclass(frozen=True)
class DeviceSplit:
    """Images (N, [D,] H, W, C) uint8 and labels on a device, with the factors (C,) that normalise a batch.

    Grey images that are shown as RGB have one channel here and three factors. Images may lie on the CPU, mapped from a
    file, while labels and factors are on a GPU. `rows`: the images that belong to the split, where not all do.
    """

    images: Tensor
    labels: Tensor
    scale: Tensor
    shift: Tensor
    rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)


def to_device(data: Data, normalization: Normalization, device: torch.device) -> dict[str, DeviceSplit]:
    """Put all splits of a dataset on the device; on the CPU without a copy."""
    mean, std = torch.tensor(normalization.mean), torch.tensor(normalization.std)
    scale, shift = (1 / (255 * std)).to(device), (-mean / std).to(device)
    images_on = device if _fits(data, device) else torch.device("cpu")
    return {name: DeviceSplit(*_tensors(split, images_on, device), scale, shift) for name, split in data}


def _fits(data: Data, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    limit = DEVICE_SHARE * torch.cuda.get_device_properties(device).total_memory
    return sum(split.stored.nbytes for _, split in data) <= limit


def _tensors(split: Split, images_on: torch.device, device: torch.device) -> tuple[Tensor, Tensor]:
    with warnings.catch_warnings():
        # Arrays from Ray's object store and mapped files are read-only, and nothing here writes to them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(split.stored).to(images_on), torch.from_numpy(split.labels).to(device)


def subset(split: DeviceSplit, fraction: float) -> DeviceSplit:
    """Return a share of a split, by class and the same in every trial, without a copy of the images."""
    if fraction == 1:
        return split
    chosen = torch.from_numpy(stratified_rows(split.labels.cpu().numpy(), fraction))
    rows = chosen if split.rows is None else split.rows.cpu()[chosen]
    return replace(split, labels=split.labels[chosen.to(split.labels.device)], rows=rows.to(split.images.device))


def training_part(split: DeviceSplit, config: BatchSettings, info: DataInfo) -> DeviceSplit:
    """Return what a trial is trained on: its share of the training split, with its share of wrong labels."""
    part = subset(split, config.data_fraction)
    if not config.label_noise:
        return part
    labels = noisy_labels(part.labels.cpu().numpy(), config.label_noise, info.n_classes)
    return replace(part, labels=torch.from_numpy(labels).to(part.labels.device))


def batches(
    split: DeviceSplit, batch_size: int, generator: torch.Generator | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield inputs (B, C, [D,] H, W) float32, channels last in memory, and labels; shuffled where a generator is given.

    A last training batch of one image is dropped: BatchNorm cannot use it.
    """
    order = torch.randperm(len(split), generator=generator) if generator else None
    for images, labels in _iterate(split, batch_size, order):
        yield normalized(split, images), labels


def training_batches(
    split: DeviceSplit, config: BatchSettings, info: DataInfo, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield augmented inputs, shaped as those of `batches`, in the config's order, and their targets.

    Targets are labels, or shares of the classes (B, classes) where images are mixed.
    """
    _check_channels(config, info)
    if is_own("augmentation", config.augmentation):
        change = entry("augmentation", config.augmentation)(**arguments_in(config, "augmentation"))
        for images, labels in _iterate(split, config.batch_size, _training_order(split, config, generator)):
            yield normalized(split, change(images.movedim(-1, 1).contiguous()).movedim(1, -1)), labels
        return
    strengths = strengths_of(config.augmentation)
    for images, labels in _iterate(split, config.batch_size, _training_order(split, config, generator)):
        if not strengths:
            yield normalized(split, images), labels
            continue
        inputs = _normalized(split, augment(images.movedim(-1, 1).float(), strengths).movedim(1, -1))
        inputs, targets = cut_and_mix(inputs, labels, strengths, info.n_classes)
        yield inputs.movedim(1, -1).contiguous().movedim(-1, 1), targets


def _check_channels(config: BatchSettings, info: DataInfo) -> None:
    if config.channels not in (None, info.channels):
        raise InputError(f"channels={config.channels}, but {info.name} was loaded with {info.channels}: load it again")


def joint_training_batches(
    split: DeviceSplit, config: BatchSettings, info: DataInfo, generators: Sequence[torch.Generator]
) -> Iterator[tuple[list[Tensor], list[Tensor]]] | None:
    """Yield what `training_batches` yields for each of several generators, made at once.

    None where batches are augmented, which draws from the global stream of each.
    """
    if is_own("augmentation", config.augmentation) or strengths_of(config.augmentation):
        return None
    _check_channels(config, info)
    orders = torch.stack([_training_order(split, config, generator) for generator in generators])
    order = torch.cat([part.flatten() for part in orders.split(config.batch_size, dim=1)])
    joint = _iterate(split, config.batch_size * len(generators), order)
    return (
        (list(normalized(split, images).chunk(len(generators))), list(labels.chunk(len(generators))))
        for images, labels in joint
    )


def _training_order(split: DeviceSplit, config: BatchSettings, generator: torch.Generator) -> Tensor:
    if config.sampling == "shuffle":
        return torch.randperm(len(split), generator=generator)
    return torch.multinomial(balancing_weights(split.labels.cpu()), len(split), replacement=True, generator=generator)


def balancing_weights(labels: Tensor) -> Tensor:
    """Return for each image 1 / (images of its class).

    A multi-label image counts for its rarest label, or for having none.
    """
    if labels.ndim == 2:
        counts = labels.sum(dim=0)
        rarity = torch.where(labels == 1, counts, len(labels) + 1)
        labels = torch.where(labels.any(dim=1), rarity.argmin(dim=1), labels.shape[1])
    return 1 / torch.bincount(labels)[labels].double()


def _iterate(split: DeviceSplit, batch_size: int, order: Tensor | None) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield uint8 images and labels on the labels' device, batch by batch, in the split's order or a given one."""
    n, device = len(split), split.labels.device
    if order is None and split.rows is None:
        for start in range(0, n, batch_size):
            yield split.images[start : start + batch_size].to(device), split.labels[start : start + batch_size]
        return
    rows = torch.arange(n) if order is None else order
    n = len(rows)
    of_labels, of_images = rows.to(device), rows.to(split.images.device)
    of_images = of_images if split.rows is None else split.rows[of_images]
    for start in range(0, n, batch_size):
        stop = min(start + batch_size, n)
        if order is None or stop - start > 1 or n == 1:
            yield split.images.index_select(0, of_images[start:stop]).to(device), split.labels[of_labels[start:stop]]


def normalized(split: DeviceSplit, images: Tensor) -> Tensor:
    """Normalise uint8 (B, [D,] H, W, C) to float32 (B, C, [D,] H, W)."""
    return _normalized(split, images.float())


def _normalized(split: DeviceSplit, values: Tensor) -> Tensor:
    return torch.addcmul(split.shift, values, split.scale).movedim(-1, 1)
