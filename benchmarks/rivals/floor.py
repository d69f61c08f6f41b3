"""The floor of `benchmarks.orchestration`: plain Python processes with our training loop, no orchestrator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.rivals.grids import GRIDS, SLOTS
from trainables.config import make_config
from trainables.data.batches import to_device
from trainables.data.datasets import load
from trainables.data.normalization import normalization_of
from trainables.training.loop import start, train
from trainables.training.replicates import epoch_row

app = typer.Typer()


@app.command()
def floor(
    folder: Annotated[Path, typer.Option()],
    grid: Annotated[str, typer.Option()],
    share: Annotated[int, typer.Option()] = 0,
    data_root: Annotated[Path | None, typer.Option()] = None,
    warm: Annotated[bool, typer.Option("--warm", help="load the data and end")] = False,
) -> None:
    """Train every second trial with our loop, a replicate after the other; keep best weights and metrics."""
    torch.set_num_threads(1)
    cpu = torch.device("cpu")
    chosen = GRIDS[grid]
    data = load(chosen.dataset, data_root=data_root)
    splits = to_device(data, normalization_of("dataset", data), cpu)
    folder.mkdir(parents=True, exist_ok=True)
    for number, values in enumerate(list(chosen.values())[share::SLOTS] if not warm else []):
        config = make_config({**values, "seeds": range(chosen.seeds)})
        for seed in config.seeds:
            state = start(config, seed, data.info, cpu)
            rows = [epoch_row(metrics) for metrics in train(config, data.info, splits, state)]
            torch.save(state.best_weights, folder / f"{share}-{number}-{seed}.pt")
            (folder / f"{share}-{number}-{seed}.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    app()
