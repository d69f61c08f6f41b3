"""The evaluation of a model on a split: logits, loss, AUC, ACC, and uncertainty where random layers are sampled."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from trainables.data.arrays import DataInfo, Task
from trainables.data.batches import DeviceSplit, batches, normalized
from trainables.layers.random_layers import random_layers
from trainables.metrics.auc import accuracy, auc
from trainables.metrics.losses import loss_of, probabilities
from trainables.network.model_size import activation_size
from trainables.training.precision import EXACT, Numerics


@dataclass(frozen=True)
class Quality:
    """The quality of a model on one split. loss: mean over images, in nats; auc and acc in [0, 1], NaN where undefined.

    entropy: of the mean prediction, in nats, mean over images; mutual_information: what of it is due to the random
    layers, that entropy less the mean entropy of single draws (Depeweg et al. 2018, eq. 4). NaN where none is drawn.
    """

    loss: float
    auc: float
    acc: float
    entropy: float = math.nan
    mutual_information: float = math.nan


# Of a split that was not evaluated after an epoch.
UNKNOWN = Quality(math.nan, math.nan, math.nan)
# Bytes that the largest layer may fill.
ROOM = {"cpu": 2**28, "cuda": 2**31}
# Few on a CPU, whose caches wide activations leave; more where the largest layer fits them.
MOST_IMAGES = {"cpu": 128, "cuda": 1024}
CACHE = {"cpu": 2**22, "cuda": 2**25}
_largest_layers: WeakKeyDictionary[nn.Module, dict[torch.Size, int]] = WeakKeyDictionary()


def evaluation_batch(model: nn.Module, split: DeviceSplit) -> int:
    """Return the number of images in a batch of evaluation: as many as the model's largest layer leaves room for.

    A function of the model and of the image's shape alone, so that a run that goes on evaluates as before.
    """
    device = split.labels.device
    image = normalized(split, split.images[:1].to(device))
    known = _largest_layers.setdefault(model, {})
    if image.shape not in known:
        # zeros of the plain memory order: an image of one channel would pass for channels-last
        known[image.shape] = activation_size(model, torch.zeros(image.shape, device=device)).largest
    size, kind = 4 * known[image.shape], device.type
    return max(1, min(max(MOST_IMAGES[kind], CACHE[kind] // size), ROOM[kind] // size))


@torch.no_grad()
def predict(model: nn.Module, split: DeviceSplit, numerics: Numerics = EXACT) -> Tensor:
    """Return logits (N, classes) in evaluation mode."""
    model.eval()
    return torch.cat([numerics.logits(model, inputs) for inputs, _ in batches(split, evaluation_batch(model, split))])


def evaluate(
    model: nn.Module, split: DeviceSplit, info: DataInfo, samples: int = 0, numerics: Numerics = EXACT
) -> Quality:
    """Evaluate a model on a split: by one deterministic pass, or by the mean prediction of random ones."""
    if samples:
        return _sampled(model, split, info, samples, numerics)
    return quality_of(predict(model, split, numerics), split, info)


def quality_of(logits: Tensor, split: DeviceSplit, info: DataInfo) -> Quality:
    """Return the quality of a split's logits (N, classes)."""
    return _quality(probabilities(logits, info.task), float(loss_of(logits, split.labels, info.task)), split, info.task)


def _sampled(model: nn.Module, split: DeviceSplit, info: DataInfo, samples: int, numerics: Numerics) -> Quality:
    mean, entropies = torch.zeros(()), torch.zeros(())
    for number, scores in enumerate(sample(model, split, info.task, samples, numerics)):
        mean = scores if number == 0 else mean + scores
        entropies = entropy(scores, info.task) + (entropies if number else 0.0)
    mean, single = mean / samples, float((entropies / samples).mean())
    total = float(entropy(mean, info.task).mean())
    loss = float(loss_of(_logits_of(mean, info.task), split.labels, info.task))
    return _quality(mean, loss, split, info.task, total, total - single)


def _quality(scores: Tensor, loss: float, split: DeviceSplit, task: Task, *uncertainty: float) -> Quality:
    labels, predicted = split.labels.cpu().numpy(), scores.cpu().numpy()
    return Quality(loss, auc(labels, predicted, task), accuracy(labels, predicted, task), *uncertainty)


def sample(
    model: nn.Module, split: DeviceSplit, task: Task, samples: int, numerics: Numerics = EXACT
) -> Iterator[Tensor]:
    """Yield probabilities (N, classes), `samples` times: random layers draw, all else is in evaluation mode."""
    batch = evaluation_batch(model, split)
    for _ in range(samples):
        with torch.no_grad(), sampling(model):
            logits = [numerics.logits(model, inputs) for inputs, _ in batches(split, batch)]
        yield probabilities(torch.cat(logits), task)


@contextmanager
def sampling(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode with random layers that draw; into plain evaluation mode afterwards."""
    model.eval()
    layers = random_layers(model)
    for layer in layers:
        # Set on the layer alone: `train()` would reach what lies inside it.
        layer.training = True
    try:
        yield
    finally:
        model.eval()


def entropy(scores: Tensor, task: Task) -> Tensor:
    """Return the entropy of probabilities (N, C), in nats (N,): of the class, or summed over multi-label's labels."""
    if task == "multi-label, binary-class":
        return (torch.special.entr(scores) + torch.special.entr(1 - scores)).sum(dim=1)
    return torch.special.entr(scores).sum(dim=1)


def _logits_of(scores: Tensor, task: Task) -> Tensor:
    """Return logits that give these probabilities, so that the loss of a mean prediction is that of any other."""
    scores = scores.clamp(1e-12, 1.0)
    return torch.logit(scores, 1e-7) if task == "multi-label, binary-class" else scores.log()
