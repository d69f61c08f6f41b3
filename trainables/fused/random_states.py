"""The random streams of several members, of which one draws at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


class RandomStates:
    """Keeps a state of torch's global generators for each member, so that each draws as it would alone."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.states: list[tuple[Tensor, ...]] = []

    def seed(self, seeds: Sequence[int]) -> None:
        """Begin each member's stream at its seed."""
        self.states = []
        for seed in seeds:
            torch.manual_seed(seed)
            self.states.append(self._now())

    @contextmanager
    def of(self, member: int) -> Iterator[None]:
        """Let the global generators go on with a member's stream."""
        on_cpu, *on_gpu = self.states[member]
        torch.set_rng_state(on_cpu)
        if on_gpu:
            torch.cuda.set_rng_state(on_gpu[0], self.device)
        yield
        self.states[member] = self._now()

    def _now(self) -> tuple[Tensor, ...]:
        on_cpu = torch.get_rng_state()
        return (on_cpu, torch.cuda.get_rng_state(self.device)) if self.device.type == "cuda" else (on_cpu,)
