"""Learning-rate schedules, one entry each; stepped once an epoch."""

from __future__ import annotations

from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim import lr_scheduler as lr

Schedule = lr.LRScheduler

SCHEDULES: dict[str, Callable[[Optimizer, int], Schedule]] = {
    "constant": lambda optimizer, epochs: lr.LambdaLR(optimizer, _one),
    "cosine": lambda optimizer, epochs: lr.CosineAnnealingLR(optimizer, T_max=epochs),
    # MedMNIST's own: a tenth from half of the epochs on, a hundredth from three quarters on
    "multistep": lambda optimizer, epochs: lr.MultiStepLR(optimizer, [epochs // 2, epochs * 3 // 4], gamma=0.1),
}


def _one(epoch: int) -> float:
    return 1.0


def make_schedule(name: str, optimizer: Optimizer, epochs: int) -> Schedule:
    """The named schedule over `epochs` epochs."""
    return SCHEDULES[name](optimizer, epochs)
