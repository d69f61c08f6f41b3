"""A multilayer perceptron on the flattened image, 2D or 3D."""

from __future__ import annotations

from math import prod

from torch import nn

from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo
from trainables.models._inputs import hidden_head
from trainables.models._stages import Stages, by_layer

OPTIONS = ("hidden_dims", "dropout")
HIDDEN_DIMS = (256, 128)


def build(config: TrialConfig, info: DataInfo) -> nn.Module:
    """Build linear, activation and dropout for each hidden width (256, 128 by default), then a linear classifier."""
    layers = hidden_head(config, prod(info.shape), HIDDEN_DIMS, dropout=0.0, classes=info.n_classes)
    return nn.Sequential(nn.Flatten(), *layers.children())


def stages(model: nn.Sequential) -> Stages:
    """List the linear layers."""
    # The first stage holds only Flatten.
    return by_layer(model)[1:]
