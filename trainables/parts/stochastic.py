"""A stochastic layer of a user's own: a module behind each hidden activation, or a change of a model."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from trainables.config import TrialConfig
from trainables.errors import InputError
from trainables.layers.random_layers import RandomLayer
from trainables.network.stochastic_layers import RANDOM, StochasticLayer, behind_activations
from trainables.parts.arguments import callable_of
from trainables.user_code.errors import user_errors
from trainables.user_code.part_names import arguments_in


class UserRandomLayer(RandomLayer):
    """A user's module among those that draw in training, and in an evaluation that samples."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """Call the module, in training mode where this one is."""
        # An evaluation that samples sets the mode of this module alone.
        self.inner.training = self.training
        changed: Tensor = self.inner(x)
        return changed


def entry_of(spec: str) -> StochasticLayer:
    """Return the entry of a user's class, put behind each hidden activation, or of a function from model to model."""
    part = callable_of(spec)
    meaning = (part.__doc__ or spec).strip().splitlines()[0]
    if not inspect.isclass(part):
        return StochasticLayer(RANDOM, meaning, partial(_changed, spec, part))

    def make(config: TrialConfig) -> nn.Module:
        with user_errors(spec, part):
            module = part(**arguments_in(config, "stochastic"))
        if not isinstance(module, nn.Module):
            raise InputError(f"{spec} is no nn.Module: name a module's class, or a function of a model")
        return UserRandomLayer(module)

    return StochasticLayer(RANDOM, meaning, behind_activations(make))


def _changed(spec: str, part: Callable[..., Any], model: nn.Module, config: TrialConfig) -> nn.Module:
    with user_errors(spec, part):
        changed = part(model, **arguments_in(config, "stochastic"))
    if not isinstance(changed, nn.Module):
        raise InputError(f"{spec} returned a {type(changed).__name__}: it must return the model")
    return changed
