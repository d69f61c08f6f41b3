"""Where the names are that a config field may hold: each field's table, imported when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

# field -> the table that lists what it may be; by name, so that neither this file nor `trainables/config.py` is heavy
REGISTRIES: dict[str, str] = {
    "model": "trainables.models:MODELS",
    "activation": "trainables.layers.activations:ACTIVATIONS",
    "stochastic": "trainables.network.stochastic_layers:STOCHASTIC_LAYERS",
    "optimizer": "trainables.training.optimizers:OPTIMIZERS",
    "schedule": "trainables.training.schedules:SCHEDULES",
    "loss": "trainables.metrics.losses:LOSSES",
    "normalization": "trainables.data.normalization:NORMALIZATIONS",
}


def registry(field: str) -> Mapping[str, Any]:
    """The table of names that a config field may hold."""
    module, name = REGISTRIES[field].split(":")
    table: Mapping[str, Any] = getattr(import_module(module), name)
    return table
