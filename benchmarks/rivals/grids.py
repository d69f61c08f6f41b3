"""The grids of trials that all rivals of `benchmarks.orchestration` train."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

SLOTS = 2


@dataclass(frozen=True)
class Grid:
    """Trials of a small CNN: each activation at each rate, `seeds` replicates, `epochs` each."""

    dataset: str
    activations: tuple[str, ...]
    rates: tuple[float, ...]
    epochs: int
    seeds: int
    network: Mapping[str, Any] = field(default_factory=lambda: {"model": "cnn"})

    @property
    def trials(self) -> int:
        """The number of trials."""
        return len(self.activations) * len(self.rates)

    def values(self) -> Iterator[dict[str, Any]]:
        """Yield each trial's fields, but for its seeds."""
        for lr, activation in itertools.product(self.rates, self.activations):
            yield {
                "dataset": self.dataset, **self.network, "epochs": self.epochs, "activation": activation, "lr": lr,
            }  # fmt: skip


GRIDS = {
    "pneumonia": Grid("pneumoniamnist", ("relu", "tanh", "gelu", "elu"), (0.001, 0.003, 0.01, 0.03), 3, 1),
    # that of `sweeps.run activations`
    "quick": Grid(
        "digits",
        ("relu", "leaky_relu", "prelu", "elu", "selu", "gelu", "silu", "mish", "tanh", "sigmoid", "softplus",
         "squared_relu"),
        (0.01, 0.003, 0.03, 0.001),
        12,
        3,
        {"model": "mlp", "hidden_dims": (64,) * 8},
    ),
    "smallest": Grid("digits", ("relu", "tanh"), (0.01,), 1, 2),
}  # fmt: skip
