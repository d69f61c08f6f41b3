"""DenseNet-121 (Huang et al. 2017), torchvision's, with a stem for small images or ImageNet's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo
from trainables.layers.activations import make_activation
from trainables.models._inputs import need_2d
from trainables.models._replace import replace_activations
from trainables.models._stages import Stages
from trainables.models.resnets import stem_of

OPTIONS = ("stem",)
# Below these sides the last of the average pools has nothing left to pool.
LEAST_SIDE = {"small": 8, "imagenet": 29}


class DenseNet(nn.Module):
    """torchvision's features and classifier, with a module where torchvision calls a function: the last activation."""

    def __init__(self, features: nn.Module, activation: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.features, self.activation, self.classifier = features, activation, classifier

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to logits (B, classes)."""
        maps = self.activation(self.features(x))
        logits: Tensor = self.classifier(torch.flatten(maps, 2).mean(2))
        return logits


def build(config: TrialConfig, info: DataInfo) -> nn.Module:
    """Four dense blocks of 6, 12, 24 and 16 layers with growth 32."""
    stem = stem_of(config, info)
    need_2d(config, info, LEAST_SIDE[stem])
    from torchvision.models import densenet121

    source = densenet121(num_classes=info.n_classes)
    if stem == "small":
        source.features.conv0 = nn.Conv2d(info.channels, 64, 3, padding=1, bias=False)
        source.features.pool0 = nn.Identity()
    else:
        source.features.conv0 = nn.Conv2d(info.channels, 64, 7, stride=2, padding=3, bias=False)
    nn.init.kaiming_normal_(source.features.conv0.weight)
    replace_activations(source.features, config.activation)
    return DenseNet(source.features, make_activation(config.activation), source.classifier)


def stages(model: nn.Module) -> Stages:
    """List the stem, each dense block with its transition, and the classifier."""
    blocks = [(f"features.denseblock{i}", f"features.transition{i}") for i in (1, 2, 3)]
    stem = tuple(f"features.{name}0" for name in ("conv", "norm", "relu", "pool"))
    return [stem, *blocks, ("features.denseblock4", "features.norm5", "activation"), ("classifier",)]


def imagenet(config: TrialConfig) -> str:
    """Name torchvision's weights, which need the ImageNet stem."""
    return "torchvision:DenseNet121_Weights.IMAGENET1K_V1"
