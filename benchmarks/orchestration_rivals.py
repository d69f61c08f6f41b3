"""What `benchmarks.orchestration` runs beside our sweep: plain processes, and Ray Tune as its tutorial shows it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from trainables.config import TrialConfig, make_config

ACTIVATIONS = ("relu", "tanh", "gelu", "elu")
RATES = (0.001, 0.003, 0.01, 0.03)
EPOCHS, SLOTS = 3, 2
NAME = "pneumoniamnist"

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
    import torch

    from trainables.data.batches import to_device
    from trainables.data.datasets import load
    from trainables.data.normalization import normalization_of
    from trainables.training.loop import start, train
    from trainables.training.replicates import epoch_row

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


@app.command()
def textbook(folder: Annotated[Path, typer.Option()], data_root: Annotated[Path | None, typer.Option()] = None) -> None:
    """Run Ray Tune as its PyTorch tutorial uses it, with medmnist's Dataset in place of torchvision's."""
    import ray
    from ray import tune

    root = data_root.absolute() if data_root else None
    space = {"lr": tune.grid_search(list(RATES)), "activation": tune.grid_search(list(ACTIVATIONS))}
    ray.init(address="local", num_cpus=SLOTS, log_to_driver=False)
    trainable = tune.with_resources(tune.with_parameters(_train_as_the_tutorial, root=root), {"cpu": 1})
    results = tune.Tuner(
        trainable,
        param_space=space,
        tune_config=tune.TuneConfig(metric="accuracy", mode="max"),
        run_config=tune.RunConfig(storage_path=str(folder.absolute()), name="textbook"),
    ).fit()
    assert len(results) == len(RATES) * len(ACTIVATIONS)
    assert not results.errors


def _train_as_the_tutorial(config: Mapping[str, Any], root: Path | None) -> None:
    import tempfile

    import torch
    from medmnist import PneumoniaMNIST
    from ray import tune
    from torch import nn
    from torch.utils.data import DataLoader
    from torchvision import transforms

    from trainables.data.datasets import default_data_root, load
    from trainables.network.build import build_model

    torch.set_num_threads(1)
    where = Path(root or default_data_root())
    where = where / "medmnist" if (where / "medmnist").is_dir() else where
    as_input = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean=[0.5], std=[0.5])])
    train_set, val_set = (PneumoniaMNIST(split, transform=as_input, root=str(where)) for split in ("train", "val"))
    model = build_model(make_config({"dataset": NAME, "model": "cnn", **config}), load(NAME, data_root=root).info)
    optimizer, criterion = torch.optim.AdamW(model.parameters(), config["lr"]), nn.CrossEntropyLoss()
    for _ in range(EPOCHS):
        model.train()
        for images, labels in DataLoader(train_set, 128, shuffle=True):
            optimizer.zero_grad()
            criterion(model(images), labels.squeeze(1).long()).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            pairs = [(model(images).argmax(1), labels.squeeze(1)) for images, labels in DataLoader(val_set, 128)]
        right = torch.cat([guess == label for guess, label in pairs])
        with tempfile.TemporaryDirectory() as place:
            torch.save((model.state_dict(), optimizer.state_dict()), Path(place) / "checkpoint.pt")
            tune.report({"accuracy": right.float().mean().item()}, checkpoint=tune.Checkpoint.from_directory(place))


def report_once(tune_config: dict[str, str], datasets: Any, threads: int, client: Any = None) -> None:
    """Report once and train nothing."""
    from ray import tune

    from trainables.image_classifier import Job
    from trainables.training.replicates import METRICS

    job = Job.from_json(tune_config["job"])
    means = dict.fromkeys(METRICS, 0.5)
    row = {
        "seed": 0, "epoch": 1, "lr_used": job.config.lr, **means, "is_best": True, "train_seconds": 0.001,
        "eval_seconds": 0.001, "images_trained": 1, "gradient_norm": 0.0, "notes": "", "stop_reason": "",
    }  # fmt: skip
    more = {"finite": True, "checkpoint": False, "note": "", "memory_mb": 1.0}
    tune.report({"trial": job.trial_id, "attempt": 1, "epoch": 1, **more, "replicates": [row], **means})


if __name__ == "__main__":
    app()
