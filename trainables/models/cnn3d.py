"""A 3D convolutional network: stages of Conv3d–BN–activation–max-pool, then a fully connected layer with dropout."""

from __future__ import annotations

from torch import nn

from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo
from trainables.layers.activations import make_activation
from trainables.models._inputs import hidden_head, need_3d, side_of
from trainables.models._stages import Stages, by_layer

OPTIONS = ("width", "depth", "hidden_dims", "dropout")
WIDTH, DEPTH, HIDDEN_DIMS, DROPOUT = 16, 3, (128,), 0.5


def build(config: TrialConfig, info: DataInfo) -> nn.Module:
    """`depth` stages (default 3) of `width` (16), twice, four times ... channels; head 128 with dropout 0.5.

    A global average pool stands before the head, so that its size does not depend on the images'.
    """
    need_3d(config, info)
    layers: list[nn.Module] = []
    channels, side = info.channels, side_of(info)
    for stage in range(config.depth or DEPTH):
        out = (config.width or WIDTH) * 2**stage
        layers += [nn.Conv3d(channels, out, 3, padding=1, bias=False), nn.BatchNorm3d(out)]
        layers += [make_activation(config.activation)]
        if side >= 2:
            layers.append(nn.MaxPool3d(2))
            side //= 2
        channels = out
    head = hidden_head(config, channels, HIDDEN_DIMS, DROPOUT, info.n_classes)
    return nn.Sequential(nn.Sequential(*layers), nn.AdaptiveAvgPool3d(1), nn.Flatten(), head)


def stages(model: nn.Sequential) -> Stages:
    """List each convolution with what follows it, and the head."""
    features = model.get_submodule("0")
    assert isinstance(features, nn.Sequential)
    return [*by_layer(features, "0."), ("3",)]
