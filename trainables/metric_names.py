"""The names of the metrics: every quality of predictions on every split. Loads nothing else."""

from __future__ import annotations

SPLITS = ("train", "val", "test")
QUALITIES = ("auc", "acc", "loss")
# Columns of the tables that say something else: no field and no metric of a user's own may have such a name.
RESERVED = frozenset(
    {
        "activation_entropy", "activation_sparsity", "attempts", "best_epoch", "changes", "epoch", "epochs_trained",
        "eval_seconds", "folder", "gpu_percent", "gradient_norm", "images_per_second", "images_trained", "is_best",
        "lr_used", "macs", "notes", "parameters", "peak_memory_mb", "replicate", "run_id", "seed", "seeds", "sharpness",
        "sharpness_max", "status", "stop_reason", "sweep", "train_seconds", "trial_id", "trial_key",
    }
)  # fmt: skip


def quality_names() -> list[str]:
    """Return `train_auc`, `train_acc`, `train_loss`, `val_auc`, and so on."""
    return [f"{split}_{name}" for split in SPLITS for name in QUALITIES]
