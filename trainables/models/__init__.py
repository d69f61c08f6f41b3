"""The models: every file here is one model, or a family that lists its `NAMES`.

A model file holds `OPTIONS` (the config fields that it reads beside `activation`) and
`build(config, info) -> nn.Module`, which maps (B, C, [D,] H, W) to logits (B, classes), takes every hidden activation
from `make_activation(config.activation)` and refuses images that it cannot take (`_inputs.need_2d`). It may hold

- `DEFAULTS`: the values that config fields take where they are left out, such as the model's own activation;
- `stages(model)`: its parts from input to classifier, each a tuple of paths of modules or parameters; the last one is
  the head. Transfer needs it: `trainables.network.transfer` freezes by stage and never loads the head;
- `imagenet(config)`: the source of its ImageNet weights, as `trainables.network.pretrained_weights` names it.

Files are light to import: torchvision and timm are imported where a model is built. The first convolution takes as many
channels as the images have; nothing is repeated.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

import torch
from torch import nn

from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo
from trainables.errors import InputError
from trainables.layers.activations import hidden_activations, with_arguments
from trainables.registries import entry
from trainables.user_code.part_names import arguments_in, is_own


def _find_models() -> dict[str, ModuleType]:
    modules = [import_module(f"{__name__}.{entry.name}") for entry in iter_modules(__path__) if entry.name[0] != "_"]
    return {name: module for module in modules for name in getattr(module, "NAMES", [module.__name__.split(".")[-1]])}


MODELS: dict[str, ModuleType] = _find_models()


def build_plain(config: TrialConfig, info: DataInfo) -> nn.Module:
    """Build a config's model without its stochastic layers: pretrained weights fit it."""
    chosen = entry("model", config.model)
    named = with_arguments(config.activation, arguments_in(config, "activation"))
    model: nn.Module = chosen.build(config.model_copy(update={"activation": named}), info)
    own = getattr(chosen, "DEFAULTS", {}).get("activation", TrialConfig.model_fields["activation"].default)
    if config.activation != own and next(hidden_activations(model), None) is None:
        how = (
            "choose activation=own, or let its signature ask for `activation` and call that for each hidden layer"
            if is_own("model", config.model)
            else "its file must build hidden activations with make_activation(config.activation)"
        )
        raise InputError(f"activation={config.activation} has no effect on model {config.model!r}: {how}")
    return model


def planning_device(config: TrialConfig) -> torch.device:
    """Return the device on which a network is built to be looked at: nothing is allocated unless its code is not ours.

    A user's code may read values while it builds, which the meta device does not have.
    """
    own = any(is_own(field, getattr(config, field)) for field in ("model", "activation", "stochastic"))
    return torch.device("cpu" if own else "meta")


def module_types(model: nn.Module) -> dict[str, str]:
    """The type of the module that owns each parameter: `{"features.0.weight": "Conv2d", ...}`."""
    return {
        f"{path}.{name}" if path else name: type(module).__name__
        for path, module in model.named_modules()
        for name, _ in module.named_parameters(recurse=False)
    }
