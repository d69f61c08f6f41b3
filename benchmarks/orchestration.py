"""Measure what orchestration costs: `python -m benchmarks orchestration [--grid quick] [--data-root DIR]`.

Trials of a small network, one thread each, two at a time, timed as whole processes from start to exit, in turn.
`pneumonia`: 16 trials of a CNN and 3 epochs on PneumoniaMNIST; `quick`: the 48 trials of 12 epochs and 3 seeds of
`sweeps.run activations`. All of these train every trial to its end:

- floor: two plain Python processes that train half of the trials each with our training loop, no orchestrator;
- sweep: `python -m sweeps.run` with ledger, checkpoints, tables and event files, without the measuring afterwards;
- sweep, apart: the same with `--fuse off`;
- sweep, measured: with complexity, figures and report, which the others do not have;
- textbook: Ray Tune's tutorial program (function trainable, DataLoader, a checkpoint each epoch, default loggers), of
  PneumoniaMNIST alone.

These stop bad trials, each by its own successive halving, so an epoch of a trial is what compares:

- sweep, asha: `python -m sweeps.run` with the rule of `activations`, without the measuring;
- optuna: two processes with our training loop, a journal, a grid sampler and a successive-halving pruner.

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
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from analysis.command_line import new_app, start
from benchmarks.rivals.grids import GRIDS, SLOTS, Grid
from trainables.errors import InputError, unknown_name

app = new_app()
TRIVIAL = 400
WITHOUT = ["--no-measure", "--no-report"]
WHOLE = ["--scheduler", "fifo"]
SWEEPS = {
    "sweep": [*WHOLE, *WITHOUT],
    "sweep, apart": [*WHOLE, *WITHOUT, "--fuse", "off"],
    "sweep, measured": WHOLE,
    "sweep, asha": WITHOUT,
}
RIVALS = ("floor", *SWEEPS, "optuna", "textbook")


@dataclass(frozen=True)
class Taken:
    """The cost of a rival: seconds in all, and the epochs of trials that it trained."""

    seconds: float
    epochs: int


@app.command()
def main(
    data_root: Annotated[Path | None, typer.Option(help="folder of the data files")] = None,
    grid: Annotated[str, typer.Option(help=f"which trials: {', '.join(GRIDS)}")] = "pneumonia",
    repeats: Annotated[int, typer.Option(min=1, help="times that each is run; the median counts")] = 1,
    only: Annotated[str, typer.Option(help="names of those to run, separated by +")] = "",
    trials: Annotated[int, typer.Option(min=1, help="trials of `trivial` that are counted")] = TRIVIAL,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout")] = False,
) -> None:
    """Time whole sweeps, ours and others'."""
    if grid not in GRIDS:
        raise InputError(unknown_name("grid", grid, GRIDS))
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  Ray spells it so
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    usual = [name for name in (*RIVALS, "trivial") if name != "textbook" or grid == "pneumonia"]
    names = only.split("+") if only else usual
    for name in names:
        if name not in usual:
            raise InputError(unknown_name("rival", name, usual))
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SWEEPS_CACHE"] = f"{folder}/cache"
        taken: dict[str, list[Taken]] = {name: [] for name in names if name != "trivial"}
        if taken:
            # fills the cache for all
            _run([*_rival("floor", grid), "--share", "0", "--warm"], data_root, folder)
        for turn in range(repeats):
            for name, values in taken.items():
                values.append(_time(name, grid, data_root, f"{folder}/{name.replace(' ', '')}{turn}"))
                print(f"{name}: {values[-1].seconds:.1f} s", file=sys.stderr)
        for name, values in taken.items():
            seconds = statistics.median(each.seconds for each in values)
            epoch = statistics.median(each.seconds / each.epochs for each in values)
            found[name] = {"seconds": seconds, "seconds an epoch of a trial": epoch}
        if "trivial" in names:
            # once the variables above are set: torch and Ray read them when they are imported
            from benchmarks.rivals.trivial import trivial_rate

            found["trivial"] = {"trials a second": trivial_rate(Path(folder), trials)}
    print(json.dumps(found) if as_json else _text(found, GRIDS[grid]))


def _text(found: dict[str, dict[str, float]], grid: Grid) -> str:
    """Return a line for each, as a multiple of the floor."""
    floor = found.get("floor")
    lines = [
        f"{grid.trials} trials of {grid.epochs} epochs and {grid.seeds} seeds on {grid.dataset}, {SLOTS} at a time, "
        "whole processes:"
    ]
    for name, values in found.items():
        if name == "trivial":
            lines.append(f"trials that only report: {values['trials a second']:.0f} a second")
            continue
        seconds, epoch = values.values()
        whole = f"{seconds / floor['seconds']:5.2f}" if floor else ""
        each = f"{epoch / floor['seconds an epoch of a trial']:5.2f}" if floor else ""
        lines.append(f"  {name:<16} {seconds:7.1f} s {whole}   {epoch:7.3f} s an epoch of a trial {each}")
    return "\n".join([*lines, *(["(at the right of each: as a multiple of the floor)"] if floor else [])])


def _rival(name: str, grid: str) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.rivals.{name}", "--grid", grid]


def _time(name: str, grid: str, data_root: Path | None, folder: str) -> Taken:
    began = time.perf_counter()
    if name == "floor":
        _run_together([[*_rival(name, grid), "--share", str(share)] for share in range(SLOTS)], data_root, folder)
    elif name == "optuna":
        _run_together([_rival(name, grid)] * SLOTS, data_root, folder)
    elif name == "textbook":
        _run(_rival(name, grid), data_root, folder)
    else:
        _run([*_sweep(GRIDS[grid], folder), *SWEEPS[name]], data_root, None)
    return Taken(time.perf_counter() - began, _epochs(name, grid, data_root, folder))


def _epochs(name: str, grid: str, data_root: Path | None, folder: str) -> int:
    """Return the epochs of trials that a rival has trained; replicates are not counted twice."""
    if name == "optuna":
        done = subprocess.run(
            [*_rival(name, grid), "--folder", folder, "--count"], stdout=subprocess.PIPE, check=True, text=True
        )
        return int(done.stdout)
    if name == "sweep, asha":
        import pyarrow.parquet as pq

        (table,) = Path(folder).glob("activations/*/epochs.parquet")
        return int(pq.read_metadata(table).num_rows) // GRIDS[grid].seeds
    return GRIDS[grid].trials * GRIDS[grid].epochs


def _sweep(grid: Grid, folder: str) -> list[str]:
    fields = ["--set", f"activation={','.join(grid.activations)}", "--tune", f"lr={','.join(map(str, grid.rates))}"]
    fields = fields if len(grid.rates) > 1 else [*fields[:2], "--fix", f"lr={grid.rates[0]}"]
    for name, value in grid.network.items():
        fields += ["--fix", f"{name}={'-'.join(map(str, value)) if isinstance(value, tuple) else value}"]
    how = ["--epochs", str(grid.epochs), "--seeds", str(grid.seeds), "--quiet", "--storage", folder]
    return [sys.executable, "-m", "sweeps.run", "activations", "--dataset", grid.dataset, *fields, *how]


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
