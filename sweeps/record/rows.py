"""Rows of the results tables, made from the state of a trial."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import fmean
from typing import Any

from analysis.runs.run_folder import RunFolder
from analysis.table import columns, quality_names
from search_spaces.definition import Sweep
from sweeps.record.state import TrialState

Row = dict[str, Any]
QUALITIES = quality_names()


def epoch_rows(run: RunFolder, trial: TrialState) -> Iterator[Row]:
    """One row per replicate and epoch."""
    for replicates in trial.epochs:
        for number, values in enumerate(replicates):
            yield {**identity(run, trial, number, values["seed"]), **_nan_for_none(values)}


def trial_rows(run: RunFolder, trial: TrialState, sweep: Sweep) -> Iterator[Row]:
    """One row per replicate of a trial that has ended or was interrupted; none while it is planned or running."""
    if not (trial.ended or trial.status == "interrupted"):
        return
    for number, seed in enumerate(trial.config["seeds"]):
        history = [_nan_for_none(replicates[number]) for replicates in trial.epochs]
        yield {
            **identity(run, trial, number, seed),
            "status": trial.status,
            "stop_reason": trial.stop_reason,
            "folder": run.trial(trial.folder).path.relative_to(run.path).as_posix() if trial.folder else None,
            "changes": "; ".join(_change(change) for change in trial.changes) or None,
            **trial.config,
            **_outcome(history),
            "parameters": trial.parameters,
            "macs": trial.macs,
            **_cost(history),
            "peak_memory_mb": trial.memory_mb or math.nan,
            "gpu_percent": fmean(trial.gpu_percents) if trial.gpu_percents else None,
            "attempts": trial.attempts,
            **_no_complexity_yet(),
        }


def _change(change: Row) -> str:
    """`after epoch 4: weights of 0003, lr=0.012`."""
    values = ", ".join(f"{name}={value:g}" for name, value in change["values"].items())
    return f"after epoch {change['epoch']}: weights of {change['donor']}, {values}"


def identity(run: RunFolder, trial: TrialState, number: int, seed: int) -> Row:
    """The columns that name a replicate. Replicates that ran apart are `0007.0`, `0007.1`, ...: of trial 0007."""
    trial_id, _, place = trial.trial_id.partition(".")
    names = {"sweep": run.sweep, "run_id": run.run_id, "trial_id": trial_id, "trial_key": trial.key}
    return {**names, "replicate": int(place) if place else number, "seed": seed}


def _nan_for_none(values: Row) -> Row:
    return {name: math.nan if value is None else value for name, value in values.items()}


def best_epoch(history: list[Row]) -> int | None:
    """The epoch whose weights were kept: the last that was the best so far."""
    return next((row["epoch"] for row in reversed(history) if row["is_best"]), None)


def _outcome(history: list[Row]) -> Row:
    best = best_epoch(history)
    undefined = dict.fromkeys(QUALITIES, math.nan)
    at_best = history[best - 1] if best else undefined
    at_last = history[-1] if history else undefined
    return {
        "epochs_trained": sum(row["images_trained"] > 0 for row in history),  # early stopping leaves idle epochs
        "best_epoch": best,
        **{name: at_best[name] for name in QUALITIES},
        **{f"final_{name}": at_last[name] for name in QUALITIES},
    }


def _cost(history: list[Row]) -> Row:
    seconds = sum(row["train_seconds"] for row in history)
    images = sum(row["images_trained"] for row in history)
    return {
        "train_seconds": seconds,
        "eval_seconds": sum(row["eval_seconds"] for row in history),
        "images_per_second": images / seconds if seconds else math.nan,
    }


def _no_complexity_yet() -> Row:
    """Measured after training, by `analysis.complexity`."""
    from analysis.table import model_measures

    return {name: math.nan for name in columns("trials") if name in model_measures()}
