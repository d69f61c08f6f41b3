"""Statistics of weights and activations, against numpy on the same numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from analysis.behaviour.activation_statistics import activation_statistics, run_statistics, weight_statistics
from tests.support.short_training import splits, trained
from trainables.data.batches import batches
from trainables.layers.activations import make_activation


def test_weight_statistics_are_numpys() -> None:
    state, _ = trained()
    with torch.no_grad():
        state.model.get_submodule("1").weight[:, ::3] = 0.0
    found = weight_statistics(state.model.state_dict())
    for name, tensor in state.model.state_dict().items():
        w = tensor.numpy().astype(np.float64)
        assert found[name]["shape"] == list(w.shape)
        expected = {
            "mean": w.mean(), "std": w.std(), "min": w.min(), "max": w.max(), "norm": np.sqrt((w**2).sum()),
            "sparsity": (w == 0).mean(), "negative": (w < 0).mean(),
        }  # fmt: skip
        assert {key: found[name][key] for key in expected} == pytest.approx(expected, rel=1e-9)
    assert found["1.weight"]["sparsity"] > 0.3


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


def test_run_statistics_are_json_and_name_columns_and_thresholds() -> None:
    state, _ = trained(activation="learned_threshold", stochastic="softmax_matrix")
    found = run_statistics(state.model, splits()["val"])
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert list(found["learned_values"]) == ["network.2", "network.4"]
    assert [sums == pytest.approx([1, 1], abs=1e-6) for sums in found["column_sums"].values()] == [True] * 3
    with torch.no_grad():
        state.model.get_parameter("network.1.logits").fill_(torch.nan)
    json.dumps(run_statistics(state.model, splits()["val"])["weights"], allow_nan=False)
