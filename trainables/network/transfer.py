"""Training from pretrained weights: they are copied into the backbone, and a part of it may be frozen.

| strategy | pretrained backbone | head |
| --- | --- | --- |
| `scratch` | none: all weights are drawn | drawn, trained |
| `frozen` | frozen | drawn, trained |
| `partial:N` | its last N stages are trained, the others are frozen | drawn, trained |
| `full` | trained | drawn, trained |

A frozen stage computes as in evaluation: BatchNorm uses its stored statistics and does not update them, dropout and
stochastic depth are off.
"""

from __future__ import annotations

from functools import lru_cache
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from trainables.config import TrialConfig
from trainables.config_checks import MODEL_OPTIONS
from trainables.data.arrays import DataInfo
from trainables.errors import InputError
from trainables.layers.activations import hidden_activations
from trainables.models import build_plain, planning_device
from trainables.network.pretrained_weights import adapt_shape, find_weights, read_weights
from trainables.registries import entry
from trainables.user_code.part_names import field_of, is_own

Stages = list[tuple[str, ...]]


def stages_of(model: nn.Module, config: TrialConfig) -> Stages:
    """Return the model's parts from input to classifier, each as paths of modules or parameters, the head last."""
    family = entry("model", config.model)
    if not hasattr(family, "stages"):
        where = "in its class" if is_own("model", config.model) else "in its file"
        raise InputError(f"model {config.model!r} has no stages, which transfer needs: write stages() {where}")
    stages: Stages = family.stages(model)
    return stages


def load_backbone(model: nn.Module, config: TrialConfig) -> None:
    """Copy the weights of all stages but the head, in place.

    What only another activation learns may be missing. Raises `InputError` where the weights are another model's.
    """
    given = read_weights(config)
    state = model.state_dict()
    head = stages_of(model, config)[-1]
    backbone = [name for name in state if not is_inside(name, head)]
    optional = _optional(model)
    missing = [name for name in backbone if name not in given and not is_inside(name, optional)]
    if missing:
        raise InputError(
            f"weights={config.weights}: {len(missing)} of the {len(backbone)} tensors of {config.model}'s backbone are "
            f"missing, such as {missing[0]}: choose the model that these weights are of"
        )
    with torch.no_grad():
        for name in (name for name in backbone if name in given):
            state[name].copy_(adapt_shape(given[name], state[name].shape, name, config))


def check_weights(config: TrialConfig, info: DataInfo) -> None:
    """Open the config's pretrained weights and try them on its model without allocating it, before anything starts.

    Raises `InputError` where they are missing, cannot be read or do not fit.
    """
    path = find_weights(config)
    if path is not None:
        built = {name: getattr(config, name) for name in ("model", "activation", "weights", *MODEL_OPTIONS)}
        built |= {name: value for name, value in (config.model_extra or {}).items() if field_of(name) in built}
        _try_weights(TrialConfig.model_construct(transfer="full", **built), info, path.stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _try_weights(config: TrialConfig, info: DataInfo, changed: int) -> None:
    """Try weights on a model, on the meta device where it is ours.

    changed: the file's time, so that another one at the same path is tried.
    """
    with planning_device(config):
        model = build_plain(config, info)
    load_backbone(model, config)


def _optional(model: nn.Module) -> tuple[str, ...]:
    """Return the tensors that a pretrained file may lack: parameters of activations, and BatchNorm's step counters."""
    counters = (name for name in model.state_dict() if name.endswith("num_batches_tracked"))
    return (*(path for path, _ in hidden_activations(model)), *counters)


def freeze(model: nn.Module, config: TrialConfig) -> None:
    """Freeze the backbone's stages but the last N of `partial:N`, in place; none for `scratch` and `full`."""
    for path in frozen_paths(model, config):
        _freeze_path(model, path)


def frozen_paths(model: nn.Module, config: TrialConfig) -> tuple[str, ...]:
    """Return the paths that `freeze` freezes. Raises `InputError` where the backbone has too few stages to train."""
    if config.transfer in ("scratch", "full"):
        return ()
    backbone = stages_of(model, config)[:-1]
    trained = int(config.transfer.partition(":")[2] or 0)
    if trained > len(backbone):
        raise InputError(f"transfer={config.transfer}: {config.model} has {len(backbone)} stages beside its head")
    return tuple(path for stage in backbone[: len(backbone) - trained] for path in stage)


def is_inside(name: str, paths: tuple[str, ...]) -> bool:
    """Tell whether a module, parameter or buffer is one of these paths or lies inside one."""
    return any(name == path or name.startswith(f"{path}.") for path in paths)


def _freeze_path(model: nn.Module, path: str) -> None:
    parent, _, name = path.rpartition(".")
    part: Any = getattr(model.get_submodule(parent), name)
    part.requires_grad_(False)
    if isinstance(part, nn.Module):
        # Set in the module itself, so that it holds whoever calls model.train(); copies of the model keep it.
        part.train = MethodType(_stay_in_evaluation, part)  # type: ignore[method-assign]
        part.train()


def _stay_in_evaluation(module: nn.Module, mode: bool = True) -> nn.Module:
    return nn.Module.train(module, False)


def parameter_groups(model: nn.Module, config: TrialConfig) -> list[dict[str, Any]]:
    """Group the trained parameters for an optimiser: the head at `lr`, the backbone at `lr × backbone_lr_scale`.

    One group where both rates are the same. The head comes first, since the first group's rate is the one reported.
    """
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if config.backbone_lr_scale == 1:
        return [{"params": list(trained.values()), "lr": config.lr}]
    head = stages_of(model, config)[-1]
    parts: dict[bool, list[Tensor]] = {True: [], False: []}
    for name, parameter in trained.items():
        parts[is_inside(name, head)].append(parameter)
    rates = {True: config.lr, False: config.lr * config.backbone_lr_scale}
    return [{"params": parts[is_head], "lr": rates[is_head]} for is_head in (True, False)]
