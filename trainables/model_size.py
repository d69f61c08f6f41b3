"""Parameters and multiply–accumulates of a model, known before it is trained."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo
from trainables.models import build_model


@dataclass(frozen=True)
class ModelSize:
    """parameters: learned values; macs: multiply–accumulates of convolutions and matrix products for one image."""

    parameters: int
    macs: int


def model_size(config: TrialConfig, info: DataInfo) -> ModelSize:
    """Counted on the meta device: nothing is allocated, nothing is computed."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model = build_model(config, info).eval()
        model(torch.zeros(1, info.channels, *info.shape[:-1]))
    return ModelSize(sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2)
