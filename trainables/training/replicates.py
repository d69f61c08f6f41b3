"""One trial trains one model for each replicate seed, epoch by epoch in step, and reports their mean and spread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import isnan
from typing import Any

from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo
from trainables.data.batches import DeviceSplit
from trainables.metric_names import QUALITIES, SPLITS, quality_names
from trainables.training.gradients import total_norm
from trainables.training.loop import EpochMetrics, TrainingState, train

METRICS = tuple(quality_names())


# An epoch's metrics of each replicate; None for one that has ended.
Trained = Iterator[list[EpochMetrics | None]]
Way = Callable[[TrialConfig, DataInfo, Mapping[str, DeviceSplit], list[TrainingState]], Trained]


def one_by_one(
    config: TrialConfig, info: DataInfo, data: Mapping[str, DeviceSplit], states: list[TrainingState]
) -> Trained:
    """Train an epoch of each replicate after the other."""
    runs = [train(config, info, data, state) for state in states]
    while True:
        yield [next(run, None) for run in runs]


def train_replicates(
    config: TrialConfig,
    info: DataInfo,
    data: Mapping[str, DeviceSplit],
    states: list[TrainingState],
    way: Way = one_by_one,
) -> Iterator[list[EpochMetrics]]:
    """Yield the metrics of all replicates after each epoch; end after the epoch in which one of them diverged.

    A replicate that early stopping has ended keeps its place: what it gave last, with no images and no time spent. So
    each replicate trains as it would alone, and the mean over replicates is always one over all of them.
    """
    for trained in way(config, info, data, states):
        epochs = [metrics.epoch for metrics in trained if metrics]
        if not epochs:
            return
        yield [metrics or _idle(state, epochs[0]) for metrics, state in zip(trained, states, strict=True)]
        if not all(metrics.finite for metrics in trained if metrics):
            return


def trained_epochs(states: list[TrainingState]) -> int:
    """Return the epochs that a trial has been trained for: those of its longest replicate."""
    return max(state.epoch for state in states)


def last_epoch(states: list[TrainingState]) -> list[EpochMetrics]:
    """Return what `train_replicates` yielded last before the states were saved."""
    top = trained_epochs(states)
    return [state.last if state.last and state.last.epoch == top else _idle(state, top) for state in states]


def _idle(state: TrainingState, epoch: int) -> EpochMetrics:
    assert state.last is not None
    idle = {
        "lr": 0.0,
        "images": 0,
        "train_seconds": 0.0,
        "eval_seconds": 0.0,
        "is_best": False,
        "notes": (),
        "recorded": {},
    }
    return replace(state.last, epoch=epoch, **idle)  # type: ignore[arg-type]


def metric_values(metrics: EpochMetrics) -> dict[str, float]:
    """Return `{"train_loss": ..., "val_auc": ..., ...}` of one replicate."""
    return {f"{split}_{name}": getattr(metrics.quality[split], name) for split in SPLITS for name in QUALITIES}


def epoch_row(metrics: EpochMetrics) -> dict[str, Any]:
    """Return one row of `epochs.parquet`, of one replicate and epoch, with notes and values by layer."""
    return {
        "seed": metrics.seed,
        "epoch": metrics.epoch,
        "lr_used": metrics.lr,
        **metric_values(metrics),
        "is_best": metrics.is_best,
        "train_seconds": round(metrics.train_seconds, 6),
        "eval_seconds": round(metrics.eval_seconds, 6),
        "images_trained": metrics.images,
        "gradient_norm": total_norm(metrics.gradient_norms),
        "gradient_norms": _short(metrics.gradient_norms),
        "learned": _short(metrics.learned),
        **uncertainty(metrics),
        "notes": "; ".join(metrics.notes),
        "stop_reason": metrics.stop_reason,
        **metrics.recorded,
    }


def _short(values: Mapping[str, float]) -> dict[str, float]:
    """Round to five digits: the values stand in the ledger, once an epoch for each layer."""
    return {name: float(f"{value:.5g}") for name, value in values.items()}


def by_layer(epochs: Sequence[Mapping[str, float | None]]) -> dict[str, list[float | None]]:
    """Return `{"layer": [value of the first epoch, ...]}` from each epoch's values; None where an epoch has none."""
    layers = dict.fromkeys(layer for values in epochs for layer in values)
    return {layer: [values.get(layer) for values in epochs] for layer in layers}


def uncertainty(metrics: EpochMetrics) -> dict[str, float]:
    """Return `{"val_entropy": ..., "val_mutual_information": ...}` by split where evaluation sampled, else `{}`."""
    names = ("entropy", "mutual_information")
    values = {f"{split}_{name}": getattr(metrics.quality[split], name) for split in SPLITS for name in names}
    return {name: value for name, value in values.items() if not isnan(value)}
