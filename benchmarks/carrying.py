"""python -m benchmarks.carrying: what an epoch's files cost on their way home, beside writing them in place.

One machine: the object store and the driver's actor are in the way, a network is not.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.command_line import new_app, start

if TYPE_CHECKING:
    from trainables.attempt_folder import Home

app = new_app()
SIZES = {"mlp, 0.4 MB": 0.4, "resnet18, 45 MB": 45.0, "180 MB": 180.0}  # MB of an epoch's files
REPEATS = 7


@app.command()
def carrying() -> None:
    """Median milliseconds of one epoch's files, and the spread."""
    import ray

    from analysis.runs.run_folder import RunFolder
    from sweeps.running.ray_session import ray_session
    from sweeps.running.run_home import MARKER, open_home

    with tempfile.TemporaryDirectory() as folder, ray_session(None, Path(folder) / "ray.log"):
        run = RunFolder(Path(folder) / "s" / "run")
        run.trials.mkdir(parents=True)
        home = open_home(run)
        (run.path / MARKER).unlink()  # as on a node that does not see it
        task: Any = ray.remote(num_cpus=1)(time_place)
        for number, (name, size) in enumerate(SIZES.items()):
            for how, given in (("in place", None), ("sent home", home)):
                taken = ray.get(task.remote(str(run.trials / f"{number}{how[:2]}"), given, size))
                low, middle, high = min(taken), statistics.median(taken), max(taken)
                print(f"{name:16} {how:10} {middle:7.1f} ms ({low:.1f} to {high:.1f})")


def time_place(trial: str, home: Home | None, size: float) -> list[float]:
    """Milliseconds of writing and sending `size` MB, as often as `REPEATS` says, after one that warms up."""
    from trainables.attempt_folder import new_place
    from trainables.training.checkpoint import write_atomically

    place, content, taken = new_place(trial, home), bytes(int(size * 1e6)), []
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        write_atomically(place.folder / "seed_0" / "final_model.safetensors", content)
        place.send()
        taken.append(1000 * (time.perf_counter() - began))
    return taken[1:]


if __name__ == "__main__":
    start(app)
