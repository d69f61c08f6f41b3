"""The training loss, the loss that is reported, and the probabilities that belong to a task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from trainables.config import TrialConfig
from trainables.data.arrays import MULTI_LABEL, Task
from trainables.registries import entry
from trainables.user_code.part_names import arguments_in

FOCAL_GAMMA = 2.0


def loss_of(logits: Tensor, labels: Tensor, task: Task) -> Tensor:
    """Return the loss that is reported, whatever was trained with: mean over images, in nats.

    Binary cross-entropy for multi-label, cross-entropy for the others (as MedMNIST does).
    """
    if task == MULTI_LABEL:
        return functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
    return functional.cross_entropy(logits, labels)


def probabilities(logits: Tensor, task: Task) -> Tensor:
    """Return scores (N, C) in [0, 1]: sigmoid for multi-label, softmax for the others."""
    return torch.sigmoid(logits) if task == MULTI_LABEL else torch.softmax(logits, dim=1)


@dataclass(frozen=True)
class Weighting:
    """Factors of the terms of a training loss.

    present: weights of the classes (C,). absent: weights of a label's absence (C,), multi-label only. gamma: of the
    focal loss.
    """

    present: Tensor | None
    absent: Tensor | None
    smoothing: float
    gamma: float


def _cross_entropy(logits: Tensor, targets: Tensor, weighting: Weighting, task: Task) -> Tensor:
    """Cross-entropy over the classes; where multi-label, binary cross-entropy of each label."""
    if task == MULTI_LABEL and weighting.present is not None:
        return _focal(logits, targets, replace(weighting, gamma=0.0), task)
    if task == MULTI_LABEL:
        targets = _smoothed(targets, weighting.smoothing / 2, 1 - weighting.smoothing)
        return functional.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype))
    if weighting.present is None:
        return functional.cross_entropy(logits, targets, label_smoothing=weighting.smoothing)
    terms = functional.cross_entropy(
        logits, targets, weighting.present, label_smoothing=weighting.smoothing, reduction="none"
    )
    return terms.mean()


def _focal(logits: Tensor, targets: Tensor, weighting: Weighting, task: Task) -> Tensor:
    """Σ over classes of −w q (1 − p)^γ log p; where multi-label, also −w (1 − q) p^γ log(1 − p) (Lin et al. 2017)."""
    if task == MULTI_LABEL:
        targets = _smoothed(targets, weighting.smoothing / 2, 1 - weighting.smoothing)
        hit = targets * _focus(torch.sigmoid(-logits), weighting) * functional.logsigmoid(logits)
        miss = (1 - targets) * _focus(torch.sigmoid(logits), weighting) * functional.logsigmoid(-logits)
        if weighting.present is not None and weighting.absent is not None:
            hit, miss = hit * weighting.present, miss * weighting.absent
        return -(hit + miss).mean()
    n_classes = logits.shape[1]
    shares = functional.one_hot(targets, n_classes) if targets.ndim == 1 else targets
    shares = _smoothed(shares, weighting.smoothing / n_classes, 1 - weighting.smoothing)
    log_p = torch.log_softmax(logits, dim=1)
    terms = shares * _focus(1 - log_p.exp(), weighting) * log_p
    return -(terms if weighting.present is None else terms * weighting.present).sum(dim=1).mean()


def _focus(distance: Tensor, weighting: Weighting) -> Tensor:
    # The slope of a root is infinite at 0.
    return distance.clamp(min=1e-12) ** weighting.gamma


def _smoothed(targets: Tensor, floor: float, share: float) -> Tensor:
    return targets.float() if floor == 0 else floor + share * targets.float()


LOSSES: dict[str, Callable[[Tensor, Tensor, Weighting, Task], Tensor]] = {
    "cross_entropy": _cross_entropy,
    "focal": _focal,
}


def training_loss(
    config: TrialConfig, labels: Tensor, n_classes: int, task: Task
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the config's loss of (logits (B, C), targets) for a training split with these labels.

    Targets are labels, or (B, C) shares of the classes. The mean over images: weights of classes average 1 over the
    training split, so that they do not change the learning rate's meaning.
    """
    present, absent = class_weights(labels, n_classes) if config.class_weights == "balanced" else (None, None)
    gamma = FOCAL_GAMMA if config.focal_gamma is None else config.focal_gamma
    weighting = Weighting(present, absent, config.label_smoothing, gamma)
    loss = partial(entry("loss", config.loss), **arguments_in(config, "loss"))
    return lambda logits, targets: loss(logits, targets, weighting, task)


def class_weights(labels: Tensor, n_classes: int) -> tuple[Tensor, Tensor | None]:
    """Return n / (classes × images of the class), (C,), and None; for multi-label the weights of presence and absence.

    Each label of a multi-label split counts as two classes. A class that does not occur gets 1.
    """
    if labels.ndim == 1:
        counts = torch.bincount(labels, minlength=n_classes)
        n_occurring = int((counts > 0).sum())
        return _inverse(counts, len(labels) / n_occurring), None
    counts = labels.sum(dim=0)
    return _inverse(counts, len(labels) / 2), _inverse(len(labels) - counts, len(labels) / 2)


def _inverse(counts: Tensor, scale: float) -> Tensor:
    return torch.where(counts > 0, scale / counts.clamp(min=1), 1.0).float()
