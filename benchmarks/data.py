"""Measure how long data takes and how much memory it holds: `python -m benchmarks.data [--data-root DIR]`.

1. An epoch over PneumoniaMNIST's 4,708 training images of 28 × 28 on one core, without a model: ours without
   augmentation, with a per-sample affine map, with presets, and the `medmnist` Dataset in a DataLoader.
2. The first load of a dataset, which decodes it, and the second.
3. The memory of four workers on one dataset of about 1 GB: mapped from the cache, and read by each worker.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import pickle
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from analysis.command_line import new_app, start
from trainables.config import make_config
from trainables.data.arrays import Split
from trainables.data.batches import batches, to_device, training_batches
from trainables.data.datasets import default_data_root, load
from trainables.data.formats.medmnist import medmnist_info
from trainables.data.normalization import Normalization, normalization_of

app = new_app()
# of 3 channels: 1.0 GB
IMAGES, SIDE = 81_000, 64
AUGMENTATIONS = ("none", "flip", "rotate:10+scale:0.1+translate:0.05", "light", "strong", "strong+mixup+cutmix")
NAME = "pneumoniamnist"


@app.command()
def main(
    data_root: Annotated[Path | None, typer.Option(help="folder of the data files")] = None,
    repeats: Annotated[int, typer.Option(help="epochs that are timed; the median is shown")] = 15,
    workers: Annotated[int, typer.Option(help="processes that share the dataset")] = 4,
    images: Annotated[int, typer.Option(help="images of 64 x 64 x 3 that they share")] = IMAGES,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout")] = False,
) -> None:
    """Measure epoch time, loading time and the memory of several workers."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SWEEPS_CACHE"] = str(Path(folder) / "cache")
        found = {
            "epoch_ms": dict(epoch_times(data_root, repeats)),
            "load_ms": load_times(data_root),
            "memory_mb": memory(Path(folder), workers, images),
        }
    print(json.dumps(found) if as_json else _text(found))


