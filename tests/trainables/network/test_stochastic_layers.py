"""Stochastic layers: matrices keep the simplex, every entry of both meanings trains, and what cannot be is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.support.short_training import draw, go_on, small_config, started
from trainables.config import make_config
from trainables.data.arrays import DataInfo
from trainables.errors import InputError
from trainables.layers.random_layers import (
    AdditiveNoise,
    random_layers,
)
from trainables.layers.random_weights import BayesianLayer, ConcreteDropout, DropConnect
from trainables.layers.stochastic_matrices import StochasticConv, StochasticLinear, column_sums
from trainables.network.build import build_model
from trainables.network.model_size import model_size
from trainables.network.stochastic_layers import STOCHASTIC_LAYERS

GREY = DataInfo("tiny", "multi-class", ("a", "b", "c"), (8, 8, 1))
CUBE = DataInfo("tiny3d", "multi-class", ("a", "b", "c"), (8, 8, 8, 1))
MATRICES = [name for name, entry in STOCHASTIC_LAYERS.items() if entry.kind == "stochastic matrix"]
RANDOM = [name for name, entry in STOCHASTIC_LAYERS.items() if entry.kind == "random layer"]
ACTIVATION = {"bernoulli_units": "identity", "threshold_units": "identity", "gumbel_softmax": "identity"}
MODEL = {"stochastic_depth": "resnet"} | dict.fromkeys(MATRICES, "patch_cnn")


def config_of(name: str, model: str, **values: Any) -> Any:
    activation = ACTIVATION.get(name, "relu")
    return small_config(stochastic=name, model=model, activation=activation, batch_size=512, **values)


# Stochastic matrices


@pytest.mark.parametrize("columns", ["softmax", "sparsemax"])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_columns_sum_to_one_and_the_simplex_is_kept(columns: str, temperature: float) -> None:
    torch.manual_seed(0)
    for layer, point in (
        (StochasticLinear((50, 30), columns, temperature), torch.rand(9, 30)),
        (StochasticConv((7, 4, 1, 1), columns, temperature), torch.rand(9, 4, 5, 5)),
        (StochasticConv((7, 4, 2, 2), columns, temperature), torch.rand(9, 4, 6, 8)),
        (StochasticConv((7, 4, 3, 3, 3), columns, temperature), torch.rand(9, 4, 6, 3, 3)),
    ):
        point = point / point.flatten(1).sum(1).view(-1, *[1] * (point.ndim - 1))
        image = layer(point)
        assert bool((image >= 0).all())
        torch.testing.assert_close(image.flatten(1).sum(1), torch.ones(9), rtol=0, atol=1e-6)
        torch.testing.assert_close(layer.weight.sum(0), torch.ones(layer.weight.shape[1:]), rtol=0, atol=1e-6)
        assert column_sums(layer)[""] == pytest.approx((1, 1), abs=1e-6)


def test_a_lower_temperature_sharpens_and_sparsemax_gives_zeros() -> None:
    torch.manual_seed(0)
    soft = StochasticLinear((40, 10), "softmax", 1.0)
    sharp = StochasticLinear((40, 10), "softmax", 0.1)
    sparse = StochasticLinear((40, 10), "sparsemax", 1.0)
    sharp.load_state_dict(soft.state_dict())
    assert bool((sharp.weight.amax(0) > soft.weight.amax(0)).all())
    assert float((sparse.weight == 0).float().mean()) > 0.5
    assert float((soft.weight == 0).float().mean()) == 0


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("model", ["mlp", "patch_cnn"])
@pytest.mark.parametrize("activation", ["identity", "relu", "rescaled_relu_100"])
@pytest.mark.parametrize("info", [GREY, CUBE])
def test_a_whole_network_maps_images_to_the_simplex(name: str, model: str, activation: str, info: DataInfo) -> None:
    config = make_config({"model": model, "stochastic": name, "activation": activation})
    network = build_model(config, info).eval()
    images = draw(6, info.channels, *info.shape[:-1])
    outputs = network(images)
    assert outputs.shape == (6, 3)
    assert bool((outputs >= 0).all())
    torch.testing.assert_close(outputs.sum(1), torch.full((6,), 100.0), rtol=1e-5, atol=0)
    assert all(sums == pytest.approx((1, 1), abs=1e-6) for sums in column_sums(network).values())
    assert len(column_sums(network)) == 3
    assert not list(random_layers(network))


def test_strength_is_the_total() -> None:
    config = make_config(
        {"model": "mlp", "stochastic": "softmax_matrix", "stochastic_strength": 7, "activation": "identity"}
    )
    assert float(build_model(config, GREY)(draw(1, 1, 8, 8)).detach().sum()) == pytest.approx(7, rel=1e-5)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"model": "cnn", "stochastic": "softmax_matrix"}, "Conv2d at 0.0: choose model=mlp"),
        ({"model": "resnet18", "stochastic": "sparsemax_matrix"}, "Conv2d at conv1"),
        ({"model": "mlp", "stochastic": "drop_block"}, "no feature map"),
        ({"model": "mlp", "stochastic": "stochastic_depth"}, "no residual branch"),
        ({"model": "mlp", "hidden_dims": (12,), "stochastic": "gumbel_softmax"}, "multiples of 8"),
        ({"model": "swin_t", "stochastic": "gumbel_softmax"}, "choose a convolutional model"),
        ({"model": "patch_cnn", "depth": 4}, "choose a smaller depth"),
        ({"model": "mlp", "evaluation_samples": 3}, "no random layer"),
    ],
)
def test_a_model_without_a_place_for_it_is_an_error_before_training(values: dict[str, Any], says: str) -> None:
    config = make_config(values)
    with pytest.raises(InputError, match=says):
        model_size(config, GREY)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"stochastic": "droput"}, "did you mean 'dropout'"),
        ({"stochastic_strength": 0.1}, "stochastic_strength has no effect"),
        ({"stochastic": "bernoulli_units", "stochastic_strength": 0.1}, "stochastic_strength has no effect"),
        ({"stochastic": "dropout", "stochastic_strength": 1.0}, "needs a rate below 1"),
        ({"stochastic": "dropout", "stochastic_strength": 0}, "greater than 0"),
        ({"stochastic": "dropout", "stochastic_temperature": 2}, "stochastic_temperature has no effect"),
        ({"stochastic": "dropout", "kl_weight": 2}, "kl_weight has no effect"),
        ({"stochastic": "softmax_matrix", "model": "medical_cnn"}, "needs transfer=scratch"),
    ],
)
def test_settings_without_effect_are_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        make_config(values)


def test_a_config_says_the_strength_that_was_trained_with() -> None:
    for name, entry in STOCHASTIC_LAYERS.items():
        config = make_config({"stochastic": name})
        assert config.stochastic_strength == entry.strength
        assert make_config(config.model_dump()) == config


# Every entry in training


@pytest.mark.parametrize(
    ("name", "model"),
    [(name, MODEL.get(name, "cnn")) for name in STOCHASTIC_LAYERS]
    + [(name, "mlp") for name in STOCHASTIC_LAYERS if name not in ("drop_block", "stochastic_depth")],
)
def test_every_entry_trains_and_is_deterministic_in_evaluation(name: str, model: str) -> None:
    config = config_of(name, model, **({} if model == "mlp" else {"width": 8}))
    state, fresh = started(config), started(config)
    metrics = go_on(config, state)
    assert all(m.finite for m in metrics)
    for (path, now), (_, then) in zip(state.model.named_parameters(), fresh.model.named_parameters(), strict=True):
        assert not torch.equal(now, then), f"{path} has not moved"
    state.model.eval()
    inputs = draw(4, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(state.model(inputs), state.model(inputs), rtol=0, atol=0)
        state.model.train()
        differs = not torch.equal(state.model(inputs), state.model(inputs))
    assert differs == (name in RANDOM)
    assert bool(random_layers(state.model)) == (name in RANDOM)


def test_random_layers_reach_transformers_and_3d_networks() -> None:
    for model, info, name, kind, count in (
        ("vit_b_16", GREY, "bayes_by_backprop", BayesianLayer, 12 * 2 + 1 + 1),  # two in each block, patches, head
        ("swin_t", GREY, "additive_noise", AdditiveNoise, 12),
        ("cnn3d", CUBE, "drop_connect", DropConnect, None),
        ("resnet18_3d", CUBE, "concrete_dropout", ConcreteDropout, 21),
    ):
        with torch.device("meta"):
            network = build_model(make_config({"model": model, "stochastic": name}), info)
        found = sum(isinstance(module, kind) for module in network.modules())
        assert found == count or (count is None and found > 2), model
