"""ResNet-18, -34 and -50 (He et al. 2016) for 2D images, with a stem for small images or ImageNet's."""

from __future__ import annotations

from torch import nn

from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo
from trainables.models._inputs import need_2d, side_of
from trainables.models._resnet import Design, ResNet, stages

NAMES = ("resnet18", "resnet34", "resnet50")
OPTIONS = ("stem",)
BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}
WIDTHS = (64, 128, 256, 512)
# Pixels; MedMNIST's baselines take the small stem at 28 and ImageNet's at 224.
SMALL_BELOW = 64

__all__ = ["NAMES", "OPTIONS", "build", "imagenet", "stages"]


def stem_of(config: TrialConfig, info: DataInfo) -> str:
    """Return the stem that a config names, else the one for the images' size."""
    return config.stem or ("small" if side_of(info) < SMALL_BELOW else "imagenet")


def build(config: TrialConfig, info: DataInfo) -> nn.Module:
    """Build widths 64 to 512.

    resnet50 has bottlenecks with the stride in their 3×3 convolution (torchvision's v1.5).
    """
    need_2d(config, info)
    bottleneck = config.model == "resnet50"
    design = Design("2d", stem_of(config, info), bottleneck, BLOCKS[config.model], WIDTHS, config.activation)
    return ResNet(design, info.channels, info.n_classes)


def imagenet(config: TrialConfig) -> str:
    """Name torchvision's first weights, which need the ImageNet stem."""
    return f"torchvision:ResNet{config.model.removeprefix('resnet')}_Weights.IMAGENET1K_V1"
