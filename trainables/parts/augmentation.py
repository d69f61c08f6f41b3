"""An augmentation of a user's own: a function of a uint8 batch, or a class whose instances are one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from trainables.data.arrays import DataInfo
from trainables.errors import InputError
from trainables.parts.arguments import callable_of
from trainables.user_code.errors import user_errors
from trainables.user_code.signature import Scalar


def entry_of(spec: str) -> Callable[..., Callable[[Tensor], Tensor]]:
    """Return what makes, from the part's arguments, a change of images (B, C, [D,] H, W) uint8 to as many such."""
    return partial(_make, spec, callable_of(spec))


def _make(spec: str, part: Callable[..., Any], **arguments: Scalar) -> Callable[[Tensor], Tensor]:
    if not inspect.isclass(part):
        return partial(_changed, spec, partial(part, **arguments))
    with user_errors(spec, part):
        change: Any = part(**arguments)
    return partial(_changed, spec, change)


def _changed(spec: str, change: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    changed = change(images)
    if not isinstance(changed, Tensor) or changed.shape != images.shape or changed.dtype != torch.uint8:
        what = f"{changed.dtype} {tuple(changed.shape)}" if isinstance(changed, Tensor) else type(changed).__name__
        raise InputError(f"{spec} made {what} of torch.uint8 {tuple(images.shape)}: both must stay as they are")
    return changed


def check(spec: str, arguments: Mapping[str, Scalar], info: DataInfo) -> None:
    """Raise `InputError` where the augmentation does not give images of the same shape and type."""
    images = torch.zeros(2, info.channels, *info.shape[:-1], dtype=torch.uint8)
    with user_errors(spec, callable_of(spec)):
        entry_of(spec)(**arguments)(images)
