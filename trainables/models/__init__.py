"""The models: every file here is one model, or a family that lists its `NAMES`.

A model file holds `OPTIONS` (the config fields that it reads beside `activation`) and
`build(config, info) -> nn.Module`, which maps (B, C, [D,] H, W) to logits (B, classes).
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from torch import nn

from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo


def _find_models() -> dict[str, ModuleType]:
    modules = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__) if found.name[0] != "_"]
    return {name: module for module in modules for name in getattr(module, "NAMES", [module.__name__.split(".")[-1]])}


MODELS: dict[str, ModuleType] = _find_models()


def build_model(config: TrialConfig, info: DataInfo) -> nn.Module:
    """The config's model for a dataset, with freshly drawn weights."""
    model: nn.Module = MODELS[config.model].build(config, info)
    return model


def module_types(model: nn.Module) -> dict[str, str]:
    """The type of the module that owns each parameter: `{"features.0.weight": "Conv2d", ...}`."""
    return {
        f"{path}.{name}" if path else name: type(module).__name__
        for path, module in model.named_modules()
        for name, _ in module.named_parameters(recurse=False)
    }
