"""The 2D network of the weight-complexity study, which is that of MedMNIST's "getting started" notebook."""

from __future__ import annotations

from torch import nn

from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo
from trainables.layers.activations import make_activation
from trainables.models._inputs import hidden_head, need_2d
from trainables.models._stages import Stages

OPTIONS = ("dropout",)
FULLY_CONNECTED = (128, 128)
LEAST_SIDE = 16


def build(config: TrialConfig, info: DataInfo) -> nn.Module:
    """3×3 convolutions: 16, 16, pool, 64, 64, 64 (the last padded), pool, each with BatchNorm; then 128, 128, classes.

    Made for 28×28, where the fully connected part has 64×4×4 inputs; other sizes, from 16 px on, change only that.
    """
    need_2d(config, info, LEAST_SIDE)
    layers = [
        _layer(config, info.channels, 16),
        _layer(config, 16, 16, pool=True),
        _layer(config, 16, 64),
        _layer(config, 64, 64),
        _layer(config, 64, 64, padding=1, pool=True),
    ]
    height, width = (((side - 4) // 2 - 4) // 2 for side in info.shape[:2])
    fc = hidden_head(config, 64 * height * width, FULLY_CONNECTED, dropout=0.0, classes=info.n_classes)
    return nn.Sequential(*layers, nn.Flatten(), fc)


def _layer(config: TrialConfig, channels: int, out: int, padding: int = 0, pool: bool = False) -> nn.Sequential:
    layers = [nn.Conv2d(channels, out, 3, padding=padding), nn.BatchNorm2d(out), make_activation(config.activation)]
    return nn.Sequential(*layers, *([nn.MaxPool2d(2)] if pool else []))


def stages(model: nn.Sequential) -> Stages:
    """List the five convolutions, and the fully connected part."""
    return [("0",), ("1",), ("2",), ("3",), ("4",), ("6",)]
