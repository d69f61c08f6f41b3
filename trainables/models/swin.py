"""Swin Transformers (Liu et al. 2021), torchvision's: tiny and small."""

from __future__ import annotations

from torch import nn

from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo
from trainables.models._inputs import need_2d
from trainables.models._replace import replace_activations
from trainables.models._stages import Stages, children

NAMES = ("swin_t", "swin_s")
OPTIONS = ()
DEFAULTS = {"activation": "gelu"}
PATCH = 4


def build(config: TrialConfig, info: DataInfo) -> nn.Module:
    """Patches of 4×4, windows of 7×7; maps that windows do not divide are padded. Made for 224, works from 4 px on."""
    need_2d(config, info, PATCH)
    from torchvision import models

    model: nn.Module = getattr(models, config.model)(num_classes=info.n_classes)
    if info.channels != 3:
        model.get_submodule("features.0")[0] = nn.Conv2d(info.channels, 96, PATCH, PATCH)  # type: ignore[operator]
    replace_activations(model, config.activation)
    return model


def stages(model: nn.Module) -> Stages:
    """List the patches, then four stages with a merging of patches between them, and the classifier with its norm."""
    return [*children(model, "features"), ("norm", "head")]


def imagenet(config: TrialConfig) -> str:
    """Name torchvision's weights."""
    return f"torchvision:Swin_{config.model[-1].upper()}_Weights.IMAGENET1K_V1"
