"""An activation of a user's own: an `nn.Module` class, a function that returns a module, or one of a tensor."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from trainables.data.arrays import DataInfo
from trainables.errors import InputError
from trainables.parts.arguments import callable_of, takes_tensor
from trainables.user_code.errors import user_errors
from trainables.user_code.signature import Scalar


class FunctionActivation(nn.Module):
    """A user's function of a tensor as a module."""

    def __init__(self, function: Callable[..., Tensor], arguments: Mapping[str, Scalar]) -> None:
        super().__init__()
        self.function, self.arguments = function, dict(arguments)

    def forward(self, x: Tensor) -> Tensor:
        """Call the function."""
        return self.function(x, **self.arguments)


def entry_of(spec: str) -> Callable[..., nn.Module]:
    """Return what builds the module from the part's arguments, as the entries of `ACTIVATIONS` do."""
    return partial(_build, spec, callable_of(spec))


def _build(spec: str, part: Callable[..., Any], **arguments: Scalar) -> nn.Module:
    if not inspect.isclass(part) and takes_tensor(part, arguments):
        return FunctionActivation(part, arguments)
    with user_errors(spec, part):
        module = part(**arguments)
    if not isinstance(module, nn.Module):
        raise InputError(f"{spec} returned a {type(module).__name__}: it must be, or return, an nn.Module")
    return module


def check(spec: str, arguments: Mapping[str, Scalar], info: DataInfo) -> None:
    """Raise `InputError` where the activation does not give a tensor of its input's shape."""
    part = callable_of(spec)
    module = entry_of(spec)(**arguments)
    with user_errors(spec, part):
        values = module(torch.zeros(2, 4))
    if not isinstance(values, Tensor) or values.shape != (2, 4):
        shape = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else f"a {type(values).__name__}"
        raise InputError(f"{spec} made {shape} of a tensor of shape (2, 4): an activation keeps the shape")
