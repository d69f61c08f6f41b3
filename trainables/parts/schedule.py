"""A learning-rate schedule of a user's own: a function of progress, or a class of `torch.optim.lr_scheduler`."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn, optim

from trainables.data.arrays import DataInfo
from trainables.errors import InputError
from trainables.parts.arguments import callable_of
from trainables.training.schedules import FactorMaker
from trainables.user_code.errors import number_of, user_errors
from trainables.user_code.signature import Scalar, parameters_of, passed


def entry_of(spec: str) -> FactorMaker:
    """Return what makes a factor of the peak rate from the part's arguments."""
    part = callable_of(spec)
    if inspect.isclass(part):
        return FactorMaker(partial(SchedulerFactor, spec, part))
    return FactorMaker(lambda **arguments: partial(_factor, spec, part, arguments))


def _factor(
    spec: str, part: Callable[..., Any], arguments: Mapping[str, Scalar], step: int, epochs: int, steps: int
) -> float:
    """Call a function of progress, the share of all steps that is behind."""
    factor = part(step / (epochs * steps), **arguments)
    value = number_of(factor)
    if value is None or not 0 <= value < math.inf:
        given = type(factor).__name__ if value is None else f"{value:g}"
        raise InputError(f"{spec} returned {given} at step {step}: a factor of the rate is a number from 0 on")
    return value


class SchedulerFactor:
    """A torch scheduler as a factor: it moves the rate of an optimiser of its own, whose peak rate is 1.

    It is stepped after each step where its signature asks for `total_steps` or `steps_per_epoch`, else after each
    epoch, and gets the validation loss where its `step` asks for `metrics`. Its state is a function of those losses
    and of the number of steps, so a resume begins it anew and steps it to where it was.
    """

    def __init__(self, spec: str, kind: type[Any], **arguments: Scalar) -> None:
        self.spec, self.kind, self.arguments = spec, kind, arguments
        parameters = parameters_of(kind)
        self.each_step = "total_steps" in parameters or "steps_per_epoch" in parameters
        self.losses: list[float] = []
        self.position = 0
        self.scheduler: Any = None

    def __call__(self, step: int, epochs: int, steps: int) -> float:
        """Return the factor of a step."""
        position = step if self.each_step else step // steps
        with user_errors(self.spec, self.kind), warnings.catch_warnings():
            # torch warns of the order of calls, and that a private way of its own to step is deprecated.
            warnings.simplefilter("ignore")
            if self.scheduler is None or position < self.position:
                self._begin(epochs, steps)
            while self.position < position:
                self._advance()
        return float(self.unit.param_groups[0]["lr"])

    def _begin(self, epochs: int, steps: int) -> None:
        self.unit = optim.SGD([nn.Parameter(torch.zeros(()))], lr=1.0, momentum=0.9)
        offered = {"total_steps": epochs * steps, "epochs": epochs, "steps_per_epoch": steps, "max_lr": 1.0}
        self.scheduler = self.kind(self.unit, **passed(self.kind, offered), **self.arguments)
        self.position = 0
        self.takes_loss = "metrics" in parameters_of(self.scheduler.step)

    def _advance(self) -> None:
        self.unit.step()
        self.scheduler.step(*([self.losses[self.position]] if self.takes_loss else []))
        self.position += 1

    def see(self, loss: float) -> None:
        """Take in the validation loss after an epoch."""
        self.losses.append(loss)

    def state_dict(self) -> dict[str, Any]:
        """Return the validation losses so far."""
        return {"losses": list(self.losses)}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Restore a checkpoint's losses; the next call steps a new scheduler to where this one was."""
        self.losses, self.scheduler = list(saved["losses"]), None


def check(spec: str, arguments: Mapping[str, Scalar], info: DataInfo) -> None:
    """Raise `InputError` where the schedule gives no factor for some step of a short training."""
    with user_errors(spec, callable_of(spec)):
        factor = entry_of(spec).make(**arguments)
        for step in range(6):
            if step % 2 == 0 and step and isinstance(factor, SchedulerFactor):
                factor.see(1.0)
            factor(step, 3, 2)
