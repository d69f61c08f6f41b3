"""Stochastic layers, both meanings: the simplex is kept, draws have the stated law, gradients and KL as published."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional

from tests.short_training import CPU, digits, go_on, small_config, splits, started, trained
from trainables.config import make_config
from trainables.data.arrays import DataInfo
from trainables.errors import InputError
from trainables.evaluation import entropy, evaluate, random_layers, sample, sampling
from trainables.model_size import model_size
from trainables.models import build_model
from trainables.random_layers import (
    AdditiveNoise,
    BernoulliUnits,
    DropBlock,
    GumbelSoftmax,
    MultiplicativeNoise,
    ThresholdUnits,
)
from trainables.random_weights import BayesianLayer, ConcreteDropout, DropConnect, divergence_of, divergent_layers
from trainables.stochastic_layers import STOCHASTIC_LAYERS
from trainables.stochastic_matrices import StochasticConv, StochasticLinear, column_sums
from trainables.training import start

GREY = DataInfo("tiny", "multi-class", ("a", "b", "c"), (8, 8, 1))
CUBE = DataInfo("tiny3d", "multi-class", ("a", "b", "c"), (8, 8, 8, 1))
MATRICES = [name for name, entry in STOCHASTIC_LAYERS.items() if entry.kind == "stochastic matrix"]
RANDOM = [name for name, entry in STOCHASTIC_LAYERS.items() if entry.kind == "random layer"]
ACTIVATION = {"bernoulli_units": "identity", "threshold_units": "identity", "gumbel_softmax": "identity"}
MODEL = {"stochastic_depth": "resnet"} | dict.fromkeys(MATRICES, "patch_cnn")
N = 40_000  # draws; a mean of N draws lies within 4.5 standard errors


def config_of(name: str, model: str, **values: Any) -> Any:
    activation = ACTIVATION.get(name, "relu")
    return small_config(stochastic=name, model=model, activation=activation, batch_size=512, **values)


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


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
        start(config, 0, GREY, CPU) if config.evaluation_samples else model_size(config, GREY)


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


# Random layers: laws of the draws


def test_noise_has_the_stated_deviation() -> None:
    torch.manual_seed(0)
    x = torch.full((N,), 3.0)
    for layer, deviation in ((AdditiveNoise(0.2), 0.2), (MultiplicativeNoise(0.2), 0.6)):
        y = layer(x)
        assert float(y.mean()) == pytest.approx(3, abs=4.5 * deviation / math.sqrt(N))
        assert float(y.std()) == pytest.approx(deviation, rel=0.03)
        assert stats.kstest(((y - 3) / deviation).numpy(), "norm").pvalue > 1e-4
        assert torch.equal(layer.eval()(x), x)


def normal_cdf(x: Tensor) -> Tensor:
    return torch.from_numpy(stats.norm.cdf(x.detach().numpy())).float()


@pytest.mark.parametrize(
    ("layer", "probability", "slope"),
    [
        (BernoulliUnits(1.0), lambda x: torch.sigmoid(x), lambda x: torch.sigmoid(x) * torch.sigmoid(-x)),
        (
            BernoulliUnits(0.5),
            lambda x: torch.sigmoid(2 * x),
            lambda x: 2 * torch.sigmoid(2 * x) * torch.sigmoid(-2 * x),
        ),
        (ThresholdUnits(1.0), normal_cdf, lambda x: torch.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)),
        (
            ThresholdUnits(0.5),
            lambda x: normal_cdf(2 * x),
            lambda x: 2 * torch.exp(-2 * x**2) / math.sqrt(2 * math.pi),
        ),
    ],
)
def test_straight_through_units_are_binary_with_mean_p_and_the_gradient_of_p(layer, probability, slope) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    x = torch.tensor([-2.0, -0.4, 0.0, 0.7, 1.5])
    p = probability(x)
    drawn = layer.train()(x.expand(N, 5))
    assert set(drawn.round(decimals=5).unique().tolist()) <= {0.0, 1.0}
    errors = (drawn.mean(0) - p).abs() / (p * (1 - p) / N).sqrt()
    assert float(errors.max()) < 4.5
    leaf = x.clone().requires_grad_()
    layer(leaf).sum().backward()
    torch.testing.assert_close(leaf.grad, slope(x), rtol=1e-4, atol=1e-5)


def test_units_are_their_mean_or_their_mean_threshold_in_evaluation() -> None:
    x = torch.tensor([-1.0, 0.5])
    torch.testing.assert_close(BernoulliUnits(2.0).eval()(x), torch.sigmoid(x / 2))
    assert ThresholdUnits(3.0).eval()(x).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_gumbel_softmax_draws_one_of_eight_with_mean_softmax(temperature: float) -> None:
    torch.manual_seed(0)
    logits = draw(16)
    layer = GumbelSoftmax(temperature)
    drawn = layer(logits.expand(N, 16)).view(N, 2, 8)
    torch.testing.assert_close(drawn.sum(2), torch.ones(N, 2))
    assert set(drawn.round(decimals=5).unique().tolist()) == {0.0, 1.0}
    p = torch.softmax(logits.view(2, 8), 1)
    assert float(((drawn.mean(0) - p).abs() / (p * (1 - p) / N).sqrt()).max()) < 4.5
    torch.testing.assert_close(layer.eval()(logits.expand(3, 16))[0], p.flatten())
    maps = layer(draw(2, 24, 5, 5))
    torch.testing.assert_close(maps.view(2, 3, 8, 5, 5).sum(2), torch.ones(2, 3, 5, 5))


def test_drop_connect_keeps_the_mean_and_drops_the_stated_share() -> None:
    torch.manual_seed(0)
    layer = DropConnect(nn.Linear(50, 400, bias=False), 0.3)
    dropped = (layer(torch.eye(50)) == 0).float().mean()
    assert float(dropped) == pytest.approx(0.3, abs=4.5 * math.sqrt(0.21 / 20_000))
    x = draw(2, 50)
    mean = torch.stack([layer(x) for _ in range(4000)]).mean(0)
    assert float((mean - layer.layer(x)).detach().abs().max()) < 0.1
    convolution = nn.Conv2d(3, 4, 3, padding="same")
    torch.testing.assert_close(DropConnect(convolution, 0.5).eval()(draw(1, 3, 6, 6)), convolution(draw(1, 3, 6, 6)))


def test_drop_block_drops_squares_at_about_the_rate_and_leaves_vectors() -> None:
    torch.manual_seed(0)
    layer = DropBlock(0.1)
    zeros = (layer(torch.ones(64, 8, 28, 28)) == 0).float()
    assert float(zeros.mean()) == pytest.approx(0.1, abs=0.03)
    runs = functional.conv2d(zeros.view(-1, 1, 28, 28), torch.ones(1, 1, 7, 7)).eq(49)
    covered = functional.conv_transpose2d(runs.float(), torch.ones(1, 1, 7, 7)) > 0
    assert torch.equal(covered, zeros.view(-1, 1, 28, 28).bool())  # what is dropped is a union of 7×7 squares
    assert torch.equal(layer(torch.ones(4, 9)), torch.ones(4, 9))
    assert float((layer(torch.ones(8, 4, 12, 12, 12)) == 0).float().mean()) > 0


@pytest.mark.parametrize(("model", "branches"), [("resnet18", 8), ("resnet50", 16), ("swin_t", 12)])
def test_stochastic_depth_rises_linearly_to_the_rate(model: str, branches: int) -> None:
    from torchvision.ops import StochasticDepth

    with torch.device("meta"):
        network = build_model(
            make_config({"model": model, "stochastic": "stochastic_depth", "stochastic_strength": 0.4}), GREY
        )
    rates = [module.p for module in network.modules() if isinstance(module, StochasticDepth)]
    assert rates == pytest.approx([0.4 * (i + 1) / branches for i in range(branches)])


def test_a_dropped_branch_leaves_the_skip() -> None:
    config = make_config({"model": "resnet18", "stochastic": "stochastic_depth", "stochastic_strength": 0.999999})
    block = build_model(config, GREY).get_submodule("layer4.1")
    x = draw(3, 512, 2, 2).abs()
    torch.testing.assert_close(block.train()(x), x)


# Concrete dropout and Bayes by backprop


def test_concrete_dropout_drops_its_inputs_at_its_rate() -> None:
    torch.manual_seed(0)
    layer = ConcreteDropout(nn.Linear(40, 3), 0.01)
    for rate in (0.1, 0.5):
        layer.rate_logit.data.fill_(math.log(rate / (1 - rate)))
        kept = layer.dropped(torch.ones(5000, 40))
        assert float((kept * (1 - rate) < 0.5).float().mean()) == pytest.approx(rate, abs=0.01)
        assert float(layer.learned_value().detach()) == pytest.approx(rate)
    maps = ConcreteDropout(nn.Conv2d(6, 3, 3), 0.01).dropped(torch.ones(4, 6, 5, 5))
    assert torch.equal(maps, maps[..., :1, :1].expand_as(maps))  # whole channels
    torch.testing.assert_close(layer.eval()(torch.ones(2, 40)), layer.layer(torch.ones(2, 40)))


def test_the_concrete_mask_has_the_published_law() -> None:
    """Gal et al. 2017, eq. 5, written out for given u; and its gradient in the rate."""
    layer = ConcreteDropout(nn.Linear(4, 2), 0.01)
    torch.manual_seed(7)
    found = layer.dropped(torch.ones(3, 4))
    torch.manual_seed(7)
    u = torch.rand(3, 4).clamp(1e-6, 1 - 1e-6)
    p = torch.tensor(0.1, requires_grad=True)
    z = torch.sigmoid((p.log() - (1 - p).log() + u.log() - (1 - u).log()) / 0.1)
    expected = (1 - z) / (1 - p)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    found.sum().backward()
    expected.sum().backward()
    assert layer.rate_logit.grad is not None
    assert p.grad is not None
    torch.testing.assert_close(layer.rate_logit.grad, p.grad * 0.1 * 0.9, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.8])
def test_concrete_divergence_is_the_published_one(rate: float) -> None:
    """Eq. 3 and 4 for mean weights M = W / (1 − p): l²(1 − p)/2·‖M‖² − K·H(p); its gradient by finite differences."""
    layer = ConcreteDropout(nn.Conv2d(5, 4, 3), 0.7).double()
    layer.rate_logit.data.fill_(math.log(rate / (1 - rate)))
    mean_weights = layer.layer.weight.detach().numpy() / (1 - rate)
    expected = 0.7**2 * (1 - rate) / 2 * (mean_weights**2).sum() - 5 * stats.bernoulli(rate).entropy()
    assert float(layer.divergence().detach()) == pytest.approx(float(expected), rel=1e-9)

    layer.divergence().backward()
    assert layer.rate_logit.grad is not None
    values = []
    for step in (1e-6, -1e-6):
        moved = ConcreteDropout(layer.layer, 0.7).double()
        moved.rate_logit.data.copy_(layer.rate_logit.data + step)
        values.append(float(moved.divergence().detach()))
    assert float(layer.rate_logit.grad) == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5)


def bayesian(layer: nn.Module, prior: float = 0.3) -> BayesianLayer:
    """With deviations of the size of the means."""
    assert isinstance(layer, nn.Linear | nn.Conv2d)
    bayes = BayesianLayer(layer, prior)
    torch.manual_seed(2)
    for rho in (bayes.weight_rho, bayes.bias_rho):
        assert rho is not None
        nn.init.uniform_(rho, -2.5, -1.0)
    return bayes


def posteriors(layer: BayesianLayer) -> list[torch.distributions.Normal]:
    assert layer.bias_rho is not None
    assert layer.layer.bias is not None
    pairs = [(layer.layer.weight, layer.weight_rho), (layer.layer.bias, layer.bias_rho)]
    return [torch.distributions.Normal(mean, functional.softplus(rho)) for mean, rho in pairs]


@pytest.mark.parametrize("layer", [nn.Linear(7, 5), nn.Conv2d(3, 4, 3, padding=1)])
def test_bayesian_divergence_and_its_gradient_are_torchs(layer: nn.Module) -> None:
    bayes = bayesian(layer)
    prior = torch.distributions.Normal(0.0, 0.3)
    parameters = list(bayes.parameters())
    expected = torch.stack([torch.distributions.kl_divergence(q, prior).sum() for q in posteriors(bayes)]).sum()
    torch.testing.assert_close(bayes.divergence(), expected, rtol=1e-5, atol=1e-4)
    gradients = torch.autograd.grad(bayes.divergence(), parameters), torch.autograd.grad(expected, parameters)
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("layer", "x"), [(nn.Linear(7, 5), draw(3, 7)), (nn.Conv2d(2, 4, 3, padding=1), draw(2, 2, 5, 5))]
)
def test_drawing_outputs_has_the_law_of_drawing_weights(layer: nn.Module, x: Tensor) -> None:
    """Local reparameterisation (Kingma et al. 2015): each output has the mean and variance that drawn weights give."""
    bayes = bayesian(layer)
    with torch.no_grad():
        mine = torch.stack([bayes(x) for _ in range(3000)])
        weight, bias = posteriors(bayes)
        apply = functional.linear if isinstance(layer, nn.Linear) else lambda *a: functional.conv2d(*a, padding=1)
        theirs = torch.stack([apply(x, weight.sample(), bias.sample()) for _ in range(3000)])
    scale = theirs.std(0)
    assert float(((mine.mean(0) - theirs.mean(0)) / scale).abs().max()) < 4.5 * math.sqrt(2 / 3000)
    assert float((mine.std(0) / scale - 1).abs().max()) < 0.08
    torch.testing.assert_close(bayes.eval()(x), layer(x))


def test_bayesian_gradients_are_those_of_the_reparameterised_output() -> None:
    """y = Σ xμ + ε·√(Σ x²σ²): dy/dμ = x and dy/dσ = ε·x²σ / √(Σ x²σ²), with ε from the draw itself."""
    bayes = bayesian(nn.Linear(4, 1))
    x = draw(1, 4)
    y = bayes(x)
    y.backward()
    weight, bias = posteriors(bayes)
    variance = (x**2 * weight.stddev**2).sum() + bias.stddev.square().sum()
    noise = (y - bayes.layer(x)) / variance.sqrt()
    torch.testing.assert_close(bayes.layer.weight.grad, x)
    slope = torch.sigmoid(bayes.weight_rho)  # of softplus
    torch.testing.assert_close(bayes.weight_rho.grad, noise * x**2 * weight.stddev / variance.sqrt() * slope)


@pytest.mark.parametrize("name", ["concrete_dropout", "bayes_by_backprop"])
def test_the_divergence_stands_in_the_loss_once_an_epoch(name: str) -> None:
    """One step on all images: the gradient of a parameter that only the divergence knows is its own over n."""
    n = len(splits()["train"])
    config = small_config(stochastic=name, kl_weight=2.0, batch_size=n, epochs=1, optimizer="sgd", momentum=0, lr=1.0)
    without = config.model_copy(update={"kl_weight": 0.0})
    pair = [started(config), started(without)]
    expected = torch.autograd.grad(
        divergence_of(divergent_layers(pair[0].model)), list(pair[0].model.parameters()), allow_unused=True
    )
    for one, state in zip((config, without), pair, strict=True):
        go_on(one, state)
    for (name, a), b, g in zip(pair[0].model.named_parameters(), pair[1].model.parameters(), expected, strict=True):
        moved = 0 if g is None else -2.0 * g / n
        torch.testing.assert_close(
            a - b, moved + torch.zeros_like(a), rtol=1e-3, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_frozen_layers_have_no_divergence_in_the_loss() -> None:
    model = build_model(make_config({"model": "mlp", "stochastic": "bayes_by_backprop"}), GREY)
    assert len(divergent_layers(model)) == 3
    model.get_submodule("1").requires_grad_(False)
    assert len(divergent_layers(model)) == 2


def test_concrete_rates_are_reported_and_move() -> None:
    _, metrics = trained(stochastic="concrete_dropout", lr=3e-2)
    assert list(metrics[0].learned) == ["1", "3", "5"]
    assert all(value != pytest.approx(0.1, abs=1e-4) for value in metrics[1].learned.values())


# Sampled evaluation


def test_sampled_evaluation_is_the_mean_of_draws_with_entropy_and_mutual_information() -> None:
    state, _ = trained(stochastic="dropout", stochastic_strength=0.5)
    val, task = splits()["val"], digits().info.task
    torch.manual_seed(11)
    found = evaluate(state.model, val, digits().info, samples=7)
    torch.manual_seed(11)
    draws = np.stack([scores.double().numpy() for scores in sample(state.model, val, task, 7)])
    mean = draws.mean(axis=0)
    labels = val.labels.numpy()
    total, single = stats.entropy(mean, axis=1).mean(), stats.entropy(draws, axis=2).mean()
    assert found.acc == pytest.approx((mean.argmax(1) == labels).mean())
    assert found.loss == pytest.approx(-np.log(mean[np.arange(len(labels)), labels]).mean(), rel=1e-4)
    assert found.entropy == pytest.approx(total, rel=1e-4)
    assert found.mutual_information == pytest.approx(total - single, rel=1e-3)
    assert 0 < found.mutual_information < found.entropy < math.log(10)


def test_entropy_of_labels_adds_up() -> None:
    scores = torch.tensor([[0.2, 0.9], [0.5, 1.0]])
    expected = [sum(stats.bernoulli(p).entropy() for p in row) for row in scores.tolist()]
    assert entropy(scores, "multi-label, binary-class").tolist() == pytest.approx(
        [float(e) for e in expected], abs=1e-6
    )


def test_sampling_wakes_random_layers_alone() -> None:
    model = build_model(make_config({"model": "cnn", "stochastic": "drop_connect", "dropout": 0.3}), GREY)
    with sampling(model):
        awake = {type(module).__name__ for module in model.modules() if module.training}
    assert awake == {"DropConnect", "Dropout"}
    assert not any(module.training for module in model.modules())


def test_sampled_metrics_are_reported_by_epoch_and_repeatable() -> None:
    config = small_config(stochastic="gumbel_softmax", activation="identity", evaluation_samples=3)
    first, second = go_on(config, started(config)), go_on(config, started(config))
    assert [m.quality for m in first] == [m.quality for m in second]
    assert all(m.quality[split].mutual_information > 0 for m in first for split in ("train", "val", "test"))
    _, plain = trained(stochastic="dropout")
    assert math.isnan(plain[0].quality["val"].entropy)
