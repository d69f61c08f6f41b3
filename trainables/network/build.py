"""The whole network of a config: its model with pretrained weights, stochastic layers and frozen stages, as it asks."""

from __future__ import annotations

from torch import nn

from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo
from trainables.models import build_plain
from trainables.network.stochastic_layers import apply_stochastic
from trainables.network.transfer import freeze, load_backbone


def build_model(config: TrialConfig, info: DataInfo) -> nn.Module:
    """Build the config's model for a dataset, weights freshly drawn.

    Raises `InputError` where it cannot take the images.
    """
    return apply_stochastic(build_plain(config, info), config)


def initial_model(config: TrialConfig, info: DataInfo) -> nn.Module:
    """Build the config's model with pretrained weights, which go in before stochastic layers rename what they wrap."""
    model = build_plain(config, info)
    if config.transfer != "scratch":
        load_backbone(model, config)
    model = apply_stochastic(model, config)
    freeze(model, config)
    return model
