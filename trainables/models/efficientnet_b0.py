"""EfficientNet-B0 (Tan & Le 2019), torchvision's."""

from __future__ import annotations

from torch import nn

from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo
from trainables.models._inputs import draw_head, need_2d
from trainables.models._replace import replace_activations
from trainables.models._stages import Stages, children

OPTIONS = ("dropout",)
DEFAULTS = {"activation": "silu"}
DROPOUT = 0.2


def build(config: TrialConfig, info: DataInfo) -> nn.Module:
    """Build it for images of any size; made for 224. Dropout before the classifier is 0.2 unless given."""
    need_2d(config, info)
    from torchvision.models import efficientnet_b0

    dropout = DROPOUT if config.dropout is None else config.dropout
    model: nn.Module = efficientnet_b0(num_classes=info.n_classes, dropout=dropout)
    if info.channels != 3:
        first = nn.Conv2d(info.channels, 32, 3, stride=2, padding=1, bias=False)
        nn.init.kaiming_normal_(first.weight, mode="fan_out")
        model.get_submodule("features.0")[0] = first  # type: ignore[operator]
    draw_head(model, "classifier.1")
    replace_activations(model, config.activation)
    return model


def stages(model: nn.Module) -> Stages:
    """List the nine parts of `features`, and the classifier."""
    return [*children(model, "features"), ("classifier",)]


def imagenet(config: TrialConfig) -> str:
    """Name torchvision's weights."""
    return "torchvision:EfficientNet_B0_Weights.IMAGENET1K_V1"
