"""The two meanings of "stochastic layer", named apart, one entry each, and the function that puts one in a model.

*Stochastic matrices* map the probability simplex to itself and are not random. *Random layers* draw random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from torch import nn

from trainables.config import TrialConfig
from trainables.errors import InputError
from trainables.layers.activations import hidden_activations
from trainables.layers.random_layers import (
    AdditiveNoise,
    BernoulliUnits,
    DropBlock,
    GumbelSoftmax,
    MultiplicativeNoise,
    ThresholdUnits,
    random_layers,
)
from trainables.layers.random_weights import BayesianLayer, ConcreteDropout, DropConnect, WeightLayer
from trainables.layers.stochastic_matrices import replace_module, use_stochastic_matrices
from trainables.models._resnet import Block
from trainables.network.transfer import frozen_paths, is_inside
from trainables.registries import entry

STRENGTH, TEMPERATURE, KL = "stochastic_strength", "stochastic_temperature", "kl_weight"
Transform = Callable[[nn.Module, TrialConfig], nn.Module]


@dataclass(frozen=True)
class StochasticLayer:
    """A stochastic layer: its kind and meaning, its change of a model, and the config fields that it reads.

    strength: its default; below: the strength must be less.
    """

    kind: Literal["none", "stochastic matrix", "random layer"]
    meaning: str
    transform: Transform
    options: tuple[str, ...] = ()
    strength: float | None = None
    below: float = math.inf


def _matrices(columns: str) -> Transform:
    return lambda model, config: use_stochastic_matrices(
        model, columns, strength_of(config), config.stochastic_temperature
    )


def behind_activations(make: Callable[[TrialConfig], nn.Module]) -> Transform:
    """Return the change of a model that puts a module behind each hidden activation."""

    def transform(model: nn.Module, config: TrialConfig) -> nn.Module:
        activations = list(hidden_activations(model))
        _need(len(activations), config, "hidden activation")
        for path, activation in activations:
            replace_module(model, path, nn.Sequential(activation, make(config)))
        return model

    return transform


def _around_weights(make: Callable[[WeightLayer, TrialConfig], nn.Module]) -> Transform:
    def transform(model: nn.Module, config: TrialConfig) -> nn.Module:
        layers = _weight_layers(model)
        _need(len(layers), config, "linear layer or convolution")
        for path, layer in layers:
            replace_module(model, path, make(layer, config))
        return model

    return transform


def _weight_layers(model: nn.Module) -> list[tuple[str, WeightLayer]]:
    """Return plain linear layers and convolutions.

    Those inside attention are read by it, not called, and stay unchanged.
    """
    attention = tuple(f"{path}." for path, module in model.named_modules() if isinstance(module, nn.MultiheadAttention))
    return [
        (path, module)
        for path, module in model.named_modules()
        if isinstance(module, WeightLayer) and type(module) in PLAIN and not path.startswith(attention)
    ]


# Plain classes only: a subclass may do more than its weights say.
PLAIN = (nn.Linear, nn.Conv2d, nn.Conv3d)


def _drop_block(model: nn.Module, config: TrialConfig) -> nn.Module:
    _need(sum(isinstance(module, nn.Conv2d | nn.Conv3d) for module in model.modules()), config, "feature map")
    return behind_activations(lambda c: DropBlock(strength_of(c)))(model, config)


def _gumbel_softmax(model: nn.Module, config: TrialConfig) -> nn.Module:
    if any(isinstance(module, nn.LayerNorm) for module in model.modules()):
        raise InputError(
            f"stochastic=gumbel_softmax groups units along dimension 1, where {config.model!r} has none: "
            "choose a convolutional model or mlp"
        )
    return behind_activations(lambda c: GumbelSoftmax(c.stochastic_temperature))(model, config)


def _stochastic_depth(model: nn.Module, config: TrialConfig) -> nn.Module:
    """Drop residual branches for single images, the l-th of L at l/L of the rate (Huang et al. 2016, eq. 4)."""
    from torchvision.ops import StochasticDepth

    branches = list(_branches(model))
    _need(len(branches), config, "residual branch")
    for number, (path, last) in enumerate(branches, start=1):
        drop = StochasticDepth(strength_of(config) * number / len(branches), "row")
        replace_module(model, path, drop if last is None else nn.Sequential(last, drop))
    return model


def _branches(model: nn.Module) -> Iterator[tuple[str, nn.Module | None]]:
    """Yield the path at which each residual branch ends, and the module there; None for a placeholder of libraries."""
    from torchvision.ops import StochasticDepth

    for path, module in model.named_modules():
        # torchvision's placeholder and timm's.
        if isinstance(module, StochasticDepth) or path.endswith(".drop_path"):
            yield path, None
        elif isinstance(module, Block) and module.skips:
            last = f"bn{module.layers}"
            yield f"{path}.{last}", module.get_submodule(last)


def _need(matches: int, config: TrialConfig, what: str) -> None:
    if not matches:
        raise InputError(
            f"stochastic={config.stochastic}: model {config.model!r} has no {what}: choose another of either"
        )


RANDOM: Final = "random layer"
MATRIX: Final = "stochastic matrix"

STOCHASTIC_LAYERS: dict[str, StochasticLayer] = {
    "none": StochasticLayer("none", "no stochastic layer", lambda model, config: model),
    "softmax_matrix": StochasticLayer(
        MATRIX, "columns softmax(V/T); input on the simplex, times strength", _matrices("softmax"),
        (STRENGTH, TEMPERATURE), strength=100.0,
    ),
    "sparsemax_matrix": StochasticLayer(
        MATRIX, "columns sparsemax(V/T); input on the simplex, times strength", _matrices("sparsemax"),
        (STRENGTH, TEMPERATURE), strength=100.0,
    ),
    "additive_noise": StochasticLayer(
        RANDOM, "Gaussian noise of this deviation added behind each activation",
        behind_activations(lambda c: AdditiveNoise(strength_of(c))), (STRENGTH,), strength=0.1,
    ),
    "multiplicative_noise": StochasticLayer(
        RANDOM, "factor 1 + Gaussian noise of this deviation behind each activation",
        behind_activations(lambda c: MultiplicativeNoise(strength_of(c))), (STRENGTH,), strength=0.2,
    ),
    "dropout": StochasticLayer(
        RANDOM, "units dropped behind each activation at this rate",
        behind_activations(lambda c: nn.Dropout(strength_of(c))), (STRENGTH,), strength=0.2, below=1,
    ),
    "drop_connect": StochasticLayer(
        RANDOM, "weights dropped at this rate",
        _around_weights(lambda layer, c: DropConnect(layer, strength_of(c))), (STRENGTH,), strength=0.2, below=1,
    ),
    "drop_block": StochasticLayer(
        RANDOM, "squares of feature maps dropped behind each activation at this rate", _drop_block, (STRENGTH,),
        strength=0.1, below=1,
    ),
    "stochastic_depth": StochasticLayer(
        RANDOM, "residual branches dropped, the last at this rate", _stochastic_depth, (STRENGTH,),
        strength=0.2, below=1,
    ),
    "bernoulli_units": StochasticLayer(
        RANDOM, "0 or 1 with probability sigmoid(x/T) behind each activation, straight-through",
        behind_activations(lambda c: BernoulliUnits(c.stochastic_temperature)), (TEMPERATURE,),
    ),
    "threshold_units": StochasticLayer(
        RANDOM, "0 or 1 behind each activation by a random threshold of this deviation, straight-through",
        behind_activations(lambda c: ThresholdUnits(strength_of(c))), (STRENGTH,), strength=1.0,
    ),
    "gumbel_softmax": StochasticLayer(
        RANDOM, "one of 8 units behind each activation, straight-through at temperature T", _gumbel_softmax,
        (TEMPERATURE,),
    ),
    "concrete_dropout": StochasticLayer(
        RANDOM, "dropout before each weight layer at a learned rate; prior of this length scale",
        _around_weights(lambda layer, c: ConcreteDropout(layer, strength_of(c))), (STRENGTH, KL), strength=0.01,
    ),
    "bayes_by_backprop": StochasticLayer(
        RANDOM, "Gaussian weights, local reparameterisation; prior of this deviation",
        _around_weights(lambda layer, c: BayesianLayer(layer, strength_of(c))), (STRENGTH, KL), strength=0.1,
    ),
}  # fmt: skip


def strength_of(config: TrialConfig) -> float:
    """Return the strength of the config's stochastic layer, which has one."""
    strength = config.stochastic_strength
    assert strength is not None
    return strength


def apply_stochastic(model: nn.Module, config: TrialConfig) -> nn.Module:
    """Put the config's stochastic layers into a model; it is changed in place, and for matrices wrapped as well.

    Raises `InputError` where the model has no place for them, where all of them would be frozen, and where there is no
    random layer that an evaluation could sample.
    """
    before = {id(module) for module in model.modules()}
    model = entry("stochastic", config.stochastic).transform(model, config)
    _refuse_idle(model, config, before)
    if config.evaluation_samples and not random_layers(model):
        raise InputError(f"evaluation_samples={config.evaluation_samples}: the model has no random layer: leave it out")
    return model


def _refuse_idle(model: nn.Module, config: TrialConfig, before: set[int]) -> None:
    """Raise `InputError` where all random layers lie in frozen stages, which draw nothing."""
    added = {id(module) for module in random_layers(model)} - before
    frozen = frozen_paths(model, config)
    if added and all(is_inside(path, frozen) for path, module in model.named_modules() if id(module) in added):
        raise InputError(
            f"stochastic={config.stochastic} has no effect with transfer={config.transfer}: all its places in "
            f"{config.model!r} are frozen; choose transfer=full, partial:N of more stages, or another of either"
        )
