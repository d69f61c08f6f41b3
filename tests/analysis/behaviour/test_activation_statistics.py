"""Statistics of activations, against numpy on the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from analysis.behaviour.activation_statistics import activation_statistics
from tests.support.short_training import splits, trained
from trainables.data.batches import batches
from trainables.layers.activations import make_activation


def test_activation_statistics_are_numpys_over_all_batches() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), make_activation("relu"), nn.Linear(12, 10))
    train = splits()["train"]  # more than one batch
    found = activation_statistics(model, train)["2"]
    with torch.no_grad():
        inputs = torch.cat([x for x, _ in batches(train, 512)])
        before = model[:2](inputs).numpy().astype(np.float64)
    for side, values in (("before", before), ("after", np.maximum(before, 0))):
        sums = values.sum(axis=1)
        expected = {
            "mean": values.mean(), "std": values.std(), "sparsity": (values == 0).mean(),
            "sum_mean": sums.mean(), "sum_min": sums.min(), "sum_max": sums.max(),
        }  # fmt: skip
        assert {key: found[side][key] for key in expected} == pytest.approx(expected, rel=1e-5)
    assert not found["after"]["sums_are_constant"]
    assert not list(model[2]._forward_hooks), "the hooks are gone"


@pytest.mark.parametrize(
    ("values", "constant", "one"),
    [
        ({"activation": "layer_softmax"}, True, True),
        ({"activation": "rescaled_relu_100"}, True, False),
        ({"activation": "relu"}, False, False),
        ({"activation": "identity", "stochastic": "softmax_matrix"}, True, False),
        ({"activation": "identity", "stochastic": "sparsemax_matrix", "stochastic_strength": 1.0}, True, True),
    ],
)
def test_whether_sums_are_kept_is_told(values: dict[str, str | float], constant: bool, one: bool) -> None:
    state, _ = trained(**values)
    found = activation_statistics(state.model, splits()["val"])
    assert len(found) == 2
    for layer in found.values():
        assert layer["after"]["sums_are_constant"] == constant
        assert layer["after"]["sums_are_1"] == one
