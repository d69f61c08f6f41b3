"""The Optuna program of `benchmarks.orchestration`: what a user would write today, with our training loop in it.

Two processes share a study in a journal file; a grid sampler; successive halving over all trials, by the mean
validation AUC over the replicates after each epoch. It has no strata, ledger, tables, event files, checkpoints or
weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import optuna
import torch
import typer
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from benchmarks.rivals.grids import GRIDS
from trainables.config import make_config
from trainables.data.batches import to_device
from trainables.data.datasets import load
from trainables.data.normalization import normalization_of
from trainables.training.loop import start
from trainables.training.replicates import train_replicates

app = typer.Typer()


@app.command()
def study(
    folder: Annotated[Path, typer.Option()],
    grid: Annotated[str, typer.Option()],
    data_root: Annotated[Path | None, typer.Option()] = None,
    count: Annotated[bool, typer.Option("--count", help="print the epochs that were trained, and end")] = False,
) -> None:
    """Train the trials of the study that no other process has taken."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(1)
    chosen, cpu = GRIDS[grid], torch.device("cpu")
    folder.mkdir(parents=True, exist_ok=True)
    space: dict[str, list[Any]] = {"activation": list(chosen.activations), "lr": list(chosen.rates)}
    shared = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(folder / "journal"))),
        study_name="grid",
        direction="maximize",
        sampler=optuna.samplers.GridSampler(space, seed=0),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=2, reduction_factor=3),
        load_if_exists=True,
    )
    if count:
        print(sum(len(trial.intermediate_values) for trial in shared.trials))
        return
    data = load(chosen.dataset, data_root=data_root)
    splits = to_device(data, normalization_of("dataset", data), cpu)

    def objective(trial: optuna.Trial) -> float:
        activation = trial.suggest_categorical("activation", space["activation"])
        lr = trial.suggest_categorical("lr", space["lr"])
        fixed = {"dataset": chosen.dataset, **chosen.network, "epochs": chosen.epochs, "seeds": range(chosen.seeds)}
        config = make_config({**fixed, "activation": activation, "lr": lr})
        states = [start(config, seed, data.info, cpu) for seed in config.seeds]
        value = 0.0
        for epoch in train_replicates(config, data.info, splits, states):
            value = sum(metrics.quality["val"].auc for metrics in epoch) / len(epoch)
            trial.report(value, epoch[0].epoch)
            if trial.should_prune() and epoch[0].epoch < chosen.epochs:
                raise optuna.TrialPruned
        return value

    shared.optimize(objective)


if __name__ == "__main__":
    app()
