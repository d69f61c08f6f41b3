"""One trial trains one model for each replicate seed, epoch by epoch in step, and reports their mean and spread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import fmean, stdev

from trainables.config import TrialConfig
from trainables.data.arrays import SPLITS, DataInfo
from trainables.data.batches import DeviceSplit
from trainables.training import EpochMetrics, TrainingState, train

QUALITIES = ("loss", "auc", "acc")
METRICS = tuple(f"{split}_{quality}" for split in SPLITS for quality in QUALITIES)


def train_replicates(
    config: TrialConfig, info: DataInfo, data: Mapping[str, DeviceSplit], states: list[TrainingState]
) -> Iterator[list[EpochMetrics]]:
    """Yield the metrics of all replicates after each epoch; end after the epoch in which one of them diverged."""
    for epoch in zip(*(train(config, info, data, state) for state in states), strict=False):
        yield list(epoch)
        if not all(metrics.finite for metrics in epoch):
            return


def metric_values(metrics: EpochMetrics) -> dict[str, float]:
    """`{"train_loss": ..., "val_auc": ..., ...}` of one replicate."""
    return {f"{split}_{name}": getattr(metrics.quality[split], name) for split in SPLITS for name in QUALITIES}


def epoch_row(metrics: EpochMetrics) -> dict[str, float | int | bool]:
    """One row of `epochs.parquet`: one replicate, one epoch."""
    return {
        "seed": metrics.seed,
        "epoch": metrics.epoch,
        "lr_used": metrics.lr,
        **metric_values(metrics),
        "is_best": metrics.is_best,
        "train_seconds": round(metrics.train_seconds, 6),
        "eval_seconds": round(metrics.eval_seconds, 6),
        "images_trained": metrics.images,
    }


def mean_and_spread(rows: list[dict[str, float]]) -> dict[str, float]:
    """Over replicates: `val_auc` is the mean, `val_auc_std` the sample standard deviation (NaN for one replicate)."""
    result: dict[str, float] = {}
    for name in METRICS:
        values = [row[name] for row in rows]
        result[name] = fmean(values)
        result[f"{name}_std"] = stdev(values) if len(values) > 1 else float("nan")
    return result
