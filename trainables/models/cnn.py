"""A plain convolutional network: stages of Conv–BN–activation–pool, then global average pooling."""

from __future__ import annotations

from torch import nn

from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo
from trainables.layers.activations import make_activation
from trainables.models._inputs import need_2d, side_of
from trainables.models._stages import Stages, by_layer

OPTIONS = ("width", "depth", "dropout")
WIDTH, DEPTH = 16, 3


def build(config: TrialConfig, info: DataInfo) -> nn.Module:
    """`depth` stages (default 3); the first has `width` channels (default 16), each next one twice as many."""
    need_2d(config, info)
    layers: list[nn.Module] = []
    channels, side = info.channels, side_of(info)
    for stage in range(config.depth or DEPTH):
        out = (config.width or WIDTH) * 2**stage
        layers += [
            nn.Conv2d(channels, out, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out),
            make_activation(config.activation),
        ]
        # A smaller map is left as it is.
        if side >= 4:
            layers.append(nn.MaxPool2d(2))
            side //= 2
        channels = out
    dropout = nn.Dropout(config.dropout or 0.0)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), dropout, nn.Linear(channels, info.n_classes)]
    return nn.Sequential(nn.Sequential(*layers), nn.Sequential(*head))


def stages(model: nn.Sequential) -> Stages:
    """List each convolution with what follows it, and the classifier."""
    features = model.get_submodule("0")
    assert isinstance(features, nn.Sequential)
    return [*by_layer(features, "0."), ("1",)]
