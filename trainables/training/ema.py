"""An exponential moving average of a model's weights, which is evaluated in its place."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


def average_of(model: nn.Module) -> nn.Module:
    """Return a copy to hold the average, equal to the model as it starts."""
    return deepcopy(model).requires_grad_(False)


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float, steps: int) -> None:
    """Set average ← d·average + (1 − d)·model after optimiser step `steps` (from 1).

    d = min(decay, (1 + steps) / (10 + steps)): the rising decay forgets the drawn weights soon (TensorFlow's
    `ExponentialMovingAverage` with `num_updates`). Buffers, such as BatchNorm's statistics, are copied.
    """
    kept = min(decay, (1 + steps) / (10 + steps))
    update = get_ema_multi_avg_fn(kept)
    update(list(average.parameters()), list(model.parameters()), steps)
    for own, new in zip(average.buffers(), model.buffers(), strict=True):
        own.copy_(new)