def epoch_times(data_root: Path | None, repeats: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield wall and CPU milliseconds of an epoch, by what is done to the images."""
    torch.set_num_threads(1)
    for augmentation in AUGMENTATIONS:
        yield f"ours, {augmentation}", _timed(_ours(data_root, augmentation), repeats)
    for augmented in (False, True):
        name = "medmnist DataLoader, " + ("RandomAffine" if augmented else "no augmentation")
        yield name, _timed(_theirs(data_root, augmented), max(3, repeats // 5))


def _timed(epoch: Callable[[], int], repeats: int) -> dict[str, float]:
    wall, cpu = [], []
    for _ in range(repeats + 1):
        began, used = time.perf_counter(), time.process_time()
        if epoch() != 4708:
            raise AssertionError("an epoch has 4,708 images")
        wall.append(1e3 * (time.perf_counter() - began))
        cpu.append(1e3 * (time.process_time() - used))
    return {"wall": statistics.median(wall[1:]), "cpu": statistics.median(cpu[1:]), "least": min(cpu[1:])}


def _ours(data_root: Path | None, augmentation: str) -> Callable[[], int]:
    data = load(NAME, data_root=data_root)
    split = to_device(data, normalization_of("dataset", data), torch.device("cpu"))["train"]
    config = make_config({"dataset": NAME, "augmentation": augmentation})
    order = torch.Generator().manual_seed(0)
    return lambda: sum(len(targets) for _, targets in training_batches(split, config, data.info, order))


def _theirs(data_root: Path | None, augmented: bool) -> Callable[[], int]:
    # the workers of `memory` import this file, too, and none of these
    import medmnist
    from torch.utils.data import DataLoader
    from torchvision import transforms

    root = data_root or default_data_root()
    moves = [transforms.RandomAffine(10, (0.05, 0.05), (0.9, 1.1))] if augmented else []
    steps = transforms.Compose([*moves, transforms.ToTensor(), transforms.Normalize([0.5], [0.5])])
    folder = root / "medmnist" if (root / "medmnist").is_dir() else root
    dataset = medmnist.PneumoniaMNIST(split="train", transform=steps, root=str(folder))
    loader: DataLoader[Any] = DataLoader(dataset, batch_size=128, shuffle=True)
    return lambda: sum(len(labels) for _, labels in loader)


def load_times(data_root: Path | None) -> dict[str, float]:
    """Return milliseconds of the first load, which checks the MD5 and decodes, and of the second."""
    times = []
    with tempfile.TemporaryDirectory() as folder, _environment("SWEEPS_CACHE", folder):
        for _ in range(2):
            began = time.perf_counter()
            load(NAME, data_root=data_root)
            times.append(1e3 * (time.perf_counter() - began))
    return {"first": times[0], "second": times[1]}


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ[name]
    os.environ[name] = value
    yield
    os.environ[name] = before


def memory(folder: Path, workers: int, images: int) -> dict[str, float]:
    """Return megabytes (10^6 bytes) of all workers together; a page that they share counts once (PSS)."""
    path = _write_archive(folder / "pathmnist_64.npz", images)
    data = _load_generated(path)
    n_bytes = sum(split.images.nbytes for _, split in data)
    few = replace(data, splits={name: Split(part.images[:128].copy(), part.labels[:128]) for name, part in data})
    empty = _together(workers, _train_on, (pickle.dumps(few),))
    mapped = _together(workers, _train_on, (pickle.dumps(data),))
    copied = _together(workers, _read_all, (str(path), pickle.dumps(few)))
    return {
        "dataset": n_bytes / 1e6,
        "workers": workers,
        "pickled": len(pickle.dumps(data)) / 1e6,
        "few images": empty / 1e6,
        "mapped": mapped / 1e6,
        "read by each": copied / 1e6,
        "copies, mapped": (mapped - empty) / n_bytes,
        "copies, read by each": (copied - empty) / n_bytes,
    }


def _write_archive(path: Path, images: int) -> Path:
    """Write a file of PathMNIST's keys and types at 64, of random pixels."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for split, n in (("train", images - 2000), ("val", 1000), ("test", 1000)):
        arrays[f"{split}_images"] = rng.integers(0, 256, (n, SIDE, SIDE, 3), np.uint8)
        arrays[f"{split}_labels"] = rng.integers(0, 9, (n, 1), np.uint8)
    np.savez(path, **arrays)
    return path


def _load_generated(path: Path) -> Any:
    """Load a file as a real one; only the published MD5 is replaced by this file's."""
    with path.open("rb") as file:
        medmnist_info()["pathmnist"]["MD5_64"] = hashlib.file_digest(file, "md5").hexdigest()
    return load("pathmnist", SIDE, path.parent)


def _together(workers: int, work: Callable[..., Any], arguments: tuple[Any, ...]) -> float:
    """Return the bytes that all workers hold at the same time, after their work."""
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(workers), context.Queue()
    started = [context.Process(target=_worker, args=(work, arguments, barrier, queue)) for _ in range(workers)]
    for process in started:
        process.start()
    total = sum(queue.get(timeout=1800) for _ in started)
    for process in started:
        process.join()
    return float(total)


def _worker(work: Callable[..., Any], arguments: tuple[Any, ...], barrier: Barrier, queue: Any) -> None:
    held = work(*arguments)
    # all have done their work
    barrier.wait()
    queue.put(proportional_set_size())
    # all have measured, and `held` is still there
    barrier.wait()
    del held


def proportional_set_size() -> int:
    """Return the bytes of this process, a page that n processes share counted as 1/n (Linux)."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return 1024 * int(line.split()[1])
    raise OSError("/proc/self/smaps_rollup has no line Pss")


def _train_on(pickled: bytes) -> Any:
    """Go through every image of every split, by the batches that training uses."""
    torch.set_num_threads(1)
    data = pickle.loads(pickled)  # noqa: S301  made by this benchmark
    splits = to_device(data, Normalization((0.5,) * 3, (0.5,) * 3), torch.device("cpu"))
    config, order = make_config({"dataset": "pathmnist", "image_size": SIDE}), torch.Generator().manual_seed(0)
    seen = sum(len(targets) for _, targets in training_batches(splits["train"], config, data.info, order))
    seen += sum(len(labels) for name in ("val", "test") for _, labels in batches(splits[name], 128))
    return seen, splits


def _read_all(path: str, few: bytes) -> Any:
    """Read the file as a worker does that maps nothing."""
    _train_on(few)
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _text(found: dict[str, Any]) -> str:
    lines = ["An epoch over 4,708 images of 28 x 28 on one core, ms (median; least CPU):"]
    for name, times in found["epoch_ms"].items():
        lines.append(f"  {name:<60} wall {times['wall']:7.1f}  CPU {times['cpu']:7.1f}  least {times['least']:7.1f}")
    lines.append("Load of PneumoniaMNIST, ms: first {first:.1f}, second {second:.1f}".format(**found["load_ms"]))
    held = found["memory_mb"]
    lines.append(f"{held['workers']} workers on {held['dataset']:.0f} MB, MB together (proportional set size):")
    lines.append(f"  the same work on 384 images {held['few images']:.0f}")
    lines += [
        f"  {name} {held[name]:.0f}, which is {held[f'copies, {name}']:.2f} copies of the dataset more"
        for name in ("mapped", "read by each")
    ]
    return "\n".join([*lines, f"  a worker is sent {held['pickled']:.3f} MB"])


if __name__ == "__main__":
    start(app)
