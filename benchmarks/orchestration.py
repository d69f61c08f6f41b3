"""Measure what orchestration costs: `python -m benchmarks orchestration [--data-root DIR]`.

16 trials of 3 epochs of a small CNN on PneumoniaMNIST, one thread each, two at a time, timed as whole processes from
start to exit, in turn:

- floor: two plain Python processes that train half of the trials each with our training loop, no orchestrator;
- sweep: `python -m sweeps.run` with ledger, checkpoints, tables and event files, without the measuring afterwards;
- sweep, measured: with complexity, figures and report, which the others do not have;
- textbook: Ray Tune's tutorial program (function trainable, DataLoader, a checkpoint each epoch, default loggers).

Then trials that do nothing but report once, as fast as they go, with ledger, tables and live view. Ray starts its
workers at nice 15; here all run at the same niceness.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from analysis.command_line import new_app, start

app = new_app()
ACTIVATIONS = ("relu", "tanh", "gelu", "elu")
RATES = (0.001, 0.003, 0.01, 0.03)
EPOCHS, SLOTS = 3, 2
NAME = "pneumoniamnist"
TRIVIAL = 400


@app.command()
def main(
    data_root: Annotated[Path | None, typer.Option(help="folder of the data files")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="times that each is run; the median counts")] = 1,
    only: Annotated[str, typer.Option(help="comma-separated names of those to run")] = "",
    trials: Annotated[int, typer.Option(min=1, help="trials of `trivial` that are counted")] = TRIVIAL,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout")] = False,
) -> None:
    """Time whole sweeps, ours and others'."""
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  Ray spells it so
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    names = only.split(",") if only else ["floor", "sweep", "sweep, measured", "textbook", "trivial"]
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SWEEPS_CACHE"] = f"{folder}/cache"
        times: dict[str, list[float]] = {name: [] for name in names if name != "trivial"}
        if times:
            # fills the cache for all
            _run([*_rival("floor"), "--share", "0", "--warm"], data_root, folder)
        for turn in range(repeats):
            for name, values in times.items():
                values.append(_time(name, data_root, f"{folder}/{name}{turn}"))
                print(f"{name}: {values[-1]:.1f} s", file=sys.stderr)
        found = {name: statistics.median(values) for name, values in times.items()}
        if "trivial" in names:
            # once the variables above are set: torch and Ray read them when they are imported
            from benchmarks.orchestration_trivial import trivial_rate

            found["trivial trials a second"] = trivial_rate(Path(folder), trials)
    print(json.dumps(found) if as_json else _text(found))


def _text(found: dict[str, float]) -> str:
    """Return a line for each, as a multiple of the floor."""
    floor = found.get("floor")
    trials = len(ACTIVATIONS) * len(RATES)
    lines = [f"{trials} trials of {EPOCHS} epochs, {SLOTS} at a time, whole processes:"]
    for name, value in found.items():
        if name.startswith("trivial"):
            lines.append(f"trials that only report: {value:.0f} a second, {1 / value:.3f} s each")
        else:
            ratio = f"   {value / floor:.2f} of the floor" if floor else ""
            lines.append(f"  {name:<16} {value:7.1f} s{ratio}")
    return "\n".join(lines)


def _rival(name: str) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.orchestration_{name}"]


def _time(name: str, data_root: Path | None, folder: str) -> float:
    began = time.perf_counter()
    if name == "floor":
        _run_together([[*_rival("floor"), "--share", str(share)] for share in range(SLOTS)], data_root, folder)
    elif name == "textbook":
        _run(_rival("textbook"), data_root, folder)
    else:
        _run(_sweep(folder, measured=name != "sweep"), data_root, None)
    return time.perf_counter() - began


def _sweep(folder: str, *, measured: bool) -> list[str]:
    grid = ["--set", f"activation={','.join(ACTIVATIONS)}", "--set", f"lr={','.join(map(str, RATES))}"]
    how = ["--epochs", str(EPOCHS), "--seeds", "1", "--scheduler", "fifo", "--quiet", "--storage", folder]
    command = [sys.executable, "-m", "sweeps.run", "activations", "--dataset", NAME, *grid, *how]
    return command + ([] if measured else ["--no-measure", "--no-report"])


def _run(command: Sequence[str], data_root: Path | None, folder: str | None) -> None:
    _run_together([command], data_root, folder)


def _run_together(commands: Sequence[Sequence[str]], data_root: Path | None, folder: str | None) -> None:
    more = ["--data-root", str(data_root)] if data_root else []
    more += ["--folder", folder] if folder else []
    started = [subprocess.Popen([*command, *more], stdout=subprocess.DEVNULL) for command in commands]
    for process in started:
        if process.wait():
            sys.exit(f"error: {' '.join(map(str, process.args))} ended with {process.returncode}")  # type: ignore[arg-type]


if __name__ == "__main__":
    start(app)
