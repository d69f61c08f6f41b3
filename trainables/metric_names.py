"""The names of the metrics: every quality of predictions on every split. Loads nothing else."""

from __future__ import annotations

SPLITS = ("train", "val", "test")
QUALITIES = ("auc", "acc", "loss")


def quality_names() -> list[str]:
    """Return `train_auc`, `train_acc`, `train_loss`, `val_auc`, and so on."""
    return [f"{split}_{name}" for split in SPLITS for name in QUALITIES]
