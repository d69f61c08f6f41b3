"""Trials of `benchmarks.orchestration` that report once and train nothing, as fast as they go."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from ray import tune
from rich.console import Console

import sweeps.running.tuner
from search_spaces.definition import Sweep
from sweeps.planning.settings import Settings
from sweeps.record.ledger import read_ledger
from sweeps.run_sweep import run
from trainables.training.replicates import METRICS
from trainables.worker.train_trial import Job

# trials before the counting begins
WARM = 50


def report_once(
    tune_config: dict[str, str],
    shared: Any,
    threads: int,
    client: Any = None,
    sources: Any = None,
    fuse: str = "off",
    recording: Any = None,
) -> None:
    """Report once and train nothing."""
    job = Job.from_json(tune_config["job"])
    means = dict.fromkeys(METRICS, 0.5)
    row = {
        "seed": 0, "epoch": 1, "lr_used": job.config["lr"], **means, "is_best": True, "train_seconds": 0.001,
        "eval_seconds": 0.001, "images_trained": 1, "gradient_norm": 0.0, "notes": "", "stop_reason": "",
    }  # fmt: skip
    more = {"finite": True, "checkpoint": False, "note": "", "memory_mb": 1.0}
    tune.report(
        {"trial": job.trial_id, "attempt": 1, "epoch": 1, **more, "replicates": [row], "metrics": list(METRICS)}
    )


def trivial_rate(folder: Path, trials: int) -> float:
    """Return trials a second that report once and end, two workers warm; ledger, tables and live view are on."""
    sweeps.running.tuner.train_trial = report_once
    rates = [0.001 + 0.00001 * number for number in range(trials + WARM)]
    sweep = Sweep(
        "?", {"activation": "relu"}, {"lr": tune.grid_search(rates)}, {"model": "mlp", "epochs": 1},
        seeds=(0,), scheduler="fifo",
    )  # fmt: skip
    with (folder / "screen").open("w") as file:
        console = Console(file=file, force_terminal=True, width=140, height=40)
        outcome = run(sweep, "trivial", Settings(storage=folder / "trivial", measure=False, report=False), console)
    ends = [event["time"] for event in read_ledger(outcome.run.ledger) if event["event"] == "completed"]
    assert len(ends) == len(rates)
    return trials / _seconds(ends[WARM - 1], ends[-1])


def _seconds(first: str, last: str) -> float:
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()
