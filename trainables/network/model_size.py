"""Parameters and multiply–accumulates of a model, known before it is trained."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from trainables.config import TrialConfig, make_config
from trainables.data.arrays import DataInfo
from trainables.errors import InputError
from trainables.models import planning_device
from trainables.models._inputs import side_of
from trainables.network.build import build_model
from trainables.network.transfer import freeze
from trainables.registries import registry
from trainables.user_code.errors import user_errors
from trainables.user_code.in_use import source_of
from trainables.user_code.part_names import field_of, is_own, specs_in
from trainables.user_code.source import first_line


@dataclass(frozen=True)
class ModelSize:
    """The size of a network, and the work for one image.

    parameters: learned values. trained: those that training changes, fewer where a part is frozen. macs:
    multiply–accumulates of convolutions and matrix products for one image.
    """

    parameters: int
    trained: int
    macs: int


# Only the training reads these fields: trials that differ in nothing else have one network.
TRAINING_FIELDS = frozenset(
    {
        "dataset", "normalization", "data_fraction", "augmentation", "sampling", "backbone_lr_scale", "kl_weight",
        "label_noise", "optimizer", "lr", "lr_scale", "momentum", "weight_decay", "schedule", "loss",
        "focal_gamma", "class_weights", "label_smoothing", "batch_size", "epochs", "accumulate", "clip_norm", "ema",
        "patience", "min_delta", "early_stopping_metric", "precision", "channels_last", "compile", "profile",
        "eval_train_every", "save_every", "seeds", "dropout",
    }
)  # fmt: skip
NETWORK_FIELDS = tuple(name for name in TrialConfig.model_fields if name not in TRAINING_FIELDS)


def model_size(config: TrialConfig, info: DataInfo) -> ModelSize:
    """Return the size of a config's network for images of a dataset, counted once for each network.

    Raises `InputError` where the network cannot be built.
    """
    key = network_key(config, info)
    if key not in _SIZES:
        _SIZES[key] = _count(config, info)
    return _SIZES[key]


def network_key(config: TrialConfig, info: DataInfo) -> Hashable:
    """Return what two configs share whose networks differ by their weights alone."""
    # Only the presence of a dropout matters: rates drawn at random have one network.
    values = tuple(getattr(config, name) for name in NETWORK_FIELDS)
    own = tuple(sorted((n, v) for n, v in (config.model_extra or {}).items() if field_of(n) in NETWORK_FIELDS))
    code = tuple(source_of(spec).digest for field, spec in specs_in(vars(config)).items() if field in NETWORK_FIELDS)
    return values, own, code, config.dropout and 0.5, info.shape, info.n_classes, info.task


_SIZES: dict[Hashable, ModelSize] = {}


def _count(config: TrialConfig, info: DataInfo) -> ModelSize:
    """Count on the meta device: nothing is allocated, nothing is computed, no weights are read."""
    from torch.utils.flop_counter import FlopCounterMode

    with planning_device(config), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model = build_model(config, info).eval()
        logits = _passed(model, config, info)
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if shape != (1, info.n_classes):
        raise InputError(
            f"model {config.model!r} makes {shape} of one image, {info.name} needs logits of shape (1, "
            f"{info.n_classes}): end it in a linear layer of `classes` outputs"
        )
    freeze(model, config)
    parameters = list(model.parameters())
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    return ModelSize(sum(p.numel() for p in parameters), trained, counter.get_total_flops() // 2)


def _passed(model: nn.Module, config: TrialConfig, info: DataInfo) -> Any:
    """Pass one image through a network. Raises `InputError` where a network that is not ours cannot take it."""
    image = torch.zeros(1, info.channels, *info.shape[:-1])
    if not any(is_own(field, getattr(config, field)) for field in ("model", "activation", "stochastic")):
        return model(image)
    with user_errors(config.model, type(model), f"on images of {'x'.join(map(str, info.shape[:-1]))} px"):
        try:
            return model(image)
        except (RuntimeError, ValueError) as error:
            larger = _larger_side(config, info)
            if larger is None:
                raise
            raise InputError(
                f"model {config.model!r} cannot take images of {side_of(info)} px ({first_line(error)}): choose "
                f"image_size={larger} or larger"
            ) from None


# Sides in pixels that are tried to say which images a network can take.
SIDES = (32, 64, 96, 128, 224)


def _larger_side(config: TrialConfig, info: DataInfo) -> int | None:
    """Return the least of `SIDES`, larger than the images', that a network can take."""
    for side in SIDES:
        larger = replace(info, shape=(*(side,) * (len(info.shape) - 1), info.channels))
        with suppress(Exception):
            if side > side_of(info):
                build_model(config, larger).eval()(torch.zeros(1, info.channels, *larger.shape[:-1]))
                return side
    return None


@dataclass(frozen=True)
class ActivationSize:
    """The number of values that one image fills.

    kept: the outputs of all layers, which training holds for the backward pass. largest: inputs and outputs of the
    layer with the most, which is what an evaluation holds.
    """

    kept: int
    largest: int


def activation_size(model: nn.Module, image: Tensor) -> ActivationSize:
    """Pass one image (1, C, [D,] H, W) through a model in evaluation mode.

    Functions that are no modules are not counted.
    """
    kept, largest = 0, image.numel()

    def see(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal kept, largest
        given, made = (sum(t.numel() for t in tensors if isinstance(t, Tensor)) for tensors in (inputs, _flat(output)))
        largest = max(largest, given + made)
        kept += 0 if any(True for _ in module.children()) else made

    model.eval()
    handles = [module.register_forward_hook(see) for module in model.modules()]
    try:
        with torch.no_grad():
            # Call forward and not the model, which is compiled where torch.compile is asked for.
            model.forward(image)
    finally:
        for handle in handles:
            handle.remove()
    return ActivationSize(kept, largest)


def _flat(output: Any) -> tuple[Any, ...]:
    return tuple(output) if isinstance(output, tuple | list) else (output,)


def planned_activation_size(config: TrialConfig, info: DataInfo) -> ActivationSize:
    """Return the activation size of a config's model, on the meta device: nothing is allocated."""
    with planning_device(config):
        return activation_size(build_model(config, info), torch.zeros(1, info.channels, *info.shape[:-1]))


def model_sizes(side: int = 28, channels: int = 1, classes: int = 10) -> dict[str, ModelSize | str]:
    """Return the size of every model with its own options, for square images, or cubes where it takes volumes.

    Where a model cannot take such images, or its package is missing, the reason stands in the size's place.
    """
    sizes: dict[str, ModelSize | str] = {}
    for name in registry("model"):
        config = make_config({"model": name, "transfer": "scratch"})
        for axes in (2, 3):
            info = DataInfo("this", "multi-class", tuple(map(str, range(classes))), (*(side,) * axes, channels))
            try:
                sizes[name] = model_size(config, info)
                break
            except InputError as error:
                sizes.setdefault(name, str(error))
    return sizes
