"""The 3D network of the weight-complexity study: one convolution."""

from __future__ import annotations

from torch import nn

from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo
from trainables.layers.activations import make_activation
from trainables.models._inputs import need_3d
from trainables.models._stages import Stages

OPTIONS = ("width",)
WIDTH = 32


def build(config: TrialConfig, info: DataInfo) -> nn.Module:
    """Build Conv3d of `width` channels (32; 3×3×3, padded), BatchNorm, activation, average pool, linear classifier."""
    need_3d(config, info)
    width = config.width or WIDTH
    convolution = nn.Conv3d(info.channels, width, 3, padding=1)
    features = [convolution, nn.BatchNorm3d(width), make_activation(config.activation)]
    head = [nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(width, info.n_classes)]
    return nn.Sequential(nn.Sequential(*features), nn.Sequential(*head))


def stages(model: nn.Sequential) -> Stages:
    """Name the convolution and the classifier."""
    return [("0",), ("1",)]
