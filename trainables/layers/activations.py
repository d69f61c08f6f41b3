"""Activation functions, one entry each: a name and what builds the module. Shapes pass through unchanged.

A name may carry options: `layer_softmax:temperature=0.5`, `learned_threshold:threshold=0.2:sharpness=15`. They are the
numeric parameters of what builds the module.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from trainables.errors import InputError, unknown_name
from trainables.layers.elementwise_activations import (
    FixedJumpReLU,
    FixedThreshold,
    Gaussian,
    JumpReLU,
    LearnedThreshold,
    Sine,
    Snake,
    SquaredReLU,
)
from trainables.layers.layerwise_activations import (
    DecayingReLU,
    LayerSoftmax,
    LayerSparsemax,
    PowerNormalization,
    PowerSoftmax,
    RescaledFixedJumpReLU,
    RescaledJumpReLU,
    RescaledReLU,
)
from trainables.registries import entry
from trainables.user_code.part_names import is_own
from trainables.user_code.signature import Scalar


class _Variant(partial[nn.Module]):
    """Builds a module with other defaults; `meaning` is what the list of activations shows."""

    meaning: str


def _variant(meaning: str, kind: Callable[..., nn.Module], *values: str, **options: float | str) -> _Variant:
    build = _Variant(kind, *values, **options)
    build.meaning = meaning
    return build


ACTIVATIONS: dict[str, Callable[..., nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "rrelu": nn.RReLU,
    "relu6": nn.ReLU6,
    "elu": nn.ELU,
    "selu": nn.SELU,
    # With alpha 1 it would be elu.
    "celu": _variant("ELU with a continuous slope, alpha 0.5.", nn.CELU, alpha=0.5),
    "gelu": nn.GELU,
    "gelu_tanh": _variant("GELU by its tanh approximation.", nn.GELU, approximate="tanh"),
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "hardswish": nn.Hardswish,
    "hardsigmoid": nn.Hardsigmoid,
    "hardtanh": nn.Hardtanh,
    "hardshrink": nn.Hardshrink,
    "softplus": nn.Softplus,
    "softsign": nn.Softsign,
    "sigmoid": nn.Sigmoid,
    "logsigmoid": nn.LogSigmoid,
    "tanh": nn.Tanh,
    "tanhshrink": nn.Tanhshrink,
    "softshrink": nn.Softshrink,
    "squared_relu": SquaredReLU,
    "sine": Sine,
    "snake": Snake,
    "gaussian": Gaussian,
    "identity": nn.Identity,
    # a unit is passed on where it exceeds a threshold
    "learned_threshold": LearnedThreshold,
    "fixed_threshold": FixedThreshold,
    "jump_relu": JumpReLU,
    "jump_relu_fixed": FixedJumpReLU,
    # all units of the layer together: they sum to a constant
    "layer_softmax": LayerSoftmax,
    "layer_sparsemax": LayerSparsemax,
    "power_normalization": PowerNormalization,
    "power_softmax": PowerSoftmax,
    "rescaled_relu": RescaledReLU,
    "rescaled_relu_100": _variant("As rescaled_relu, but the sum is 100.", RescaledReLU, total=100.0),
    "rescaled_jump_relu": RescaledJumpReLU,
    "rescaled_jump_relu_fixed": RescaledFixedJumpReLU,
    "rescaled_jump_relu_100": _variant("As rescaled_jump_relu, but the sum is 100.", RescaledJumpReLU, total=100.0),
    "rescaled_jump_relu_fixed_100": _variant(
        "As rescaled_jump_relu_fixed, but the sum is 100.", RescaledFixedJumpReLU, total=100.0
    ),
    # the constant falls from 100 to 1 over the epochs
    "rescaled_relu_linear": _variant("A rescaled ReLU, its sum falling on a line.", DecayingReLU, "linear"),
    "rescaled_relu_exponential": _variant(
        "A rescaled ReLU, its sum falling by a constant factor.", DecayingReLU, "exponential"
    ),
    "rescaled_relu_cosine": _variant("A rescaled ReLU, its sum falling on half a cosine.", DecayingReLU, "cosine"),
}


def make_activation(name: str) -> nn.Module:
    """Return a new module of the named activation, with its options; layers share no learned parameters."""
    base, options = _parse(name)
    module: nn.Module = entry("activation", base)(**options)
    setattr(module, _MARK, True)
    return module


def with_arguments(name: str, arguments: Mapping[str, Scalar]) -> str:
    """Return the name of a user's activation with its arguments, as `make_activation` reads it."""
    return f"{name}?{json.dumps(dict(arguments))}" if arguments else name


_MARK = "is_hidden_activation"


def is_hidden_activation(module: nn.Module) -> bool:
    """Tell whether `make_activation` made the module."""
    return bool(getattr(module, _MARK, False))


def hidden_activations(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield path and module of every activation that `make_activation` made, in the order of registration."""
    return ((path, module) for path, module in model.named_modules() if is_hidden_activation(module))


def canonical(name: str) -> str:
    """Return one spelling for one activation: options in the order of their definition, defaults left out.

    Raises `InputError` that names the unknown name, option or value.
    """
    base, options = _parse(name)
    defaults = numeric_options(base)
    try:
        make_activation(name)(torch.zeros(2, 4))
    except (ValueError, RuntimeError) as error:
        raise InputError(f"activation {name!r}: {str(error).splitlines()[0]}") from None
    given = [f"{key}={options[key]:g}" for key, value in defaults.items() if options.get(key, value) != value]
    return ":".join((base, *given))


def numeric_options(base: str) -> dict[str, float]:
    """Return the options of an activation with their defaults: the parameters whose default is a number."""
    parameters = inspect.signature(ACTIVATIONS[base]).parameters.values()
    return {p.name: p.default for p in parameters if type(p.default) is float}


def _parse(name: str) -> tuple[str, dict[str, Any]]:
    own, _, arguments = name.partition("?")
    if is_own("activation", own):
        return own, json.loads(arguments or "{}")
    base, *parts = name.split(":")
    if base not in ACTIVATIONS:
        raise InputError(unknown_name("activation", base, ACTIVATIONS))
    return base, dict(_option(name, part, numeric_options(base)) for part in parts)


def _option(name: str, text: str, known: dict[str, float]) -> tuple[str, float]:
    key, equals, value = text.partition("=")
    if not known:
        raise InputError(f"activation {name!r}: it has no options; leave out {text!r}")
    if key not in known:
        raise InputError(f"activation {name!r}: {unknown_name('option', key, known)}")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not (equals and math.isfinite(number)):
        raise InputError(f"activation {name!r}: write {key}=NUMBER, such as {key}={known[key]:g}")
    return key, number


def learned_values(model: nn.Module) -> dict[str, float]:
    """Return what activations and random layers have learned, by layer: thresholds, slopes, drop probabilities.

    A layer with several (a PReLU with one slope a channel) gives their mean. One transfer from the device.
    """
    values = {path: value for path, module in model.named_modules() if (value := _learned_value(module)) is not None}
    return dict(zip(values, torch.stack(list(values.values())).tolist(), strict=True)) if values else {}


def _learned_value(module: nn.Module) -> Tensor | None:
    if isinstance(module, nn.PReLU):
        return module.weight.detach().float().mean()
    value = getattr(module, "learned_value", None)
    return None if value is None else value().detach().float()


def set_epoch(model: nn.Module, epoch: int, epochs: int) -> None:
    """Set the epoch, counted from 1, in the modules whose function changes over the epochs."""
    for module in model.modules():
        if isinstance(module, DecayingReLU):
            module.set_epoch(epoch, epochs)
