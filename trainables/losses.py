"""The training loss and the probabilities that belong to a task."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from trainables.data.arrays import Task


def loss_of(logits: Tensor, labels: Tensor, task: Task) -> Tensor:
    """Mean loss of a batch: binary cross-entropy for multi-label, cross-entropy for the others (as MedMNIST does)."""
    if task == "multi-label, binary-class":
        return functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
    return functional.cross_entropy(logits, labels)


def probabilities(logits: Tensor, task: Task) -> Tensor:
    """Scores (N, C) in [0, 1]: sigmoid for multi-label, softmax for the others."""
    return torch.sigmoid(logits) if task == "multi-label, binary-class" else torch.softmax(logits, dim=1)
