"""Optimisers, one entry each, as functions of the parameters and the config."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import nn, optim

from trainables.config import TrialConfig

Parameters = Iterable[nn.Parameter]

OPTIMIZERS: dict[str, Callable[[Parameters, TrialConfig], optim.Optimizer]] = {
    "sgd": lambda p, c: optim.SGD(p, c.lr, momentum=c.momentum, weight_decay=c.weight_decay),
    "adam": lambda p, c: optim.Adam(p, c.lr, weight_decay=c.weight_decay),
    "adamw": lambda p, c: optim.AdamW(p, c.lr, weight_decay=c.weight_decay),
}


def make_optimizer(model: nn.Module, config: TrialConfig) -> optim.Optimizer:
    """The config's optimiser over the parameters that are trained."""
    return OPTIMIZERS[config.optimizer]([p for p in model.parameters() if p.requires_grad], config)
