"""A convolutional network of windows that do not overlap: 2×2 convolutions of stride 2, then a linear classifier.

Every pixel enters each layer once, so its layers can be stochastic matrices (`stochastic=softmax_matrix`).
"""

from __future__ import annotations

from math import prod

from torch import nn

from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo
from trainables.errors import InputError
from trainables.layers.activations import make_activation
from trainables.models._stages import Stages, by_layer

OPTIONS = ("width", "depth", "dropout")
WIDTH, DEPTH = 16, 2


def build(config: TrialConfig, info: DataInfo) -> nn.Module:
    """Build `depth` stages (default 2), 2D or 3D, of `width` channels (default 16), each next one twice as many.

    No BatchNorm and no pooling. Raises `InputError` where a stage would leave a rest of the image over.
    """
    depth, out = config.depth or DEPTH, config.width or WIDTH
    sides = info.shape[:-1]
    if any(side % 2**depth for side in sides):
        raise InputError(
            f"model 'patch_cnn': {sides} cannot be halved {depth} times without rest: choose a smaller depth"
        )
    convolution = nn.Conv3d if info.is_3d else nn.Conv2d
    layers: list[nn.Module] = []
    channels = info.channels
    for _ in range(depth):
        layers += [convolution(channels, out, kernel_size=2, stride=2), make_activation(config.activation)]
        channels, out = out, 2 * out
    units = channels * prod(side // 2**depth for side in sides)
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(config.dropout or 0.0), nn.Linear(units, info.n_classes))


def stages(model: nn.Sequential) -> Stages:
    """List the convolutions and the classifier."""
    return by_layer(model)
