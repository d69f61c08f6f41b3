"""One optimiser for the stacked parameters of several members, whose own states are parts of its state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn, optim

from trainables.fused.stacked_network import StackedNetwork

# These move each value by its own gradient alone. True: torch has one loop over all values on a CPU.
ELEMENTWISE: dict[type[optim.Optimizer], bool] = {
    optim.SGD: True,
    optim.Adam: True,
    optim.AdamW: True,
    optim.Adagrad: True,
    optim.Adamax: False,
    optim.NAdam: False,
    optim.RAdam: False,
    optim.RMSprop: False,
}
# The settings of a group that say how a step is computed, not what it is.
HOW = ("foreach", "fused")


@dataclass(frozen=True)
class _Joined:
    """A parameter of the joint optimiser, and the members' with their optimisers; one that is not stacked has one."""

    parameter: nn.Parameter
    parts: list[tuple[optim.Optimizer, nn.Parameter]]


class JointOptimizer:
    """Takes the steps of all members at once. Their rates must be equal."""

    def __init__(self, optimizers: Sequence[optim.Optimizer], network: StackedNetwork) -> None:
        self.optimizers = list(optimizers)
        stacked_of = {id(parts[0]): stacked for stacked, parts in network.joined}
        self.joined: list[_Joined] = []
        groups = []
        for number, group in enumerate(optimizers[0].param_groups):
            columns = zip(*(own.param_groups[number]["params"] for own in optimizers), strict=True)
            joined = [each for column in columns for each in self._join(stacked_of.get(id(column[0])), column)]
            groups.append({**group, "params": [each.parameter for each in joined]})
            self.joined += joined
        self.optimizer = _like(optimizers[0], groups)
        for each in self.joined:
            self._take_in(each)

    def step(self) -> None:
        """Step with the rates of the first member."""
        for group, own in zip(self.optimizer.param_groups, self.optimizers[0].param_groups, strict=True):
            group["lr"] = own["lr"]
        self.optimizer.step()

    def give_back(self) -> None:
        """Make each member's state a part of the joint one, as its checkpoint and its own optimiser read it."""
        for each in self.joined:
            for member, (optimizer, part) in enumerate(each.parts):
                state = self.optimizer.state[each.parameter]
                optimizer.state[part] = {name: _part(value, each, member) for name, value in state.items()}

    def _join(self, stacked: nn.Parameter | None, column: tuple[nn.Parameter, ...]) -> list[_Joined]:
        parts = list(zip(self.optimizers, column, strict=True))
        return [_Joined(part[1], [part]) for part in parts] if stacked is None else [_Joined(stacked, parts)]

    def _take_in(self, each: _Joined) -> None:
        """Begin from the members' states, where they have taken a step."""
        own = [optimizer.state.get(part) for optimizer, part in each.parts]
        if own[0]:
            self.optimizer.state[each.parameter] = {
                name: _whole([state[name] for state in own if state], each) for name in own[0]
            }


def _like(optimizer: optim.Optimizer, groups: list[dict[str, Any]]) -> optim.Optimizer:
    kind: Any = type(optimizer)
    on_cpu = all(parameter.device.type == "cpu" for group in groups for parameter in group["params"])
    settings = [{name: value for name, value in group.items() if name not in HOW} for group in groups]
    made: optim.Optimizer = kind(settings, **({"fused": True} if ELEMENTWISE[kind] and on_cpu else {}))
    return made


def _whole(values: list[Any], each: _Joined) -> Any:
    """Return the joint value of the members': side by side like the parameters; a count, which all share, once."""
    first, (_, part) = values[0], each.parts[0]
    if not isinstance(first, Tensor):
        return first
    return torch.cat(values) if len(values) > 1 and first.shape == part.shape else first.clone()


def _part(value: Any, each: _Joined, member: int) -> Any:
    if not isinstance(value, Tensor):
        return value
    if len(each.parts) == 1 or value.shape != each.parameter.shape:
        return value.clone()
    return value.chunk(len(each.parts))[member]
