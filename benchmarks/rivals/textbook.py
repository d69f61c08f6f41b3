"""The textbook of `benchmarks.orchestration`: Ray Tune as its PyTorch tutorial shows it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import ray
import torch
import typer
from medmnist import PneumoniaMNIST
from ray import tune
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms

from benchmarks.rivals.grids import GRIDS, SLOTS
from trainables.config import make_config
from trainables.data.datasets import default_data_root, load
from trainables.network.build import build_model

app = typer.Typer()
GRID = GRIDS["pneumonia"]
NAME, ACTIVATIONS, RATES, EPOCHS = GRID.dataset, GRID.activations, GRID.rates, GRID.epochs


@app.command()
def textbook(
    folder: Annotated[Path, typer.Option()],
    grid: Annotated[str, typer.Option()] = "pneumonia",
    data_root: Annotated[Path | None, typer.Option()] = None,
) -> None:
    """Run Ray Tune as its PyTorch tutorial uses it, with medmnist's Dataset in place of torchvision's."""
    root = data_root.absolute() if data_root else None
    assert grid == "pneumonia", "its Dataset is that of PneumoniaMNIST"
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


if __name__ == "__main__":
    app()
