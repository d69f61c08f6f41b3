"""Xception (Chollet 2017): timm's port of the original, 22.9 million parameters, made for 299×299."""

from __future__ import annotations

from torch import nn

from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo
from trainables.models._inputs import need_2d
from trainables.models._replace import replace_activations
from trainables.models._stages import Stages
from trainables.models._timm import create

OPTIONS = ("dropout",)
LEAST_SIDE = 7


def build(config: TrialConfig, info: DataInfo) -> nn.Module:
    """Depthwise separable convolutions in 12 blocks. Needs the extra `timm`."""
    need_2d(config, info, LEAST_SIDE)
    model = create(
        "legacy_xception", num_classes=info.n_classes, in_chans=info.channels, drop_rate=config.dropout or 0.0
    )
    replace_activations(model, config.activation)
    return model


def stages(model: nn.Module) -> Stages:
    """List the stem, 12 blocks, the two last convolutions, and the classifier."""
    first, last = (("conv1", "bn1", "act1", "conv2", "bn2", "act2"), ("conv3", "bn3", "act3", "conv4", "bn4", "act4"))
    return [first, *((f"block{i}",) for i in range(1, 13)), last, ("fc",)]


def imagenet(config: TrialConfig) -> str:
    """Name timm's weights, ported from Keras; made for inputs normalised by mean 0.5 and standard deviation 0.5."""
    return "timm:legacy_xception"
