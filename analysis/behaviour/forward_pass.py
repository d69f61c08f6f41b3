"""Runs a model over the images of a split while hooks look at its modules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from trainables.data.batches import DeviceSplit, batches
from trainables.training.evaluation import evaluation_batch

Hook = Callable[[nn.Module, tuple[Tensor, ...], Any], None]


@torch.no_grad()
def watch(model: nn.Module, split: DeviceSplit, hooks: Iterable[tuple[nn.Module, Hook]]) -> None:
    """Run a model in evaluation mode over all images; a hook gets its module, inputs and output at each call."""
    batch = evaluation_batch(model, split)
    handles = [module.register_forward_hook(hook) for module, hook in hooks]
    try:
        model.eval()
        for inputs, _ in batches(split, batch):
            model(inputs)
    finally:
        for handle in handles:
            handle.remove()
