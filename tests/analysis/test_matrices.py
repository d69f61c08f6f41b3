"""Measured are the matrices that a model multiplies by."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from analysis.measures import measure_tensor
from analysis.weights.matrices import is_matrix
from analysis.weights.rows import measure_replicate, model_means
from trainables.config import make_config
from trainables.data.arrays import DataInfo
from trainables.errors import InputError
from trainables.layers.stochastic_matrices import StochasticMatrix
from trainables.models import module_types
from trainables.network.build import build_model

QUICK = ["lmc", "sample_entropy", "weight_sparsity", "initial_distance"]
INFO = DataInfo("digits", "multi-class", tuple("0123456789"), (8, 8, 1))


def saved(folder: Path, **options: Any) -> nn.Module:
    config = make_config({"model": "mlp", "hidden_dims": [16], "activation": "relu", **options})
    torch.manual_seed(0)
    model = build_model(config, INFO)
    metadata = {
        "epoch": "3",
        "module_types": json.dumps(module_types(model)),
        "config": json.dumps(config.model_dump(mode="json")),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for stage in ("initial", "best"):
        save_file(dict(model.state_dict()), folder / f"{stage}_model.safetensors", metadata)
    return model


@pytest.mark.parametrize("columns", ["softmax", "sparsemax"])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_of_a_stochastic_matrix_the_weight_is_measured(tmp_path: Path, columns: str, temperature: float) -> None:
    model = saved(tmp_path, stochastic=f"{columns}_matrix", stochastic_temperature=temperature)
    layers = {path: module for path, module in model.named_modules() if isinstance(module, StochasticMatrix)}
    rows = {row["tensor"]: row for row in measure_replicate(tmp_path, QUICK) if row["stage"] == "best"}
    assert layers
    assert set(rows) >= {f"{path}.weight" for path in layers}
    for path, module in layers.items():
        row = rows[f"{path}.weight"]
        expected = measure_tensor(module.weight.detach().numpy(), QUICK, module.weight.detach().numpy())
        assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-6, nan_ok=True)
        assert row["initial_distance"] == 0
        if columns == "sparsemax":
            assert row["weight_sparsity"] > 0.3


def test_deviations_of_bayesian_weights_are_no_matrices(tmp_path: Path) -> None:
    saved(tmp_path, stochastic="bayes_by_backprop")
    rows = [row for row in measure_replicate(tmp_path, QUICK) if row["stage"] == "best"]
    assert any(row["tensor"].endswith("weight_rho") for row in rows)
    own = [row for row in rows if row["tensor"].endswith(".weight")]
    sizes = [math.prod(row["shape"]) for row in own]
    expected = sum(row["lmc"] * size for row, size in zip(own, sizes, strict=True)) / sum(sizes)
    assert model_means(rows)["lmc"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("tensor", "shape", "kind", "expected"),
    [
        ("features.0.weight", [8, 3, 3, 3], "Conv2d", True),
        ("attn.in_proj_weight", [96, 32], "MultiheadAttention", True),
        ("rnn.weight_hh_l0", [64, 16], "LSTM", True),
        ("0", [64, 16], "Linear", True),
        ("attn.relative_position_bias_table", [169, 3], "ShiftedWindowAttention", False),
        ("class_token", [1, 1, 768], "VisionTransformer", False),
        ("encoder.pos_embedding", [1, 197, 768], "Encoder", False),
        ("block.layer_scale", [96, 1, 1], "CNBlock", False),
        ("norm.weight", [96, 8, 8], "LayerNorm", False),
        ("0.bias", [8], "Conv2d", False),
    ],
)
def test_what_is_added_or_scales_is_no_matrix(tensor: str, shape: list[int], kind: str, expected: bool) -> None:
    assert is_matrix(tensor, shape, kind) == expected


def test_a_file_that_does_not_say_what_its_matrices_are_made_of_is_refused(tmp_path: Path) -> None:
    metadata = {"epoch": "1", "module_types": json.dumps({"0.logits": "StochasticLinear"})}
    save_file({"0.logits": torch.randn(4, 4)}, tmp_path / "best_model.safetensors", metadata)
    with pytest.raises(InputError, match="does not say what its stochastic matrices are made of"):
        measure_replicate(tmp_path, QUICK)
