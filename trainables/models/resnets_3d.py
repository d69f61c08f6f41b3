"""ResNet-18 and -50 for volumes, with 3D, 2.5D or ACS convolutions (as in MedMNIST's 3D baselines)."""

from __future__ import annotations

from torch import nn

from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo
from trainables.models._inputs import need_3d
from trainables.models._resnet import Design, ResNet, stages
from trainables.models.resnets import BLOCKS, WIDTHS, stem_of

NAMES = ("resnet18_3d", "resnet50_3d")
OPTIONS = ("stem", "conv3d")

__all__ = ["NAMES", "OPTIONS", "build", "imagenet", "stages"]


def build(config: TrialConfig, info: DataInfo) -> nn.Module:
    """Build the 2D network with its convolutions replaced; 2.5D and ACS have as many parameters as in 2D."""
    need_3d(config, info)
    flat = config.model.removesuffix("_3d")
    design = Design(config.conv3d, stem_of(config, info), flat == "resnet50", BLOCKS[flat], WIDTHS, config.activation)
    return ResNet(design, info.channels, info.n_classes)


def imagenet(config: TrialConfig) -> str:
    """Name the 2D network's weights: unchanged for 2.5D and ACS, inflated for 3D. They need the ImageNet stem."""
    return f"torchvision:ResNet{config.model[6:8]}_Weights.IMAGENET1K_V1"
