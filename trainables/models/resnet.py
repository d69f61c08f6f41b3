"""A residual network of any depth for small images (He et al. 2016, section 4.2), and the same without its skips."""

from __future__ import annotations

from torch import nn

from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo
from trainables.models._inputs import need_2d
from trainables.models._resnet import Design, ResNet, stages

OPTIONS = ("blocks", "width", "skips")
BLOCKS, WIDTH = 3, 16

__all__ = ["OPTIONS", "build", "stages"]


def build(config: TrialConfig, info: DataInfo) -> nn.Module:
    """Three stages of `blocks` blocks (3) and `width` (16), 2·width, 4·width channels: 6·blocks + 2 weighted layers.

    blocks 3, 9, 18 are the paper's ResNet-20, -56, -110, but that shortcuts between widths are 1×1 convolutions.
    With `skips` off it is the paper's plain network of the same depth.
    """
    need_2d(config, info)
    width, blocks = config.width or WIDTH, config.blocks or BLOCKS
    widths = (width, 2 * width, 4 * width)
    design = Design("2d", "small", False, (blocks,) * 3, widths, config.activation, config.skips)
    return ResNet(design, info.channels, info.n_classes)
