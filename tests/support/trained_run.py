"""A run with trained networks, made without Ray: its tables and the weights that training would have kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from analysis import table
from analysis.runs.run_folder import RunFolder
from tests.support.made_results import about
from trainables.config import make_config
from trainables.data.arrays import Data
from trainables.data.batches import to_device
from trainables.data.normalization import normalization_of
from trainables.models import module_types
from trainables.training.checkpoint import save_weights, weights_metadata
from trainables.training.loop import TrainingState, start, train
from trainables.training.replicates import metric_values

CPU = torch.device("cpu")
Row = dict[str, Any]


def train_run(path: Path, data: Data, configs: Sequence[Row], **more: Any) -> RunFolder:
    """A run with one trial for each config; every seed is trained, and its best weights are kept."""
    run = RunFolder(path)
    run.trials.mkdir(parents=True)
    rows = [row for number, values in enumerate(configs, 1) for row in _trial(run, data, f"{number:04d}", values)]
    compared = {name: [config.get(name) for config in configs] for name in configs[0]}
    varying = {name: values for name, values in compared.items() if len(set(map(str, values))) > 1}
    table.write(run.trials_table, "trials", rows, about(varying, {}, **more))
    return run


def _trial(run: RunFolder, data: Data, trial_id: str, values: Row) -> list[Row]:
    config = make_config(values)
    normalization = normalization_of(config.normalization, data)
    splits = to_device(data, normalization, CPU)
    rows = []
    for replicate, seed in enumerate(config.seeds):
        state = start(config, seed, data.info, CPU)
        metadata = weights_metadata(config, data, normalization, module_types(state.model), seed)
        for _ in train(config, data.info, splits, state):
            pass
        assert state.best is not None
        assert state.best_weights is not None
        place = run.trial(f"20260101-000000_{config.model}_key{trial_id}").best_model(seed)
        save_weights(place, state.best_weights, metadata, state.best.epoch)
        names = {"sweep": run.sweep, "run_id": run.run_id, "trial_id": trial_id, "trial_key": f"key{trial_id}"}
        rows.append({**names, "replicate": replicate, "seed": seed, **_outcome(config.model_dump(), state)})
    return rows


def _outcome(config: Row, state: TrainingState) -> Row:
    assert state.best is not None
    assert state.last is not None
    measures = dict.fromkeys((name for name, c in table.model_measures().items() if not c.null), math.nan)
    last = {f"final_{name}": value for name, value in metric_values(state.last).items()}
    return {
        "status": "completed", "stop_reason": "trained all epochs", **config, "epochs_trained": state.epoch,
        "best_epoch": state.best.epoch, **metric_values(state.best), **last, "parameters": 1, "macs": 1,
        "train_seconds": 1.0, "eval_seconds": 1.0, "images_per_second": 1.0, "peak_memory_mb": 1.0, "attempts": 1,
        **measures,
    }  # fmt: skip
