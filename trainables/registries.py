"""The names that a config field may hold, in tables imported when they are asked for; and other names of fields.

A part of a user's own, FILE.py:NAME, stands wherever a name of a table does: `entry` makes one of the same kind of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from trainables.user_code.part_names import is_own

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

# Field -> the function that makes an entry of its table from a user's own part.
ADAPTERS: dict[str, str] = {
    "model": "trainables.parts.model:entry_of",
    "activation": "trainables.parts.activation:entry_of",
    "stochastic": "trainables.parts.stochastic:entry_of",
    "optimizer": "trainables.parts.optimizer:entry_of",
    "schedule": "trainables.parts.schedule:entry_of",
    "loss": "trainables.parts.loss:entry_of",
    "augmentation": "trainables.parts.augmentation:entry_of",
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
    table: Mapping[str, Any] = _named(REGISTRIES[field])
    return table


def entry(field: str, value: str) -> Any:
    """Return the entry of a field's table, or one of the same kind that is made of a user's own part.

    Raises `InputError` where the user's code cannot be found, imported or used.
    """
    return _named(ADAPTERS[field])(value) if is_own(field, value) else registry(field)[value]


def _named(path: str) -> Any:
    module, name = path.split(":")
    return getattr(import_module(module), name)
