"""Results made up for tests: tables of a run with known values, written as a run writes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from analysis import table
from analysis.runs.run_folder import RunFolder
from trainables.config import TrialConfig

Row = dict[str, Any]
Score = Callable[[Mapping[str, Any], int, int], float]
REASONS = {
    "completed": "trained all epochs", "stopped": "rung 2: val_auc below the cutoff",
    "failed": "RuntimeError: <b>no memory</b>", "diverged": "loss was not finite at epoch 4",
}  # fmt: skip
TENSORS = (("0.weight", "Conv2d", [8, 1, 3, 3]), ("1.weight", "BatchNorm2d", [8]), ("2.weight", "Linear", [4, 8]))


def about(
    scientific: Mapping[str, Sequence[Any]], nuisance: Mapping[str, Sequence[Any]], **more: Any
) -> dict[str, Any]:
    """What the tables say of themselves."""
    return {
        "question": "Which is best?",
        "roles": {"scientific": dict(scientific), "nuisance": dict(nuisance), "fixed": {}},
        "metric": "val_auc",
        "mode": "max",
        "seeds": [0, 1, 2],
        "scheduler": "fifo",
        "datasets": {"digits": "00aa"},
        "provenance": {"command": ["sweeps/run.py", "made up", "--epochs", "4"], "versions": {"python": "3"}},
        **more,
    }


def make_run(
    path: Path,
    scientific: Mapping[str, Sequence[Any]],
    nuisance: Mapping[str, Sequence[Any]],
    score: Score,
    *,
    seeds: int = 3,
    epochs: int = 4,
    status: Callable[[Mapping[str, Any]], str] = lambda config: "completed",
    fixed: Mapping[str, Any] | None = None,
    **more: Any,
) -> RunFolder:
    """A run with every combination of the fields; score(config, seed, epoch) is the validation AUC of an epoch.

    Stopped trials were trained for half of the epochs, failed ones for none; test_auc is val_auc less 0.05.
    """
    run = RunFolder(path)
    path.mkdir(parents=True)
    fields = {**scientific, **nuisance}
    trials: list[Row] = []
    history: list[Row] = []
    weights: list[Row] = []
    for number, values in enumerate(product(*fields.values())):
        config = {
            **TrialConfig().model_dump(),
            "epochs": epochs,
            **(fixed or {}),
            **dict(zip(fields, values, strict=True)),
        }
        ended = status(config)
        trained = {"stopped": epochs // 2, "failed": 0}.get(ended, epochs)
        for seed in range(seeds):
            names = {
                "sweep": path.parent.name, "run_id": path.name, "trial_id": f"{number:04d}",
                "trial_key": f"{path.name}{number:04d}", "replicate": seed, "seed": seed,
            }  # fmt: skip
            own = [_epoch(names, epoch, score(config, seed, epoch)) for epoch in range(1, trained + 1)]
            history += own
            trials.append(_trial(names, config, ended, own))
            weights += _weights(names, number * seeds + seed, trials[-1])
    described = about(scientific, nuisance, **more)
    table.write(run.trials_table, "trials", trials, described)
    table.write(run.epochs_table, "epochs", history, described)
    table.write(run.weights_table, "weights", weights, described)
    return run


def _epoch(names: Row, epoch: int, score: float) -> Row:
    qualities = {
        "val_auc": score, "val_acc": score - 0.01, "val_loss": 1 - score, "test_auc": score - 0.05,
        "test_acc": score - 0.06, "test_loss": 1.1 - score, "train_auc": score + 0.02, "train_acc": score + 0.01,
        "train_loss": 0.9 - score,
    }  # fmt: skip
    rest = {"lr_used": 0.1, "is_best": True, "train_seconds": 1.0, "eval_seconds": 0.5, "images_trained": 100}
    return {**names, "epoch": epoch, **rest, "gradient_norm": 1.0, "notes": "", **qualities}


def _trial(names: Row, config: Row, status: str, history: Sequence[Row]) -> Row:
    names_of = [name for name in table.columns("epochs") if name.startswith(("train_", "val_", "test_"))]
    qualities = [name for name in names_of if name != "train_seconds"]
    best = max(history, key=lambda row: row["val_auc"]) if history else dict.fromkeys(qualities, math.nan)
    last = history[-1] if history else best
    measures = dict.fromkeys((name for name, c in table.model_measures().items() if not c.null), math.nan)
    return {
        **names,
        "status": status,
        "stop_reason": REASONS[status],
        **config,
        "epochs_trained": len(history),
        "best_epoch": best.get("epoch"),
        **{name: best[name] for name in qualities},
        **{f"final_{name}": last[name] for name in qualities},
        **{"parameters": 112, "macs": 1000, "train_seconds": 4.0, "eval_seconds": 1.0, "images_per_second": 100.0},
        **{"peak_memory_mb": 10.0, "attempts": 1},
        **measures,
        "lmc": math.nan if math.isnan(best["val_auc"]) else best["val_auc"] ** 2,
        "sample_entropy": 2.0 + 0.1 * math.sin(7.0 * int(names["trial_id"]) + names["seed"]),
    }


def _weights(names: Row, number: int, trial: Row) -> Iterator[Row]:
    rng = np.random.default_rng(number)
    for stage, epoch in (("initial", 0), ("best", trial["best_epoch"]), ("final", trial["epochs_trained"])):
        for position, (tensor, kind, shape) in enumerate(TENSORS):
            if epoch is not None:
                yield {
                    **names, "stage": stage, "epoch": epoch, "tensor": tensor, "position": position,
                    "module_type": kind, "shape": shape, "lmc": float(rng.random()),
                    "sample_entropy": 2.0 + float(rng.random()),
                }  # fmt: skip
