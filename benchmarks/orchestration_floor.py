"""The floor of `benchmarks.orchestration`: plain Python processes with our training loop, no orchestrator."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks.orchestration import ACTIVATIONS, EPOCHS, NAME, RATES, SLOTS
from trainables.config import TrialConfig, make_config
from trainables.data.batches import to_device
from trainables.data.datasets import load
from trainables.data.normalization import normalization_of
from trainables.training.loop import start, train
from trainables.training.replicates import epoch_row

app = typer.Typer()


def configs() -> list[TrialConfig]:
    """Return the configs of the benchmark's trials."""
    fixed: dict[str, Any] = {"dataset": NAME, "model": "cnn", "epochs": EPOCHS}
    return [make_config({**fixed, "activation": a, "lr": lr}) for lr, a in itertools.product(RATES, ACTIVATIONS)]


@app.command()
def floor(
    folder: Annotated[Path, typer.Option()],
    share: Annotated[int, typer.Option()] = 0,
    data_root: Annotated[Path | None, typer.Option()] = None,
    warm: Annotated[bool, typer.Option("--warm", help="load the data and end")] = False,
) -> None:
    """Train every second trial with our loop; keep its best weights and its metrics."""
    torch.set_num_threads(1)
    cpu = torch.device("cpu")
    data = load(NAME, data_root=data_root)
    splits = to_device(data, normalization_of("dataset", data), cpu)
    folder.mkdir(parents=True, exist_ok=True)
    for number, config in enumerate(configs()[share::SLOTS] if not warm else []):
        state = start(config, 0, data.info, cpu)
        rows = [epoch_row(metrics) for metrics in train(config, data.info, splits, state)]
        torch.save(state.best_weights, folder / f"{share}-{number}.pt")
        (folder / f"{share}-{number}.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    app()
