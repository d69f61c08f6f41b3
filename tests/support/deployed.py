"""Networks that are ready to be exported, without a run: weights as they are drawn, predictions of a few images."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from analysis.evaluation.predictions import predict_split
from deployment.model.image_statistics import training_deciles
from deployment.model.metadata import ModelMetadata
from deployment.trial_network.network import DeployedNetwork
from trainables.config import make_config
from trainables.data.arrays import MULTI_LABEL, Data, Task, make_data
from trainables.data.normalization import normalization_of
from trainables.network.build import build_model
from trainables.network.trained import TrainedModel


def made_data(shape: tuple[int, ...], task: Task = "binary-class", classes: int = 2, count: int = 70) -> Data:
    """Noise with labels of a task; images of a shape, channels last."""
    rng = np.random.default_rng(2)
    splits = {}
    for name in ("train", "val", "test"):
        labels = rng.integers(0, 2, (count, classes)) if task == MULTI_LABEL else np.arange(count) % classes
        splits[name] = (rng.integers(0, 256, (count, *shape), np.uint8), labels)
    return make_data("made", task, tuple(f"class {n}" for n in range(classes)), splits)


def drawn_network(
    data: Data,
    fields: dict[str, object],
    input_kind: Literal["normalized", "raw"] = "normalized",
    model: nn.Module | None = None,
) -> DeployedNetwork:
    """A network of a config, or any module in its place, with drawn weights and its predictions."""
    config = make_config({"dataset": "digits", "transfer": "scratch", **fields})
    torch.manual_seed(3)
    network = build_model(config, data.info) if model is None else model
    normalization = normalization_of(config.normalization, data)
    trained = TrainedModel(network.eval(), config, data.info, normalization, 0, 1, data.digest, Path("none"))
    val, test = (predict_split(trained, data, split, "cpu") for split in ("val", "test"))
    metadata = ModelMetadata(
        run="made/run", trial="0001", seed=0, epoch=1, model=config.model, dataset=data.info.name,
        dataset_digest=data.digest, task=data.info.task, class_names=data.info.class_names,
        image_shape=data.info.shape, mean=normalization.mean, std=normalization.std, input=input_kind,
        temperature=1.5, conformal_threshold=0.2, coverage=0.9,
        training_deciles=training_deciles(data.splits["train"].images),
    )  # fmt: skip
    return DeployedNetwork(trained, data, val, test, metadata)
