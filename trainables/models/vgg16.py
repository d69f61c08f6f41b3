"""VGG-16 (Simonyan & Zisserman 2015) with a global-average-pooling head instead of its three huge layers."""

from __future__ import annotations

from torch import nn

from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo
from trainables.layers.activations import make_activation
from trainables.models._inputs import hidden_head, need_2d, side_of
from trainables.models._stages import Stages

OPTIONS = ("hidden_dims", "dropout")
# A max-pool follows each stage.
CONVOLUTIONS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
HIDDEN_DIMS, DROPOUT = (256,), 0.5


def build(config: TrialConfig, info: DataInfo) -> nn.Module:
    """13 convolutions with torchvision's names and initialisation; head: average, 256 units, dropout 0.5, classes.

    A map of one pixel is not pooled any more, so that images below 32 px work.
    """
    need_2d(config, info)
    layers: list[nn.Module] = []
    channels, side = info.channels, side_of(info)
    for widths in CONVOLUTIONS:
        for width in widths:
            layers += [nn.Conv2d(channels, width, 3, padding=1), make_activation(config.activation)]
            channels = width
        layers.append(nn.MaxPool2d(2) if side >= 2 else nn.Identity())
        side //= 2
    features = nn.Sequential(*layers).apply(_init_like_torchvision)
    head = hidden_head(config, channels, HIDDEN_DIMS, DROPOUT, info.n_classes)
    parts = {"features": features, "pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "classifier": head}
    model = nn.Sequential()
    for name, part in parts.items():
        model.add_module(name, part)
    return model


def _init_like_torchvision(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        assert module.bias is not None
        nn.init.zeros_(module.bias)


def stages(model: nn.Module) -> Stages:
    """List the five stages, each with the max-pool that ends it, and the head."""
    result: Stages = []
    first = 0
    for widths in CONVOLUTIONS:
        last = first + 2 * len(widths) + 1
        result.append(tuple(f"features.{i}" for i in range(first, last)))
        first = last
    return [*result, ("classifier",)]


def imagenet(config: TrialConfig) -> str:
    """Name torchvision's weights; their classifier is left out."""
    return "torchvision:VGG16_Weights.IMAGENET1K_V1"
