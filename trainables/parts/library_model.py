"""Models of timm and torchvision by name, as entries beside the files of `trainables/models/`: 2D, grey or RGB."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

from torch import nn

from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo
from trainables.errors import InputError, pip_install, unknown_name
from trainables.layers.activations import make_activation
from trainables.layers.stochastic_matrices import replace_module
from trainables.models import _timm
from trainables.models._inputs import draw_head, need_2d, side_of
from trainables.models._stages import Stages
from trainables.network.pretrained_weights import IN_WHEELS
from trainables.user_code.errors import user_errors
from trainables.user_code.part_names import LIBRARY, OWN_ACTIVATION, arguments_in
from trainables.user_code.signature import check_arguments

# Classes of modules that are hidden activations in both libraries; gates, which lie in [0, 1], are none.
ACTIVATIONS = frozenset(
    {
        "ReLU", "ReLU6", "LeakyReLU", "PReLU", "ELU", "SELU", "CELU", "GELU", "GELUTanh", "QuickGELU", "SiLU", "Swish",
        "Mish", "Hardswish", "HardSwish", "HardMish",
    }
)  # fmt: skip


# Makes a network with drawn weights for a dataset, with arguments of the library's own.
Maker = Callable[..., nn.Module]


def library_entry(spec: str) -> Any:
    """Return the entry of `timm:NAME` or `torchvision:NAME`. Raises `InputError` for a name that the library lacks."""
    match = LIBRARY.fullmatch(spec)
    assert match is not None
    make, weights = (_of_timm if match["library"] == "timm" else _of_torchvision)(match["name"])
    return SimpleNamespace(
        OPTIONS=(),
        DEFAULTS={"activation": OWN_ACTIVATION},
        build=partial(_build, spec, make),
        stages=stages,
        **({"imagenet": lambda config: weights} if weights else {}),
    )


def _of_timm(name: str) -> tuple[Maker, str]:
    """Return what makes a timm model, and the source of its ImageNet weights."""
    try:
        import timm
    except ImportError:
        raise InputError(f"model timm:{name} needs the package timm: {pip_install('timm')}") from None
    if not timm.is_model(name.partition(".")[0]):
        raise InputError(unknown_name("timm model", name, timm.list_models()))
    known = timm.models.get_pretrained_cfg(name)

    def make(info: DataInfo, **arguments: Any) -> nn.Module:
        size = {"img_size": side_of(info)} if known is not None and known.fixed_input_size else {}
        return _timm.create(name, num_classes=info.n_classes, in_chans=info.channels, **size, **arguments)

    return make, IN_WHEELS.get(name, f"timm:{name}" if known is not None else "")


def _of_torchvision(name: str) -> tuple[Maker, str]:
    """Return what makes a torchvision classifier, and the name of its first ImageNet weights."""
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise InputError(unknown_name("torchvision model", name, known))
    weights = list(models.get_model_weights(name))

    def make(info: DataInfo, **arguments: Any) -> nn.Module:
        size = {"image_size": side_of(info)} if name.startswith("vit_") else {}
        # Both have a second classifier in training, which would make a tuple of the logits.
        aux = {"aux_logits": False} if name in ("googlenet", "inception_v3") else {}
        model: nn.Module = models.get_model(name, weights=None, num_classes=info.n_classes, **size, **aux, **arguments)
        _take_channels(model, info.channels)
        return model

    return make, f"torchvision:{weights[0]}" if weights else ""


def _take_channels(model: nn.Module, channels: int) -> None:
    """Put a first convolution of as many channels as the images have in the place of torchvision's, which takes 3."""
    path, first = next((path, module) for path, module in model.named_modules() if isinstance(module, nn.Conv2d))
    if first.in_channels != channels:
        size: Any = first.kernel_size, first.stride, first.padding, first.dilation, first.groups, first.bias is not None
        replace_module(model, path, nn.Conv2d(channels, first.out_channels, *size))


def _build(spec: str, make: Maker, config: TrialConfig, info: DataInfo) -> nn.Module:
    """Make the network for images of a dataset. Raises `InputError` for an argument that it does not know."""
    need_2d(config, info)
    arguments = arguments_in(config, "model")
    try:
        with user_errors(spec, make), warnings.catch_warnings():
            # googlenet and inception_v3 say that their way to draw weights takes long.
            warnings.simplefilter("ignore")
            model = make(info, **arguments)
    except InputError:
        if arguments:
            check_arguments(spec, type(_build_bare(make, info)), arguments, (), "model.")
        raise
    for path in head_of(model):
        if isinstance(model.get_submodule(path), nn.Linear):
            draw_head(model, path)
    if config.activation != OWN_ACTIVATION:
        for path, module in list(model.named_modules()):
            if type(module).__name__ in ACTIVATIONS:
                replace_module(model, path, make_activation(config.activation))
    return model


def _build_bare(make: Maker, info: DataInfo) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(info)


def head_of(model: nn.Module) -> tuple[str, ...]:
    """Return the paths of the classifier: as timm names it, else the last linear layer or convolution."""
    named = getattr(model, "default_cfg", {}).get("classifier")
    if named:
        return (named,) if isinstance(named, str) else tuple(named)
    return ([path for path, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1],)


def stages(model: nn.Module) -> Stages:
    """List what has parameters from input to classifier: the children of sequences one by one, the classifier last."""
    head = head_of(model)
    loose = tuple(name for name, _ in model.named_parameters(recurse=False))
    parts = [part for name, child in model.named_children() for part in _split(name, child, head)]
    return [*([loose] if loose else []), *parts, head]


def _split(path: str, module: nn.Module, head: tuple[str, ...]) -> Stages:
    if path in head or next(module.parameters(), None) is None:
        return []
    holds_head = any(part.startswith(f"{path}.") for part in head)
    if not holds_head and not isinstance(module, nn.Sequential | nn.ModuleList):
        return [(path,)]
    if holds_head:
        return [part for name, child in module.named_children() for part in _split(f"{path}.{name}", child, head)]
    return [
        (f"{path}.{name}",) for name, child in module.named_children() if next(child.parameters(), None) is not None
    ]
