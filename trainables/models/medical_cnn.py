"""A frozen pretrained EfficientNet-Lite0 with a small head of 0.2 million parameters."""

from __future__ import annotations

from torch import nn

from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo
from trainables.models import efficientnet_lite0
from trainables.models._inputs import hidden_head
from trainables.models.efficientnet_lite0 import imagenet, stages

OPTIONS = ("hidden_dims", "dropout")
DEFAULTS = {"activation": "relu6", "transfer": "frozen"}
HIDDEN_DIMS, DROPOUT = (160,), 0.2

__all__ = ["DEFAULTS", "OPTIONS", "build", "imagenet", "stages"]


def build(config: TrialConfig, info: DataInfo) -> nn.Module:
    """Build the backbone, global average pool, fully connected 160, dropout 0.2, classes.

    Needs the extra `transfer`.
    """
    model = efficientnet_lite0.build(config.model_copy(update={"dropout": 0.0}), info)
    inputs = model.get_submodule("classifier").in_features
    assert isinstance(inputs, int)
    model.classifier = hidden_head(config, inputs, HIDDEN_DIMS, DROPOUT, info.n_classes)
    return model
