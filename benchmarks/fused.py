"""Measure replicates as one network beside one by one: `python -m benchmarks fused`. Needs no Ray and no data file.

An epoch of training with three evaluations on made-up images, on the GPU where there is one, else on the CPU: of one
model, of several one by one, and of the same several together, in turn; the quickest of each counts. CPU seconds with
one thread, else seconds of time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Annotated, Any

import torch
import typer

from analysis.command_line import new_app, start
from trainables.config import TrialConfig, make_config
from trainables.data.arrays import DataInfo
from trainables.data.batches import DeviceSplit
from trainables.fused.choice import clock
from trainables.fused.together import together
from trainables.training import loop
from trainables.training.precision import make_repeatable
from trainables.training.replicates import Way, one_by_one, train_replicates

app = new_app()
# Model, side of the images, replicates.
CASES = (("cnn", 8, 3), ("cnn", 8, 8), ("cnn", 28, 3), ("mlp", 28, 3), ("mlp", 28, 16), ("cnn", 28, 16))
CLASSES = 10
Figures = dict[str, float]


@app.command()
def main(
    images: Annotated[int, typer.Option(min=16, help="training images; val and test have a fifth each")] = 1280,
    batch: Annotated[int, typer.Option(min=2, help="images a step")] = 128,
    repeats: Annotated[int, typer.Option(min=1, help="epochs of each that are timed, after one that is not")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="threads of torch, on a CPU")] = 1,
    cases: Annotated[int, typer.Option(min=1, max=len(CASES), help="how many of the cases")] = len(CASES),
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout")] = False,
) -> None:
    """Time replicates of small networks, one by one and together."""
    make_repeatable(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = {}
    for model, side, members in CASES[:cases]:
        found[f"{model} {side}x{side}, {members} replicates"] = measure(
            model, side, members, _made_up(images, side, device), batch, repeats
        )
    print(json.dumps(found) if as_json else _text(found, device, threads, images, batch))


def measure(
    model: str, side: int, members: int, data: dict[str, DeviceSplit], batch: int, repeats: int
) -> Figures:  # fmt: skip
    """Return seconds of an epoch of one model, and of all one by one and together."""
    info = DataInfo("made up", "multi-class", tuple(map(str, range(CLASSES))), (side, side, 1))
    given: dict[str, Any] = {"model": model, "batch_size": batch, "epochs": repeats + 1, "schedule": "constant"}
    whole, first = (make_config({**given, "seeds": range(count)}) for count in (members, 1))
    rivals = {
        "one": _epochs(first, info, data, one_by_one),
        "one by one": _epochs(whole, info, data, one_by_one),
        "together": _epochs(whole, info, data, together),
    }
    best = dict.fromkeys(rivals, math.inf)
    for epoch in range(repeats + 1):
        for name, rival in rivals.items():
            seconds = next(rival)
            best[name] = min(best[name], seconds) if epoch else math.inf
    return best


def _epochs(config: TrialConfig, info: DataInfo, data: dict[str, DeviceSplit], way: Way) -> Iterator[float]:
    """Train an epoch at a time, and yield its seconds."""
    device = data["train"].labels.device
    states = [loop.start(config, seed, info, device) for seed in config.seeds]
    trained = train_replicates(config, info, data, states, way)
    while True:
        began = clock(device)
        next(trained)
        yield clock(device) - began


def _made_up(images: int, side: int, device: torch.device) -> dict[str, DeviceSplit]:
    generator = torch.Generator().manual_seed(0)
    splits = {}
    for name, count in (("train", images), ("val", images // 5), ("test", images // 5)):
        pixels = torch.randint(0, 256, (count, side, side, 1), dtype=torch.uint8, generator=generator)
        labels = torch.arange(count) % min(CLASSES, count)
        factors = torch.full((1,), 1 / 128), torch.full((1,), -1.0)
        splits[name] = DeviceSplit(*(tensor.to(device) for tensor in (pixels, labels, *factors)))
    return splits


def _text(found: dict[str, Figures], device: torch.device, threads: int, images: int, batch: int) -> str:
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {threads} thread(s)"
    lines = [f"An epoch of {images} images in batches of {batch}, with three evaluations; {where}; seconds:"]
    for name, seconds in found.items():
        one, apart, joint = seconds.values()
        lines.append(
            f"  {name:<26} one {one:7.3f}   one by one {apart:7.3f}   together {joint:7.3f}   "
            f"{joint / apart:.2f} of one by one   {joint / one:.2f} of one"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    start(app)
