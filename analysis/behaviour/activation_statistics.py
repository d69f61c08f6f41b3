"""Statistics of a trained model's activations, for `run_stats.json`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from analysis.behaviour.forward_pass import Hook, watch
from trainables.data.batches import DeviceSplit
from trainables.json_values import as_json_value
from trainables.layers.activations import hidden_activations

# The relative error that a sum of thousands of float32 numbers may have.
SUM_TOLERANCE = 1e-4


@dataclass
class _Moments:
    """Sums over the images seen so far, on the device."""

    units: int = 0
    images: int = 0
    total: Tensor | float = 0.0
    squares: Tensor | float = 0.0
    zeros: Tensor | float = 0.0
    least_sum: Tensor | float = math.inf
    greatest_sum: Tensor | float = -math.inf

    def add(self, values: Tensor) -> None:
        """Add the values (B, ...) of a batch."""
        flat = values.detach().double().flatten(1)
        sums = flat.sum(dim=1)
        self.units += flat.numel()
        self.images += len(flat)
        self.total = self.total + sums.sum()
        self.squares = self.squares + flat.square().sum()
        self.zeros = self.zeros + (flat == 0).sum()
        self.least_sum = torch.minimum(sums.min(), torch.as_tensor(self.least_sum, device=sums.device))
        self.greatest_sum = torch.maximum(sums.max(), torch.as_tensor(self.greatest_sum, device=sums.device))

    def result(self) -> dict[str, Any]:
        """Return the statistics; what is undefined is None."""
        mean = float(self.total) / self.units
        least, greatest, middle = float(self.least_sum), float(self.greatest_sum), float(self.total) / self.images
        variance = float(self.squares) / self.units - mean**2
        numbers = {
            "mean": mean,
            "std": math.sqrt(max(variance, 0.0)),
            "sparsity": float(self.zeros) / self.units,
            "sum_mean": middle,
            "sum_min": least,
            "sum_max": greatest,
        }
        return {
            **as_json_value(numbers),
            "sums_are_constant": greatest - least <= SUM_TOLERANCE * max(abs(middle), SUM_TOLERANCE),
            "sums_are_1": max(abs(least - 1), abs(greatest - 1)) <= SUM_TOLERANCE,
        }


def activation_statistics(model: nn.Module, split: DeviceSplit) -> dict[str, dict[str, dict[str, Any]]]:
    """Measure each hidden activation, `before` and `after`.

    Mean and std over all units and images, share of zeros, and the sum of all units of an image: its mean, least and
    greatest value, whether it is the same for all, whether it is 1.

    An activation that a model calls at several places counts them together.
    """
    hidden = list(hidden_activations(model))
    moments = {path: {"before": _Moments(), "after": _Moments()} for path, _ in hidden}
    watch(model, split, [(module, _recorder(moments[path])) for path, module in hidden])
    return {
        path: {side: sums.result() for side, sums in sides.items()}
        for path, sides in moments.items()
        if sides["after"].images
    }


def _recorder(sides: dict[str, _Moments]) -> Hook:
    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        sides["before"].add(inputs[0])
        sides["after"].add(output)

    return record
