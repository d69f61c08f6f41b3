"""Runs that are played and not trained: the files of a sweep of any length, with made-up values, in seconds."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ray import tune

from analysis.runs.run_folder import RunFolder
from search_spaces.definition import Sweep
from sweeps.record.history import QUALITIES
from trainables.config import make_config

Row = dict[str, Any]
ACTIVATIONS = ("relu", "gelu", "tanh", "elu", "silu")
LAYERS = ("features.0.weight", "features.3.weight", "classifier.weight")
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def played_sweep(trials: int, epochs: int = 6, seeds: int = 3) -> Sweep:
    """Return a sweep of five activations, each with the same rates."""
    rates = [round(1e-4 * 1.0005**number, 10) for number in range(-(-trials // len(ACTIVATIONS)))]
    return Sweep(
        "Does it grow?", {"activation": tune.grid_search(list(ACTIVATIONS))}, {"lr": tune.grid_search(rates)},
        {"model": "mlp", "dataset": "digits", "epochs": epochs}, seeds=tuple(range(seeds)), scheduler="fifo",
    )  # fmt: skip


def play_run(storage: Path, trials: int, epochs: int = 6, seeds: int = 3, open_trials: int = 2) -> RunFolder:
    """Write a run of which all trials but the last ones have ended, without its tables.

    open_trials: those that still run, after half of their epochs.
    """
    run = RunFolder(storage / "growth" / f"20260101-000000-played-{trials}")
    run.trials.mkdir(parents=True)
    roles = {"scientific": {"activation": list(ACTIVATIONS)}, "nuisance": {"lr": "grid"}, "fixed": {}}
    description = {
        "sweep": run.sweep, "run_id": run.run_id, "question": "Does it grow?", "roles": roles, "metric": "val_auc",
        "mode": "max", "seeds": list(range(seeds)), "scheduler": "fifo", "replicates": "together",
        "datasets": {"digits": "00aa"}, "provenance": {"command": ["sweeps/run.py", "growth"]},
    }  # fmt: skip
    run.description.write_text(json.dumps(description))
    with run.ledger.open("w") as file:
        for second, event in enumerate(_events(trials, epochs, seeds, open_trials)):
            time = (BEGAN + timedelta(seconds=second)).isoformat(timespec="milliseconds")
            file.write(json.dumps({"time": time, **event}, separators=(",", ":")) + "\n")
    return run


def _events(trials: int, epochs: int, seeds: int, open_trials: int) -> Iterator[Row]:
    rng = random.Random(0)
    configs = [_config(number, epochs, seeds) for number in range(trials)]
    for number, config in enumerate(configs):
        yield {"event": "planned", **_planned(number, config)}
    for number, config in enumerate(configs):
        trial_id, running = f"{number + 1:04d}", number >= trials - open_trials
        yield {"event": "started", "trial_id": trial_id}
        level = rng.uniform(0.6, 0.9)
        for epoch in range(1, (epochs // 2 if running else epochs) + 1):
            rows = [_replicate(rng, seed, epoch, level) for seed in config["seeds"]]
            mean = {name: sum(row[name] for row in rows) / len(rows) for name in QUALITIES}
            yield {
                "event": "epoch", "trial_id": trial_id, "attempt": 1, "epoch": epoch, "memory_mb": 500.0,
                "replicates": rows, "mean": mean,
            }  # fmt: skip
        if not running:
            yield {"event": "completed", "trial_id": trial_id, "reason": f"trained all {epochs} epochs"}


def _config(number: int, epochs: int, seeds: int) -> Row:
    kind, rate = number % len(ACTIVATIONS), number // len(ACTIVATIONS)
    values = {"activation": ACTIVATIONS[kind], "lr": round(1e-4 * 1.0005**rate, 10), "epochs": epochs}
    fixed: Row = {**_defaults(), "seeds": list(range(seeds))}
    return {**fixed, **values}


def _defaults(known: Row = {}) -> Row:  # noqa: B006  filled once: to make a config takes longer than to copy it
    known.update(known or make_config({"model": "mlp", "dataset": "digits"}).model_dump(mode="json"))
    return known


def _planned(number: int, config: Row) -> Row:
    key = f"{number:016x}"
    folder = f"20260101-000000_{config['model']}_{config['activation']}_brave_owl_{key}"
    return {
        "trial_id": f"{number + 1:04d}", "key": key, "folder": folder, "config": config, "parameters": 24_000,
        "macs": 24_000, "stratum": f"activation={config['activation']}", "bracket": 0,
    }  # fmt: skip


def _replicate(rng: random.Random, seed: int, epoch: int, level: float) -> Row:
    return {
        "seed": seed, "epoch": epoch, "lr_used": 0.001, **{name: level + rng.random() / 10 for name in QUALITIES},
        "is_best": epoch < 3 or rng.random() < 0.5, "train_seconds": 1.25, "eval_seconds": 0.25,
        "images_trained": 1200, "gradient_norm": rng.random(),
        "gradient_norms": {layer: round(rng.random(), 5) for layer in LAYERS}, "learned": {}, "notes": "",
        "stop_reason": "",
    }  # fmt: skip
