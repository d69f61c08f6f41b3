"""An optimiser of a user's own: a `torch.optim.Optimizer` class, or a function that returns one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn, optim

from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo
from trainables.errors import InputError
from trainables.parts.arguments import callable_of
from trainables.training.optimizers import Groups, OptimizerEntry
from trainables.user_code.errors import user_errors
from trainables.user_code.signature import Scalar, parameters_of, passed

METHODS = ("step", "zero_grad", "state_dict", "load_state_dict", "param_groups")


def entry_of(spec: str) -> OptimizerEntry:
    """Return the entry of a user's optimiser: it gets lr, weight_decay and momentum by name if it asks for them."""
    part = callable_of(spec)
    parameters = parameters_of(part)
    default = parameters["lr"].default if "lr" in parameters else None
    options = tuple(name for name in ("momentum", "weight_decay") if name in parameters)
    meaning = (part.__doc__ or spec).strip().splitlines()[0]
    lr: Any = default if isinstance(default, float) else None
    return OptimizerEntry(meaning, partial(_build, spec, part), lr, options, part, ("lr", *options))


def _build(
    spec: str, part: Callable[..., Any], groups: Groups, config: TrialConfig, **arguments: Scalar
) -> optim.Optimizer:
    offered = {
        "lr": config.lr * config.lr_scale, "momentum": config.momentum, "weight_decay": config.weight_decay
    }  # fmt: skip
    with user_errors(spec, part):
        optimizer: optim.Optimizer = part(groups, **passed(part, offered), **arguments)
    lacking = [name for name in METHODS if not hasattr(optimizer, name)]
    # The base class has one that raises; torch wraps it when an instance is made.
    if inspect.unwrap(getattr(type(optimizer), "step", repr)) is inspect.unwrap(optim.Optimizer.step):
        lacking = ["step"]
    if lacking:
        raise InputError(f"{spec} made a {type(optimizer).__name__} without {lacking[0]}: see torch.optim.Optimizer")
    return optimizer


def check(spec: str, arguments: Mapping[str, Scalar], info: DataInfo) -> None:
    """Raise `InputError` where the optimiser cannot take a step."""
    weight = nn.Parameter(torch.ones(2, 2))
    weight.grad = torch.ones(2, 2)
    config: Any = SimpleNamespace(lr=1e-3, lr_scale=1.0, momentum=0.9, weight_decay=0.0)
    optimizer = entry_of(spec).build([{"params": [weight], "lr": 1e-3}], config, **arguments)
    with user_errors(spec, callable_of(spec)):
        optimizer.step()
