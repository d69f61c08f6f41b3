"""The names that a config field may hold, in tables imported when they are asked for; and other names of fields."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

# Field -> the table that lists what it may be; by name, so that neither this file nor `trainables/config.py` is heavy.
REGISTRIES: dict[str, str] = {
    "model": "trainables.models:MODELS",
    "activation": "trainables.layers.activations:ACTIVATIONS",
    "stochastic": "trainables.network.stochastic_layers:STOCHASTIC_LAYERS",
    "optimizer": "trainables.training.optimizers:OPTIMIZERS",
    "schedule": "trainables.training.schedules:SCHEDULES",
    "loss": "trainables.metrics.losses:LOSSES",
    "normalization": "trainables.data.normalization:NORMALIZATIONS",
}

# Other programs' names of fields, and ours.
ALSO_KNOWN_AS = {
    "learning_rate": "lr", "learningrate": "lr", "lerning_rate": "lr", "eta": "lr", "step_size": "lr", "max_lr": "lr",
    "wd": "weight_decay", "l2": "weight_decay", "decay": "weight_decay", "bs": "batch_size", "batch": "batch_size",
    "num_epochs": "epochs", "n_epochs": "epochs", "max_epochs": "epochs", "seed": "seeds", "random_state": "seeds",
    "arch": "model", "architecture": "model", "network": "model", "backbone": "model", "act": "activation",
    "nonlinearity": "activation", "opt": "optimizer", "optim": "optimizer", "optimiser": "optimizer",
    "scheduler": "schedule", "lr_schedule": "schedule", "lr_scheduler": "schedule", "criterion": "loss",
    "objective": "loss", "data": "dataset", "img_size": "image_size", "resolution": "image_size", "size": "image_size",
    "hidden": "hidden_dims", "hidden_sizes": "hidden_dims", "hidden_size": "hidden_dims", "layers": "depth",
    "num_layers": "depth", "dropout_rate": "dropout", "p_dropout": "dropout", "grad_clip": "clip_norm",
    "gradient_clip_val": "clip_norm", "max_grad_norm": "clip_norm", "smoothing": "label_smoothing",
    "early_stopping": "patience", "amp": "precision", "dtype": "precision", "pretrained": "weights",
    "augment": "augmentation", "aug": "augmentation", "gamma": "focal_gamma", "beta1": "momentum",
    "gradient_accumulation_steps": "accumulate", "accumulate_grad_batches": "accumulate", "fraction": "data_fraction",
}  # fmt: skip


def registry(field: str) -> Mapping[str, Any]:
    """Return the table of names that a config field may hold."""
    module, name = REGISTRIES[field].split(":")
    table: Mapping[str, Any] = getattr(import_module(module), name)
    return table
