"""python -m benchmarks file_transfer: what sending an epoch's files to the driver costs, beside writing them in place.

One machine: the object store and the driver's actor are in the way, a network is not.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import ray
import typer

from analysis.command_line import new_app, start
from analysis.runs.run_folder import RunFolder
from sweeps.running.file_server import MARKER, start_file_server
from sweeps.running.ray_session import ray_session
from trainables.training.checkpoint import write_atomically
from trainables.worker.attempt_folder import FileClient, open_attempt

app = new_app()


@app.command()
def file_transfer(
    sizes: Annotated[str, typer.Option(help="MB of an epoch's files: an MLP has 0.4, ResNet-18 45.")] = "0.4,45,180",
    repeats: Annotated[int, typer.Option(min=1, help="Epochs of each.")] = 7,
) -> None:
    """Print the median milliseconds of one epoch's files, and their range."""
    with tempfile.TemporaryDirectory() as folder, ray_session(None, Path(folder) / "ray.log"):
        run = RunFolder(Path(folder) / "s" / "run")
        run.trials.mkdir(parents=True)
        client = start_file_server(run)
        # as on a node that does not see it
        (run.path / MARKER).unlink()
        task: Any = ray.remote(num_cpus=1)(time_sending)
        for number, size in enumerate(map(float, sizes.split(","))):
            for how, given in (("in place", None), ("sent", client)):
                taken = ray.get(task.remote(str(run.trials / f"{number}{how[:2]}"), given, size, repeats))
                low, middle, high = min(taken), statistics.median(taken), max(taken)
                print(f"{size:6.1f} MB {how:10} {middle:7.1f} ms ({low:.1f} to {high:.1f})")


def time_sending(trial: str, client: FileClient | None, size: float, repeats: int) -> list[float]:
    """Return milliseconds of writing and sending `size` MB, `repeats` times, after one that warms up."""
    attempt, content, taken = open_attempt(trial, client), bytes(int(size * 1e6)), []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        write_atomically(attempt.folder / "seed_0" / "final_model.safetensors", content)
        attempt.send()
        taken.append(1000 * (time.perf_counter() - began))
    return taken[1:]


if __name__ == "__main__":
    start(app)
