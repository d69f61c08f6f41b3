"""Measure an epoch of MedMNIST's own protocol: `python -m benchmarks.epoch [--data-root DIR]`.

ResNet-18 on BreastMNIST, Adam, batches of 128, with the three evaluations that the official script makes after each
epoch: that script's loop (a `DataLoader` over the `medmnist` Dataset, AUC and ACC by its Evaluator's functions), and
ours in float32 and in bfloat16, epoch by epoch in turn, so that what else the machine does meets all alike.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from medmnist import BreastMNIST
from medmnist.evaluator import getACC, getAUC
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import transforms

from analysis.command_line import new_app, start
from trainables.config import make_config
from trainables.data.batches import subset, to_device
from trainables.data.datasets import default_data_root, load
from trainables.data.normalization import normalization_of
from trainables.network.build import build_model
from trainables.training import loop

app = new_app()
NAME, BATCH = "breastmnist", 128


@app.command()
def main(
    data_root: Annotated[Path | None, typer.Option(help="folder of the data files")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="epochs of each that are timed, after one that is not")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="threads of torch")] = 2,
    images: Annotated[int | None, typer.Option(min=2, help="images of each split; None: all")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout")] = False,
) -> None:
    """Time an epoch of training with three evaluations, theirs and ours."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SWEEPS_CACHE"] = folder
        rivals = {
            "official loop": _theirs(data_root, epochs + 1, images),
            "ours, float32": _ours(data_root, epochs + 1, images, "float32"),
            "ours, bfloat16": _ours(data_root, epochs + 1, images, "bfloat16"),
        }
        times: dict[str, list[float]] = {name: [] for name in rivals}
        for epoch in range(epochs + 1):
            for name, rival in rivals.items():
                began = time.perf_counter()
                next(rival)
                if epoch:
                    times[name].append(time.perf_counter() - began)
    seconds = {name: statistics.median(values) for name, values in times.items()}
    print(json.dumps(seconds) if as_json else _text(seconds, threads))


def _text(seconds: dict[str, float], threads: int) -> str:
    first = next(iter(seconds.values()))
    lines = [f"An epoch of ResNet-18 on BreastMNIST with three evaluations, {threads} threads, median seconds:"]
    lines += [
        f"  {name:<16} {value:6.2f}   {value / first:.2f} of the official loop" for name, value in seconds.items()
    ]
    return "\n".join(lines)


def _ours(data_root: Path | None, epochs: int, images: int | None, precision: str) -> Iterator[Any]:
    given = {"dataset": NAME, "model": "resnet18", "normalization": "half", "optimizer": "adam", "lr": 1e-3}
    config = make_config({**given, "batch_size": BATCH, "epochs": epochs, "precision": precision})
    data = load(NAME, data_root=data_root)
    whole = to_device(data, normalization_of(config.normalization, data), torch.device("cpu"))
    splits = {name: subset(split, min(1.0, (images or len(split)) / len(split))) for name, split in whole.items()}
    return loop.train(config, data.info, splits, loop.start(config, 0, data.info, torch.device("cpu")))


def _theirs(data_root: Path | None, epochs: int, images: int | None) -> Iterator[None]:
    """Train by MedMNIST's `train_and_eval_pytorch.py`, written anew after its description."""
    whole = _medmnist_sets(data_root)
    sets = {split: Subset(found, range(min(images or len(found), len(found)))) for split, found in whole.items()}
    loaders = {split: DataLoader(found, BATCH, shuffle=split == "train") for split, found in sets.items()}
    loaders["train at eval"] = DataLoader(sets["train"], BATCH)
    config = make_config({"dataset": NAME, "model": "resnet18"})
    model = build_model(config, load(NAME, data_root=data_root).info)
    optimizer, criterion = torch.optim.Adam(model.parameters(), 1e-3), nn.CrossEntropyLoss()

    def evaluate(loader: Any) -> None:
        model.eval()
        with torch.no_grad():
            pairs = [(model(images).softmax(dim=-1), labels) for images, labels in loader]
        scores, labels = (torch.cat(parts).numpy() for parts in zip(*pairs, strict=True))
        getAUC(labels, scores, "binary-class")
        getACC(labels, scores, "binary-class")

    for _ in range(epochs):
        model.train()
        for images, labels in loaders["train"]:
            optimizer.zero_grad()
            criterion(model(images), labels.squeeze(1).long()).backward()
            optimizer.step()
        for split in ("train at eval", "val", "test"):
            evaluate(loaders[split])
        yield


def _medmnist_sets(data_root: Path | None) -> dict[str, Any]:
    as_input: Callable[[Any], Any] = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize(mean=[0.5], std=[0.5])]
    )
    root = data_root or default_data_root()
    folder = root / "medmnist" if (root / "medmnist").is_dir() else root
    return {split: BreastMNIST(split, transform=as_input, root=str(folder)) for split in ("train", "val", "test")}


if __name__ == "__main__":
    start(app)
