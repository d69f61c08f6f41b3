"""Parameters and multiply–accumulates of a model, known before it is trained."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo
from trainables.models import build_model
from trainables.transfer import freeze


@dataclass(frozen=True)
class ModelSize:
    """parameters: learned values; trained: those of them that training changes, fewer where a part is frozen;
    macs: multiply–accumulates of convolutions and matrix products for one image."""

    parameters: int
    trained: int
    macs: int


def model_size(config: TrialConfig, info: DataInfo) -> ModelSize:
    """Counted on the meta device: nothing is allocated, nothing is computed, no weights are read."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model = build_model(config, info).eval()
        model(torch.zeros(1, info.channels, *info.shape[:-1]))
    freeze(model, config)
    parameters = list(model.parameters())
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    return ModelSize(sum(p.numel() for p in parameters), trained, counter.get_total_flops() // 2)
