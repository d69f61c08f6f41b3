"""Activations: values against formulas in numpy, gradients against published ones, every entry in training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import expit, log_softmax, softmax

from tests.support.short_training import digits, small_config, splits, started, trained
from trainables.config import make_config
from trainables.errors import InputError
from trainables.layers.activations import ACTIVATIONS, canonical, learned_values, make_activation, set_epoch
from trainables.layers.simplex import sparsemax, to_simplex
from trainables.training.loop import train

Array = NDArray[np.float64]
SUMMING = [  # name, sum of all units of an image
    ("layer_softmax", 1), ("layer_softmax:temperature=0.2", 1), ("layer_sparsemax", 1), ("power_normalization", 1),
    ("power_softmax", 1), ("rescaled_relu", 1), ("rescaled_relu_100", 100), ("rescaled_jump_relu", 1),
    ("rescaled_jump_relu_fixed", 1), ("rescaled_jump_relu_100", 100), ("rescaled_jump_relu_fixed_100", 100),
    ("rescaled_relu:total=7", 7),
]  # fmt: skip


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def projected(scores: Array) -> Array:
    """The nearest point of the simplex by bisection on the threshold: another way than the sorting one."""
    low, high = scores.max() - 1, scores.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(scores - middle, 0).sum() > 1 else (low, middle)
    return np.maximum(scores - low, 0)


def by_row(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda x: np.stack([function(row) for row in x])


def share(values: Array) -> Array:
    return values / values.sum(axis=1, keepdims=True)


def jump(x: Array) -> Array:
    return np.where(x > 0.1, x, 0)


FORMULAS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {  # in training, in evaluation
    "squared_relu": (lambda x: np.maximum(x, 0) ** 2,) * 2,
    "sine": (np.sin,) * 2,
    "snake": (lambda x: x + np.sin(x) ** 2,) * 2,
    "snake:a=3": (lambda x: x + np.sin(3 * x) ** 2 / 3,) * 2,
    "gaussian": (lambda x: np.exp(-(x**2) / 2),) * 2,
    "learned_threshold": (lambda x: x * expit(10 * (x - 0.1)), jump),
    "learned_threshold:threshold=0.3:sharpness=15": (
        lambda x: x * expit(15 * (x - 0.3)),
        lambda x: np.where(x > 0.3, x, 0),
    ),
    "fixed_threshold": (lambda x: x * expit(10 * (x - 0.1)), jump),
    "jump_relu": (jump,) * 2,
    "jump_relu_fixed": (jump,) * 2,
    "layer_softmax": (lambda x: softmax(x, axis=1),) * 2,
    "layer_softmax:temperature=0.5": (lambda x: softmax(x / 0.5, axis=1),) * 2,
    "layer_sparsemax": (by_row(projected),) * 2,
    "power_normalization": (lambda x: share(np.sqrt(np.maximum(x, 0) + 1e-6)),) * 2,
    "power_softmax:temperature=2": (lambda x: np.exp(log_softmax(np.sign(x) * np.sqrt(np.abs(x)) / 2, axis=1)),) * 2,
    "rescaled_relu": (lambda x: share(np.maximum(x, 0)),) * 2,
    "rescaled_relu_100": (lambda x: 100 * share(np.maximum(x, 0)),) * 2,
    "rescaled_jump_relu_100": (lambda x: 100 * share(jump(x)),) * 2,
    "rescaled_jump_relu_fixed": (lambda x: share(jump(x)),) * 2,
    "rescaled_relu_linear": (lambda x: 100 * share(np.maximum(x, 0)),) * 2,
}


@pytest.mark.parametrize("name", FORMULAS)
def test_values_are_those_of_the_formula(name: str) -> None:
    x = draw(3, 40)
    module = make_activation(name).double()
    for training, formula in zip((True, False), FORMULAS[name], strict=True):
        found = module.train(training)(x).detach().numpy()
        np.testing.assert_allclose(found, formula(x.numpy()), rtol=1e-4, atol=1e-6)


def test_there_are_more_than_thirty_and_no_two_are_the_same() -> None:
    assert len(ACTIVATIONS) >= 30
    seen: dict[bytes, str] = {}
    for name in ACTIVATIONS:
        torch.manual_seed(0)
        module = make_activation(name).double()
        set_epoch(module, 2, 4)
        learned = sum(p.numel() for p in module.parameters())
        both = [module.train(mode)(8 * draw(2, 50)).detach().numpy().round(9) for mode in (True, False)]
        key = np.stack(both).tobytes() + bytes([learned])
        assert key not in seen, f"{name} is {seen[key]}"
        seen[key] = name


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_keeps_shape_and_is_finite_far_out(name: str) -> None:
    module = make_activation(name)
    for shape in ((4, 6), (4, 3, 5, 5), (4, 7, 3), (4, 2, 3, 3, 3)):
        x = (20 * draw(*shape)).float().requires_grad_()
        y = module(x)
        y.sum().backward()
        assert y.shape == x.shape
        assert x.grad is not None
        assert bool(torch.isfinite(y).all())
        assert bool(torch.isfinite(x.grad).all())


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_trains_and_learns(name: str) -> None:
    state, metrics = trained(activation=name, lr=3e-3)
    fresh = started(small_config(activation=name, lr=3e-3))
    assert [m.finite for m in metrics] == [True, True]
    assert metrics[-1].quality["train"].loss < 2.35
    for (path, now), (_, then) in zip(state.model.named_parameters(), fresh.model.named_parameters(), strict=True):
        assert not torch.equal(now, then), f"{path} has not moved"


@pytest.mark.parametrize(("name", "total"), SUMMING)
@pytest.mark.parametrize("channels_last", [False, True])
def test_units_of_an_image_sum_to_the_total(name: str, total: float, channels_last: bool) -> None:
    x = draw(5, 6, 7, 7).float()
    x = x.contiguous(memory_format=torch.channels_last) if channels_last else x
    y = make_activation(name)(x)
    torch.testing.assert_close(y.flatten(1).sum(1), torch.full((5,), float(total)), rtol=1e-5, atol=0)
    assert bool((y >= 0).all())


def test_a_layer_without_a_unit_above_zero_is_defined() -> None:
    x = -torch.ones(2, 8)
    assert float(make_activation("rescaled_relu_100")(x).abs().sum()) == 0
    torch.testing.assert_close(make_activation("power_normalization")(x), torch.full((2, 8), 1 / 8))


def test_the_jump_relu_threshold_has_the_published_gradient() -> None:
    """Rajamanoharan et al. 2024, eq. 11: −θ/ε·K((x − θ)/ε) with the rectangle K; here through θ = exp(log θ)."""
    threshold, window = 0.3, 0.1
    module = make_activation(f"jump_relu:threshold={threshold}:window={window}").double()
    x = torch.linspace(0.0005, 0.6005, 601, dtype=torch.float64, requires_grad=True)
    weights = torch.arange(601, dtype=torch.float64)
    (module(x) * weights).sum().backward()
    inside = (x.detach() - threshold).abs() < window / 2
    expected = -(threshold / window) * float(weights[inside].sum())
    assert module.log_threshold.grad is not None
    assert float(module.log_threshold.grad) == pytest.approx(expected * threshold, rel=1e-6)
    torch.testing.assert_close(x.grad, weights * (x.detach() > threshold))


@pytest.mark.parametrize("name", ["layer_softmax", "layer_sparsemax", "power_normalization", "power_softmax"])
def test_sums_are_kept_in_bfloat16(name: str) -> None:
    """A layer of 3,136 units, as the small CNN's first stage has at 28 pixels and 4 channels."""
    torch.manual_seed(0)
    x = torch.randn(8, 3136).bfloat16()
    given = make_activation(name)(x)
    assert given.dtype == torch.bfloat16
    assert given.double().sum(1).sub(1).abs().max() < 2**-8


