"""TensorBoard event files, appended an epoch at a time: no file stays open, no thread runs.

A replicate is a TensorBoard run, named after its trial, the trial's swept values and its seed. To the HParams plugin it
is a session with the swept values as hyperparameters, and the replicates of a trial are one group, shown by their mean.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from analysis.comparison.labels import show_value
from analysis.runs.run_folder import RunFolder
from sweeps.record.state import TrialState
from trainables.trainable import ROW_FIELDS
from trainables.worker.attempt_folder import replicate_folder

# Those that select come first: the HParams plugin shows the first of a table's metrics.
SPLITS = ("val", "test", "train")
# Bytes of a folder's name at most.
MOST_BYTES = 180


@dataclass(frozen=True)
class Curves:
    """The event files of a trial. group: its id without a replicate's part; settings: its swept values."""

    folder: Path
    group: str
    settings: Mapping[str, Any]


def curves_of(run: RunFolder, trial: TrialState, fields: Iterable[str]) -> Curves:
    """Return where a trial's event files are: `tensorboard/0007 activation=relu lr=0.01/`.

    fields: those that the sweep varies. A trial keeps the folder that it has had: that of version 0.1.0, which is named
    like that of its weights, and that of a command which varied other fields.
    """
    settings = {name: trial.config.get(name) for name in fields}
    group = trial.trial_id.partition(".")[0]
    old = run.tensorboard / trial.folder
    had = old if old.is_dir() else _folders_at_start(run.tensorboard).get(group)
    return Curves(had or run.tensorboard / _folder_name(group, settings), group, settings)


@lru_cache(maxsize=8)
def _folders_at_start(tensorboard: Path) -> dict[str, Path]:
    """Return the folder of each trial as this process finds them when it first writes into a run."""
    if not tensorboard.is_dir():
        return {}
    folders = (entry.name for entry in os.scandir(tensorboard) if entry.is_dir(follow_symlinks=False))
    return {name.partition(" ")[0]: tensorboard / name for name in sorted(folders, reverse=True)}


def _folder_name(group: str, settings: Mapping[str, Any]) -> str:
    words = [group, *(f"{name}={show_value(value)}" for name, value in settings.items())]
    name = " ".join(re.sub(r"[^\w.=+-]+", "_", word) for word in words)
    return name.encode()[:MOST_BYTES].decode(errors="ignore").strip().lstrip(".")


def write_epoch(curves: Curves, epoch: int, rows: Mapping[int, Mapping[str, Any]], wall_time: float) -> None:
    """Append the metrics of an epoch, its learning rate and pace, and what `--log-steps` and `--log-histograms` add.

    rows: the epoch's values by the seed of the replicate. wall_time: seconds since 1970.
    """
    # a third of a second to import, which the start of a run need not wait for
    from sweeps.trackers.event_files import append_epoch

    for seed, row in rows.items():
        values = {tag: _number(row[name]) for name, tag in tags_of(row).items()}
        if row.get("images_trained") and row.get("train_seconds"):
            values["images_per_second"] = row["images_trained"] / row["train_seconds"]
        losses = row.get("step_losses") or ()
        steps = {(epoch - 1) * len(losses) + number: _number(loss) for number, loss in enumerate(losses, start=1)}
        folder = replicate_folder(curves.folder, seed)
        append_epoch(
            folder, curves.group, curves.settings, epoch, values, wall_time, steps, row.get("histograms")
        )  # fmt: skip


def tags_of(row: Mapping[str, Any]) -> dict[str, str]:
    """Return `{"val_auc": "val/auc", ..., "lr_used": "lr"}`: the tag of each metric of a row, those of val first."""
    names = [name for name, value in row.items() if name not in ROW_FIELDS and isinstance(value, int | float | None)]
    splits = {name: name.partition("_")[0] for name in names}
    names.sort(key=lambda name: SPLITS.index(splits[name]) if splits[name] in SPLITS else len(SPLITS))
    tags = {name: name.replace("_", "/", 1) if splits[name] in SPLITS else name for name in names}
    return {**tags, **({"lr_used": "lr"} if "lr_used" in row else {})}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
