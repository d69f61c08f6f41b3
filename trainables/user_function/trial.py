"""`Trial`: what a training function is given beside its config."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from torch import Tensor

from trainables.errors import InputError
from trainables.training.random_streams import seed_generators
from trainables.user_function.state import pack, tensors_of, unpack

Stage = Literal["initial", "best", "final"]
STAGES = ("initial", "best", "final")


class Trial:
    """One replicate of a trial, as its training function sees it.

    seed: of the replicate. epoch: the epochs that have been trained, 0 at first. restored: the state that was saved
    after that epoch, in a trial that goes on; None in one that begins.
    """

    def __init__(self, seed: int) -> None:
        self.seed, self.epoch = seed, 0
        self.restored: Any = None
        self.state: Any = None
        self.saved_at = 0
        self.stopped = False
        self.given: dict[str, tuple[dict[str, Tensor], dict[str, str]]] = {}

    def epochs(self, last: int) -> Iterator[int]:
        """Yield the epochs to train, from the next one to `last`.

        Seeds the global generators of `random`, NumPy and torch for each, so that a trial that goes on draws the
        numbers that it would have drawn.
        """
        for epoch in range(self.epoch + 1, last + 1):
            seed_generators(self.seed, epoch)
            yield epoch

    def save(self, state: Any) -> None:
        """Hand over the state after this epoch, before it is reported, so that the trial can go on from here.

        state: state dicts, arrays, numbers and texts, in dicts and lists. Raises `InputError` for anything else.
        """
        self.state, self.saved_at = pack(state), self.epoch + 1

    def weights(self, weights: Any, stage: Stage = "final") -> None:
        """Hand over weights, to be kept and measured: a state dict of arrays or tensors, or a module of torch.

        Those of stage `final` after every epoch are also kept as `best` after the best one by the sweep's metric.
        """
        if stage not in STAGES:
            raise InputError(f"trial.weights: stage={stage!r}: choose one of {', '.join(STAGES)}")
        self.given[stage] = tensors_of(weights)

    def stop(self) -> None:
        """Say that the next report is the last: the trial has been trained to its end before its last epoch."""
        self.stopped = True

    def go_on(self, epoch: int, state: Any) -> None:
        """Go on after an epoch, from the state that was saved there."""
        self.epoch = self.saved_at = epoch
        self.state, self.restored = state, unpack(state)
