"""A loss of a user's own: a function of (logits, targets), or an `nn.Module` class that is called with them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from trainables.data.arrays import MULTI_LABEL, DataInfo, Task
from trainables.errors import InputError
from trainables.metrics.losses import Weighting
from trainables.parts.arguments import callable_of
from trainables.user_code.errors import user_errors
from trainables.user_code.signature import Scalar


def entry_of(spec: str) -> Callable[..., Tensor]:
    """Return the loss as the entries of `LOSSES` are: of (logits, targets, weighting, task), and its arguments."""
    return partial(_loss, spec, callable_of(spec), {})


def _loss(
    spec: str, part: Callable[..., Any], made: dict[str, Callable[..., Tensor]], logits: Tensor, targets: Tensor,
    weighting: Weighting, task: Task, **arguments: Scalar,
) -> Tensor:  # fmt: skip
    """Call the loss; made: the instance of a class, which is made once."""
    if not inspect.isclass(part):
        return _checked(spec, part(logits, targets, **arguments))
    if "loss" not in made:
        with user_errors(spec, part):
            loss: Any = part(**arguments)
            made["loss"] = loss
    return _checked(spec, made["loss"](logits, targets))


def _checked(spec: str, loss: Any) -> Tensor:
    if not isinstance(loss, Tensor) or loss.ndim:
        what = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
        raise InputError(f"{spec} returned {what}: a loss is one number, such as the mean over the batch")
    return loss


def check(spec: str, arguments: Mapping[str, Scalar], info: DataInfo) -> None:
    """Raise `InputError` where the loss of a batch is no number with a gradient."""
    logits = torch.zeros(4, info.n_classes, requires_grad=True)
    shape = (4, info.n_classes) if info.task == MULTI_LABEL else (4,)
    targets = torch.zeros(shape, dtype=torch.long)
    with user_errors(spec, callable_of(spec)):
        loss = entry_of(spec)(logits, targets, Weighting(None, None, 0.0, 0.0), info.task, **arguments)
        if not loss.requires_grad:
            raise InputError(f"{spec} has no gradient: compute the loss from the logits with torch's functions")
        loss.backward()