def test_sparsemax_has_the_published_jacobian() -> None:
    """Martins & Astudillo 2016, eq. 11: diag(s) − s·sᵀ/|S| for the support s."""
    z = draw(12) / 2
    jacobian = torch.autograd.functional.jacobian(lambda v: sparsemax(v, 0), z)
    support = (sparsemax(z, 0) > 0).double()
    assert 1 < int(support.sum()) < 12
    torch.testing.assert_close(jacobian, torch.diag(support) - torch.outer(support, support) / support.sum())


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_sparsemax_is_the_nearest_point_of_the_simplex_along_any_dimension(dim: int) -> None:
    z = 2 * draw(4, 5, 6)
    expected = np.apply_along_axis(projected, dim, z.numpy())
    np.testing.assert_allclose(sparsemax(z, dim).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(
    "name",
    ["layer_softmax", "layer_sparsemax", "power_softmax", "power_normalization", "rescaled_relu", "snake", "gaussian"],
)
def test_gradients_equal_finite_differences(name: str) -> None:
    module = make_activation(name).double()
    assert torch.autograd.gradcheck(module, draw(2, 6).requires_grad_(), eps=1e-8, atol=1e-5)


def test_to_simplex_shifts_and_scales_each_image() -> None:
    images = draw(4, 1, 3, 3)
    images[3] = 0.7  # one value only
    found = to_simplex(images, 100.0).numpy().reshape(4, 9)
    shifted = images.numpy().reshape(4, 9) - images.numpy().reshape(4, 9).min(axis=1, keepdims=True)
    np.testing.assert_allclose(found[:3], 100 * share(shifted[:3]))
    np.testing.assert_allclose(found[3], 100 / 9)


@pytest.mark.parametrize(
    ("name", "totals"),
    [
        ("rescaled_relu_linear", [100, 75.25, 50.5, 25.75, 1]),
        ("rescaled_relu_exponential", [100, 10**1.5, 10, 10**0.5, 1]),
        ("rescaled_relu_cosine", [1 + 99 * (1 + np.cos(np.pi * f)) / 2 for f in (0, 0.25, 0.5, 0.75, 1)]),
        ("rescaled_relu_linear:first=9:last=5", [9, 8, 7, 6, 5]),
    ],
)
def test_the_total_decays_over_the_epochs_and_the_loop_tells_the_epoch(name: str, totals: list[float]) -> None:
    config = small_config(epochs=5, hidden_dims=(8,), activation=name)
    state = started(config)
    epochs = train(config, digits().info, splits(), state)
    found = [float(dict(state.model.named_buffers())["2.total"]) for _ in epochs]
    assert found == pytest.approx(totals, rel=1e-5)


def test_learned_thresholds_are_reported_by_layer_and_epoch() -> None:
    names = ("learned_threshold", "jump_relu", "rescaled_jump_relu_100", "snake", "prelu")
    for name in names:
        state, metrics = trained(activation=name, lr=1e-2)
        assert list(metrics[0].learned) == ["2", "4"]
        assert metrics[0].learned != metrics[1].learned
        assert dict(metrics[1].learned) == learned_values(state.model)
    state, metrics = trained(activation="fixed_threshold")
    assert metrics[1].learned == {}
    module = make_activation("jump_relu:threshold=0.25")
    assert learned_values(torch.nn.Sequential(module))["0"] == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("relu", "relu"),
        ("layer_softmax:temperature=1.0", "layer_softmax"),
        ("layer_softmax:temperature=0.50", "layer_softmax:temperature=0.5"),
        ("learned_threshold:sharpness=15:threshold=0.2", "learned_threshold:threshold=0.2:sharpness=15"),
        ("leaky_relu:negative_slope=0.2", "leaky_relu:negative_slope=0.2"),
    ],
)
def test_one_activation_has_one_spelling(given: str, kept: str) -> None:
    assert canonical(given) == kept
    assert make_config({"activation": given}).activation == kept


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("rellu", "did you mean 'relu'?"),
        ("rellu:a=1", "did you mean 'relu'?"),
        ("relu:slope=1", "it has no options"),
        ("layer_softmax:temprature=1", "did you mean 'temperature'?"),
        ("layer_softmax:temperature=0", "must be greater than 0"),
        ("layer_softmax:temperature=hot", "write temperature=NUMBER"),
        ("layer_softmax:temperature", "write temperature=NUMBER"),
        ("layer_softmax:temperature=nan", "write temperature=NUMBER"),
        ("rrelu:lower=2", "rrelu:lower=2"),
    ],
)
def test_a_wrong_name_or_option_is_an_error_that_says_what_to_do(name: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        make_config({"activation": name})
    assert "\n" not in str(caught.value)
