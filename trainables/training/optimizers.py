"""Optimisers, one entry each: its constructor from groups of parameters, its default rate, and its options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn, optim

from trainables.config import TrialConfig
from trainables.errors import InputError, pip_install
from trainables.network.transfer import parameter_groups
from trainables.registries import entry
from trainables.user_code.part_names import arguments_in
from trainables.user_code.signature import Scalar

Groups = list[dict[str, Any]]
# On a CPU torch can step through all values of these in one loop, which is quicker for small networks. It has such an
# SGD, too, which takes no sparse gradients, and an Adagrad, whose checkpoints would not go on on a GPU.
ONE_LOOP: tuple[type[optim.Optimizer], ...] = (optim.Adam, optim.AdamW)
# Arguments that say how a step is computed; torch takes one of them.
HOW = ("foreach", "fused", "capturable", "differentiable")


@dataclass(frozen=True)
class OptimizerEntry:
    """An optimiser: `build(groups, config, **arguments)`.

    lr: torch's own default rate (timm's for lion); options: config fields that it reads beside the common ones.
    kind: what takes the arguments that `optimizer.NAME` sets; given: those that are not set so.
    """

    meaning: str
    build: Callable[..., optim.Optimizer]
    lr: float
    options: tuple[str, ...] = ()
    kind: Callable[..., Any] = lambda: None
    given: tuple[str, ...] = ("params", "lr", "weight_decay")


def _of_torch(meaning: str, kind: Callable[..., optim.Optimizer], lr: float) -> OptimizerEntry:
    """Return the entry of one of torch's optimisers that reads nothing but the common fields."""

    def build(groups: Groups, config: TrialConfig, **arguments: Scalar) -> optim.Optimizer:
        return kind(groups, weight_decay=config.weight_decay, **_how(kind, groups, arguments), **arguments)

    return OptimizerEntry(meaning, build, lr, kind=kind)


def _how(kind: Callable[..., optim.Optimizer], groups: Groups, arguments: Mapping[str, Scalar]) -> dict[str, Any]:
    """Return what makes a step quick, unless the arguments say how it is computed."""
    on_cpu = all(parameter.device.type == "cpu" for group in groups for parameter in group["params"])
    return {"fused": True} if kind in ONE_LOOP and on_cpu and not set(HOW) & set(arguments) else {}


def _sgd(meaning: str, nesterov: bool) -> OptimizerEntry:
    def build(groups: Groups, config: TrialConfig, **arguments: Any) -> optim.Optimizer:
        own: Any = {"momentum": config.momentum, "weight_decay": config.weight_decay, "nesterov": nesterov}
        return optim.SGD(groups, **own, **arguments)

    given = ("params", "lr", "weight_decay", "momentum", "nesterov")
    return OptimizerEntry(meaning, build, 1e-3, ("momentum",), optim.SGD, given)


def _lion(groups: Groups, config: TrialConfig, **arguments: Any) -> optim.Optimizer:
    try:
        from timm.optim import Lion
    except ImportError:
        raise InputError(f"optimizer=lion needs timm: {pip_install('timm')}, or choose another") from None
    optimizer: optim.Optimizer = Lion(groups, weight_decay=config.weight_decay, **arguments)
    return optimizer


OPTIMIZERS: dict[str, OptimizerEntry] = {
    "sgd": _sgd("SGD with momentum", nesterov=False),
    "sgd_nesterov": _sgd("SGD with Nesterov's momentum", nesterov=True),
    "adam": _of_torch("Kingma & Ba 2015", optim.Adam, 1e-3),
    "adamw": _of_torch("Adam, weight decay apart (Loshchilov & Hutter 2019)", optim.AdamW, 1e-3),
    "adamax": _of_torch("Adam by the largest gradient", optim.Adamax, 2e-3),
    "nadam": _of_torch("Adam with Nesterov's momentum", optim.NAdam, 2e-3),
    "radam": _of_torch("Adam, its first steps tamed (Liu et al. 2020)", optim.RAdam, 1e-3),
    "rmsprop": _of_torch("by the running mean square", optim.RMSprop, 1e-2),
    "adagrad": _of_torch("by the sum of squares", optim.Adagrad, 1e-2),
    "muon": OptimizerEntry(
        "orthogonal steps for matrices, AdamW for the rest", lambda g, c: MuonWithAdamW(g, c.weight_decay), 1e-3
    ),
    "lion": OptimizerEntry("by the sign of the momentum (Chen et al. 2023); needs timm", _lion, 1e-4),
}


def make_optimizer(model: nn.Module, config: TrialConfig) -> optim.Optimizer:
    """Build the config's optimiser over the trained parameters; the peak rate of each group is times `lr_scale`.

    Raises `InputError` where the optimiser cannot take the model or its package is missing.
    """
    groups = parameter_groups(model, config)
    for group in groups:
        group["lr"] = group["lr"] * config.lr_scale
    chosen: OptimizerEntry = entry("optimizer", config.optimizer)
    return chosen.build(groups, config, **arguments_in(config, "optimizer"))


class MuonWithAdamW(optim.Optimizer):
    """torch's Muon for the matrices of the hidden layers, AdamW for all else (Jordan et al. 2024).

    Muon takes matrices only: convolutions, biases and the classifier, the last matrix, are AdamW's. Its step has the
    size of AdamW's (`match_rms_adamw`, Liu et al. 2025), so that one rate serves both.
    """

    def __init__(self, groups: Groups, weight_decay: float) -> None:
        hidden = _hidden_matrices([p for group in groups for p in group["params"]])
        if not hidden:
            raise InputError(
                "optimizer=muon needs hidden linear layers, which this model lacks: choose another of either"
            )
        matrices, others = _parted(groups, lambda p: id(p) in hidden), _parted(groups, lambda p: id(p) not in hidden)
        self.parts: list[optim.Optimizer] = [
            optim.Muon(matrices, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"),
            optim.AdamW(others, weight_decay=weight_decay),
        ]
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        self._share()

    def _share(self) -> None:
        """Use the parts' own groups: a schedule that sets a rate here sets it there."""
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step of both."""
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the states of both, in order."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore both states. Raises `ValueError` where the groups are others."""
        for part, saved in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(saved)
        self._share()


def _hidden_matrices(parameters: list[Tensor]) -> set[int]:
    """Return the identities of all matrices but the last, which is the classifier's."""
    matrices = [id(p) for p in parameters if p.ndim == 2]
    return set(matrices[:-1])


def _parted(groups: Groups, belongs: Callable[[Tensor], bool]) -> Groups:
    parts = [{**group, "params": [p for p in group["params"] if belongs(p)]} for group in groups]
    return [part for part in parts if part["params"]]
