"""Activation functions, one entry each: a name and what builds the module. Shapes pass through unchanged."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class SquaredReLU(nn.Module):
    """max(x, 0)² (So et al. 2021, "Primer")."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x).square()


class Sine(nn.Module):
    """sin(x) (Sitzmann et al. 2020, with ω₀ = 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(x)


class Snake(nn.Module):
    """x + sin²(a·x) / a with a learned a, starting at 1 (Ziyin et al. 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.sin(self.a * x).square() / self.a


class Gaussian(nn.Module):
    """exp(-x² / 2) (Ramasinghe & Lucey 2022)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.exp(-0.5 * x.square())


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "rrelu": nn.RReLU,
    "relu6": nn.ReLU6,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "celu": lambda: nn.CELU(alpha=0.5),  # alpha 1 would be elu
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "hardswish": nn.Hardswish,
    "hardsigmoid": nn.Hardsigmoid,
    "hardtanh": nn.Hardtanh,
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
}


def make_activation(name: str) -> nn.Module:
    """A new module of the named activation; learned parameters are not shared between layers."""
    return ACTIVATIONS[name]()
