"""A multilayer perceptron on the flattened image."""

from __future__ import annotations

from math import prod

from torch import nn

from trainables.activations import make_activation
from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo

OPTIONS = ("hidden_dims", "dropout")
HIDDEN_DIMS = (256, 128)


def build(config: TrialConfig, info: DataInfo) -> nn.Module:
    """Linear, activation and dropout for each hidden width (256, 128 by default), then a linear classifier."""
    layers: list[nn.Module] = [nn.Flatten()]
    width = prod(info.shape)
    for hidden in config.hidden_dims or HIDDEN_DIMS:
        layers += [nn.Linear(width, hidden), make_activation(config.activation)]
        layers += [nn.Dropout(config.dropout)] if config.dropout else []
        width = hidden
    return nn.Sequential(*layers, nn.Linear(width, info.n_classes))
