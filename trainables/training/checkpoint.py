"""Weights and checkpoints on disk: written beside and renamed, read without running code."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor
from torch.optim import Optimizer

from trainables.atomic_files import replaced, write_atomically
from trainables.config import TrialConfig
from trainables.data.arrays import Data
from trainables.data.normalization import Normalization
from trainables.errors import InputError
from trainables.training.evaluation import Quality
from trainables.training.loop import EpochMetrics, TrainingState, start
from trainables.trial_key import config_json
from trainables.user_code.in_use import source_of
from trainables.user_code.part_names import specs_in
from trainables.user_code.source import is_user_code


def weights_metadata(
    config: TrialConfig, data: Data, normalization: Normalization, types: Mapping[str, str], seed: int
) -> dict[str, str]:
    """Return the metadata of weights, so that they can be used without the run's folder. safetensors holds strings."""
    specs = {*specs_in(vars(config)).values(), *([config.dataset] if is_user_code(config.dataset) else [])}
    code = {spec: source_of(spec).digest for spec in sorted(specs)}
    return {
        "config": config_json(config),
        "seed": str(seed),
        "dataset_digest": data.digest,
        "task": data.info.task,
        "class_names": json.dumps(data.info.class_names),
        "image_shape": json.dumps(data.info.shape),
        "normalization": json.dumps(asdict(normalization)),
        "module_types": json.dumps(types),
        **({"code": json.dumps(code)} if code else {}),
    }


def save_weights(path: Path, weights: Mapping[str, Tensor], metadata: Mapping[str, str], epoch: int) -> None:
    """Write a state dict as safetensors, with its metadata and the epoch it is from."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    write_atomically(path, save(contiguous, {**metadata, "epoch": str(epoch)}), durable=False)


def save_checkpoint(path: Path, states: list[TrainingState]) -> None:
    """Write all replicates of a trial to one file: weights, optimiser, schedule, epoch and best so far."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path, durable=False) as beside:
        torch.save({"replicates": [_state_to_dict(state) for state in states]}, beside)


def load_checkpoint(path: Path, config: TrialConfig, data: Data, device: torch.device) -> list[TrainingState]:
    """Read the replicates of a trial. Raises `InputError` where the file is damaged or of another trial."""
    try:
        content = torch.load(path, map_location=device, weights_only=True)
        return [_state_from_dict(saved, config, data, device) for saved in content["replicates"]]
    except (OSError, EOFError, KeyError, RuntimeError, ValueError, TypeError, pickle.UnpicklingError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"checkpoint {path} cannot be used ({reason})") from None


def load_donor_state(states: list[TrainingState], donors: list[TrainingState]) -> None:
    """Give replicates the weights and the optimiser's state of those with the same seeds in another trial.

    The hyperparameters, the best so far and the patience stay the replicate's own.
    """
    by_seed = {donor.seed: donor for donor in donors}
    for state in states:
        donor = by_seed[state.seed]
        state.model.load_state_dict(donor.model.state_dict())
        state.learner.load_state_dict(donor.learner.state_dict())
        _load_optimizer(state.optimizer, donor.optimizer.state_dict())
        state.schedule.load_state_dict(donor.schedule.state_dict())
        state.scaler.load_state_dict(donor.scaler.state_dict())
        state.epoch = donor.epoch


def _load_optimizer(optimizer: Optimizer, saved: Mapping[str, Any]) -> None:
    """Load an optimiser's state, but keep its hyperparameters: those of the config, not the saved ones."""
    own = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(dict(saved))
    for group, values in zip(optimizer.param_groups, own, strict=True):
        group.update(values)


def _state_to_dict(state: TrainingState) -> dict[str, Any]:
    return {
        "seed": state.seed,
        "epoch": state.epoch,
        "model": state.model.state_dict(),
        "learner": None if state.learner is state.model else state.learner.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "schedule": state.schedule.state_dict(),
        "patience": state.patience.state_dict(),
        "scaler": state.scaler.state_dict(),
        "last": asdict(state.last) if state.last else None,
        "best": asdict(state.best) if state.best else None,
        "best_weights": state.best_weights,
    }


def _state_from_dict(saved: dict[str, Any], config: TrialConfig, data: Data, device: torch.device) -> TrainingState:
    state = start(config, saved["seed"], data.info, device)
    state.model.load_state_dict(saved["model"])
    if saved["learner"]:
        state.learner.load_state_dict(saved["learner"])
    _load_optimizer(state.optimizer, saved["optimizer"])
    state.schedule.load_state_dict(saved["schedule"])
    state.patience.load_state_dict(saved["patience"])
    state.scaler.load_state_dict(saved["scaler"])
    state.epoch, state.best_weights = saved["epoch"], saved["best_weights"]
    state.last, state.best = _metrics_from_dict(saved["last"]), _metrics_from_dict(saved["best"])
    return state


def _metrics_from_dict(saved: dict[str, Any] | None) -> EpochMetrics | None:
    if saved is None:
        return None
    quality = {split: Quality(**values) for split, values in saved["quality"].items()}
    return EpochMetrics(**{**saved, "quality": quality})
