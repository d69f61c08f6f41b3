"""Vision Transformer, base, patches of 16×16 (Dosovitskiy et al. 2021), torchvision's."""

from __future__ import annotations

from functools import cache
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import pad

from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo
from trainables.models._inputs import need_2d
from trainables.models._replace import replace_activations
from trainables.models._stages import Stages, children

OPTIONS = ()
DEFAULTS = {"activation": "gelu"}
PATCH = 16


@cache
def _padding_transformer() -> Any:
    """Return torchvision's class, padded for sides that 16 does not divide.

    Made late: importing torchvision takes seconds.
    """
    from torchvision.models.vision_transformer import VisionTransformer

    class PaddingTransformer(VisionTransformer):
        def forward(self, x: Tensor) -> Tensor:
            bottom, right = self.image_size - x.shape[-2], self.image_size - x.shape[-1]
            logits: Tensor = super().forward(pad(x, (0, right, 0, bottom)))
            return logits

    return PaddingTransformer


def build(config: TrialConfig, info: DataInfo) -> nn.Module:
    """12 layers of width 768 with 12 heads. Zeros (the mean, normalised) fill the last patches: 28 becomes 32."""
    need_2d(config, info)
    side = -(-max(info.shape[:2]) // PATCH) * PATCH
    model: nn.Module = _padding_transformer()(side, PATCH, 12, 12, 768, 3072, num_classes=info.n_classes)
    if info.channels != 3:
        model.conv_proj = nn.Conv2d(info.channels, 768, PATCH, PATCH)
    replace_activations(model, config.activation)
    return model


def stages(model: nn.Module) -> Stages:
    """List the patches with positions, the 12 layers, and the classifier with its norm."""
    first = ("conv_proj", "class_token", "encoder.pos_embedding")
    return [first, *children(model, "encoder.layers"), ("encoder.ln", "heads")]


def imagenet(config: TrialConfig) -> str:
    """Name torchvision's weights; their positions are interpolated to the images' size."""
    return "torchvision:ViT_B_16_Weights.IMAGENET1K_V1"
