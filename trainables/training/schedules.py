"""Learning-rate schedules, one entry each, as functions that return a step's multiple of the peak rate.

Steps are optimiser steps, counted from 0. A schedule of whole epochs is constant within each. Since the rate depends on
the step alone, a resumed run meets the same rates; only `plateau`, which watches the validation loss, has a state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch.optim import Optimizer

from trainables.registries import entry
from trainables.user_code.signature import Scalar

# Step, epochs, steps per epoch.
Factor = Callable[[int, int, int], float]

# The drop of step, multistep and plateau.
DROP = 0.1
# The factor after the last epoch.
EXPONENTIAL_END = 0.01
# The power of polynomial.
POWER = 2
# The share of all steps.
WARM_UP = 0.1
# Smith & Topin 2019, with torch's values.
ONE_CYCLE_START, ONE_CYCLE_END = 1 / 25, 1 / 25e4
# The triangles of cyclic, and its lowest factor.
CYCLES, CYCLE_FLOOR = 4, 0.1


def _constant(step: int, epochs: int, steps: int) -> float:
    """The peak rate throughout."""
    return 1.0


def _plateau(step: int, epochs: int, steps: int) -> float:
    """A tenth whenever the validation loss has not fallen for a tenth of the epochs: times what `Plateau` says."""
    return 1.0


def _step(step: int, epochs: int, steps: int) -> float:
    """A tenth after each third of the epochs."""
    return float(DROP ** (step // steps // math.ceil(epochs / 3)))


def _multistep(step: int, epochs: int, steps: int) -> float:
    """A tenth from half of the epochs on, a hundredth from three quarters on (MedMNIST's own)."""
    epoch = step // steps
    return float(DROP ** ((epoch >= epochs // 2) + (epoch >= epochs * 3 // 4)))


def _exponential(step: int, epochs: int, steps: int) -> float:
    """By the same factor each epoch, to a hundredth."""
    return float(EXPONENTIAL_END ** (step // steps / epochs))


def _linear(step: int, epochs: int, steps: int) -> float:
    """A straight line to 0."""
    return 1 - step / (epochs * steps)


def _polynomial(step: int, epochs: int, steps: int) -> float:
    """The straight line squared."""
    return float((1 - step / (epochs * steps)) ** POWER)


def _cosine(step: int, epochs: int, steps: int) -> float:
    """Half a cosine to 0 (Loshchilov & Hutter 2017, without restarts)."""
    return _half_cosine(step / (epochs * steps))


def _half_cosine(share: float) -> float:
    return (1 + math.cos(math.pi * share)) / 2


def _cosine_warm_up(step: int, epochs: int, steps: int) -> float:
    """A straight line to 1 over the first tenth of the steps, then a cosine to 0 (Goyal et al. 2017)."""
    total = epochs * steps
    warm_up = max(1, round(WARM_UP * total))
    return (step + 1) / warm_up if step < warm_up else _half_cosine((step - warm_up) / (total - warm_up))


def _warm_restarts(step: int, epochs: int, steps: int) -> float:
    """Three cosines, each twice as long as the one before (Loshchilov & Hutter 2017)."""
    length = math.ceil(epochs * steps / 7)
    while step >= length:
        step, length = step - length, 2 * length
    return _half_cosine(step / length)


def _one_cycle(step: int, epochs: int, steps: int) -> float:
    """Cosines from 1/25 up over a tenth of the steps and down to 1/250,000 (Smith & Topin 2019)."""
    last = epochs * steps - 1
    peak = max(WARM_UP * epochs * steps - 1, 0)
    if step <= peak and peak > 0:
        return 1 + (ONE_CYCLE_START - 1) * _half_cosine(step / peak)
    return ONE_CYCLE_END + (1 - ONE_CYCLE_END) * _half_cosine((step - peak) / max(last - peak, 1))


def _cyclic(step: int, epochs: int, steps: int) -> float:
    """Four triangles between a tenth and 1 (Smith 2017)."""
    half = max(1, round(epochs * steps / (2 * CYCLES)))
    return CYCLE_FLOOR + (1 - CYCLE_FLOOR) * (1 - abs(step % (2 * half) / half - 1))


SCHEDULES: dict[str, Factor] = {
    "constant": _constant,
    "step": _step,
    "multistep": _multistep,
    "exponential": _exponential,
    "linear": _linear,
    "polynomial": _polynomial,
    "cosine": _cosine,
    "cosine_warm_up": _cosine_warm_up,
    "warm_restarts": _warm_restarts,
    "one_cycle": _one_cycle,
    "cyclic": _cyclic,
    "plateau": _plateau,
}


class Plateau:
    """A tenth whenever the validation loss has not fallen by 1e-4 of itself for more than `patience` epochs.

    The patience is a tenth of all epochs. The rule of torch's `ReduceLROnPlateau`.
    """

    def __init__(self, epochs: int) -> None:
        self.patience = max(1, epochs // 10)
        self.best = math.inf
        self.waited = 0
        self.drops = 0

    def see(self, loss: float) -> None:
        """Take in the loss after an epoch."""
        self.waited = 0 if loss < self.best * (1 - 1e-4) else self.waited + 1
        self.best = min(loss, self.best) if self.waited == 0 else self.best
        if self.waited > self.patience:
            self.drops, self.waited = self.drops + 1, 0

    @property
    def factor(self) -> float:
        """Return the multiple of the rate."""
        return float(DROP**self.drops)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {"best": self.best, "waited": self.waited, "drops": self.drops}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Restore a checkpoint's state."""
        self.best, self.waited, self.drops = saved["best"], saved["waited"], saved["drops"]


class WatchingFactor(Protocol):
    """A factor that hangs on the validation losses so far."""

    def __call__(self, step: int, epochs: int, steps: int) -> float:
        """Return the multiple of the peak rate."""

    def see(self, loss: float) -> None:
        """Take in the loss after an epoch."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Restore a checkpoint's state."""


@dataclass(frozen=True)
class FactorMaker:
    """A schedule that has arguments, or a state of its own: `make(**arguments)` gives the factor of one training."""

    make: Callable[..., Factor | WatchingFactor]


class Schedule:
    """Sets the rates of an optimiser: before each step `set`, after each epoch `end_epoch`.

    arguments: of a schedule of a user's own.
    """

    def __init__(
        self, name: str, optimizer: Optimizer, epochs: int, arguments: Mapping[str, Scalar] | None = None
    ) -> None:
        found: Factor | FactorMaker = entry("schedule", name)
        self.factor = found.make(**(arguments or {})) if isinstance(found, FactorMaker) else found
        self.optimizer = optimizer
        self.epochs = epochs
        self.peaks = [float(group["lr"]) for group in optimizer.param_groups]
        plateau = Plateau(epochs)
        self.watching: Any = self.factor if hasattr(self.factor, "see") else plateau
        self.plateau = plateau if name == "plateau" else None

    @property
    def watches(self) -> bool:
        """Tell whether the rates hang on the validation losses, and so differ between replicates."""
        return self.plateau is not None or self.watching is self.factor

    def set(self, step: int, steps: int) -> None:
        """Set the rate of a step (from 0, over all epochs) where an epoch has `steps`."""
        factor = self.factor(step, self.epochs, steps)
        factor *= self.plateau.factor if self.plateau else 1.0
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor

    def end_epoch(self, val_loss: float) -> None:
        """Take in this epoch's validation loss."""
        self.watching.see(val_loss)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        state: dict[str, Any] = self.watching.state_dict()
        return state

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restore a checkpoint's state."""
        self.watching.load_state_dict(saved)


def curve(name: str, epochs: int, steps_per_epoch: int) -> list[float]:
    """Return the multiple of the peak rate at every step; for `plateau`, that of a loss which never falls."""
    plateau, factors = Plateau(epochs), []
    for epoch in range(epochs):
        reduced = plateau.factor if name == "plateau" else 1.0
        first = epoch * steps_per_epoch
        factors += [reduced * SCHEDULES[name](first + i, epochs, steps_per_epoch) for i in range(steps_per_epoch)]
        plateau.see(1.0)
    return factors
