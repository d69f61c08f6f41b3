"""Measures what grows: python -m benchmarks growth [--trials 1000,10000 | --weights 1e3,1e6 | --rows 100,10000].

CPU seconds of planning, of reading a ledger, of a resume, of the tables at a heartbeat, of a screen, of saving the
weights of all trials, and of the commands that read a run; and the memory of the driver. The runs are played, not
trained. With the number of weights: the default measures of a tensor. With the rows of `trials.parquet`: compare and
report. Beside each figure stands the exponent by which it has grown since the size before, and after the last that of
a fit: 1 is linear.
"""

from __future__ import annotations

import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from io import StringIO
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer
from rich.console import Console

from analysis import table
from analysis.command_line import new_app, start
from analysis.measures import MEASURES, measure_tensor
from analysis.runs.run_folder import RunFolder
from analysis.weights.model_columns import write_trials
from benchmarks.played_runs import play_run, played_sweep
from sweeps.planning.plan import make_plan
from sweeps.record.ledger import read_ledger
from sweeps.record.state import RunState, fold
from sweeps.record.table_rows import epochs_table, trials_table
from sweeps.running.after_training import UnsavedWeights
from sweeps.running.recorder import Recorder
from sweeps.screen.live import make_view
from trainables.errors import InputError

app = new_app()
Figures = dict[str, float]
# rows of weights.parquet of a replicate
TENSORS, STAGES = 6, ("initial", "best", "final")
# trials that are measured between two looks at whether to save
MEASURED_AT_A_TIME = 100
COMMANDS = {
    "show": ("sweeps.show",),
    "compare": ("analysis.compare",),
    "report": ("analysis.report",),
    "list runs": ("sweeps.list", "runs"),
}


@app.command()
def growth(
    trials: Annotated[str, typer.Option(help="Numbers of trials, separated by commas.")] = "100,1000,10000",
    weights: Annotated[str, typer.Option(help="Measure these numbers of weights instead, like 1e3,1e7.")] = "",
    rows: Annotated[str, typer.Option(help="Measure compare and report of so many rows instead.")] = "",
    epochs: Annotated[int, typer.Option(min=2, help="Epochs of each.")] = 6,
    seeds: Annotated[int, typer.Option(min=1, help="Replicates of each.")] = 3,
    commands: Annotated[bool, typer.Option(help="Also the commands that read a run.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Measure each size in a process of its own."""
    what, given = next((each for each in (("weights", weights), ("rows", rows)) if each[1]), ("trials", trials))
    try:
        sizes = [int(float(size)) for size in given.split(",")]
    except ValueError:
        raise InputError(f"--{what} {given}: give numbers like 100,1000") from None
    if len(sizes) == 1:
        measured = {
            "trials": lambda: measure(sizes[0], epochs, seeds, commands),
            "weights": lambda: _measures(sizes[0]),
            "rows": lambda: _tables(sizes[0], epochs, seeds),
        }
        found = {sizes[0]: measured[what]()}
    else:
        options = ["--epochs", str(epochs), "--seeds", str(seeds), *([] if commands else ["--no-commands"])]
        found = {size: _in_a_process([f"--{what}", str(size), *options])[str(size)] for size in sizes}
    of_runs = "" if what == "weights" else f", runs of {epochs} epochs and {seeds} seeds"
    print(json.dumps(found) if as_json else _text(found, f"{what}{of_runs}"))


def _in_a_process(options: list[str]) -> dict[str, Figures]:
    command = [sys.executable, "-m", "benchmarks.growth", *options, "--json"]
    found: dict[str, Figures] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return found


def _measures(weights: int) -> Figures:
    """Return CPU seconds of each default measure of a square matrix of about so many weights, and of all together."""
    side = math.isqrt(weights)
    tensor = np.random.default_rng(0).standard_normal((side, side)).astype(np.float32)
    names = [name for name, measure in MEASURES.items() if measure.default]
    # imports and compiled loops
    measure_tensor(np.eye(64, dtype=np.float32))
    found: Figures = {}
    for name in names:
        with _timed(found, name):
            measure_tensor(tensor, [name])
    return {"all": sum(found.values()), **found, "peak, MB": _peak()}


def _tables(rows: int, epochs: int, seeds: int) -> Figures:
    """Return CPU seconds and peak MB of the commands that read whole tables, of so many trials times seeds."""
    found: Figures = {}
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(1, get_context("spawn")) as player:
        path = player.submit(_play_tables, Path(folder), max(10, rows // seeds), epochs, seeds).result()
        for name in ("compare", "report"):
            process = subprocess.Popen([sys.executable, "-m", *COMMANDS[name], str(path)], stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if status:
                raise InputError(f"{name} of {rows:,} rows ended with {process.returncode}")
            found |= {name: usage.ru_utime + usage.ru_stime, f"{name}, MB": usage.ru_maxrss / 1024}
    return found


def _play_tables(folder: Path, trials: int, epochs: int, seeds: int) -> Path:
    run = play_run(folder, trials, epochs, seeds, open_trials=0)
    _write_tables(run, fold(read_ledger(run.ledger)))
    return run.path


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(trials: int, epochs: int, seeds: int, commands: bool) -> Figures:
    """Return CPU seconds and MB by what is measured."""
    found: Figures = {}
    with tempfile.TemporaryDirectory() as folder:
        # in a process of its own: what playing holds is not the driver's memory
        with ProcessPoolExecutor(1, get_context("spawn")) as player:
            run = player.submit(play_run, Path(folder), trials, epochs, seeds).result()
        # imports, and the data
        _plan(1, epochs, seeds)
        with _timed(found, "plan"):
            _plan(trials, epochs, seeds)
        with _timed(found, "read the ledger"):
            state = fold(read_ledger(run.ledger))
        del state
        with _timed(found, "resume"):
            state = _resume(run, epochs)
        found |= {"tables": _least(lambda: _write_tables(run, state)), "screen": _screen(state)}
        found["driver, MB"] = _peak()
        with _timed(found, "save weights"):
            _save_weights(run, state)
        for name, words in COMMANDS.items() if commands else ():
            more = ["--storage", folder] if "list" in name else [str(run.path)]
            found[name] = _command([*words, *more])
    return found


@contextmanager
def _timed(found: Figures, name: str) -> Iterator[None]:
    began = time.process_time()
    yield
    found[name] = time.process_time() - began


def _least(action: Callable[[], None], times: int = 3) -> float:
    taken = []
    for _ in range(times):
        began = time.process_time()
        action()
        taken.append(time.process_time() - began)
    return min(taken)


def _plan(trials: int, epochs: int, seeds: int) -> None:
    make_plan(played_sweep(trials, epochs, seeds), None, datetime(2026, 1, 1))


def _resume(run: RunFolder, epochs: int) -> RunState:
    """Do what a driver does with the ledger of a run that it goes on with, until its first trial can start."""
    state = fold(read_ledger(run.ledger))
    recorder = Recorder(run, played_sweep(1, epochs), state, run.metadata(), epochs)
    recorder.step()
    recorder.close()
    return state


def _write_tables(run: RunFolder, state: RunState) -> None:
    description, trials = run.read_description(), state.trials.values()
    write_trials(run, trials_table(run, trials, description))
    table.write_arrow(run.epochs_table, epochs_table(run, trials, description))


def _screen(state: RunState) -> float:
    """Return CPU seconds of one screen; the first, which looks at all trials, is left out."""
    console = Console(file=StringIO(), force_terminal=True, width=140, height=40)
    with make_view(state, "val_auc", "max", ("activation",), console, quiet=False) as view:

        def draw() -> None:
            view.due = 0.0  # type: ignore[attr-defined]
            view.update()

        return _least(draw, 10)


def _save_weights(run: RunFolder, state: RunState) -> None:
    """Save as a sweep does: in steps that grow with what is saved already."""
    trials, unsaved = list(state.trials.values()), UnsavedWeights(run)
    for first in range(0, len(trials), MEASURED_AT_A_TIME):
        unsaved.add(_weights(run, trials[first : first + MEASURED_AT_A_TIME]))
    unsaved.save()


def _weights(run: RunFolder, trials: list[Any]) -> pa.Table:
    """Make up rows of weights of trials."""
    replicates = [(trial, number, seed) for trial in trials for number, seed in enumerate(trial.config["seeds"])]
    places = [(stage, tensor) for stage in STAGES for tensor in range(TENSORS)]
    rows = [(*replicate, *place) for replicate in replicates for place in places]
    values = np.random.default_rng(0).random(len(rows))
    columns = {
        "sweep": [run.sweep] * len(rows),
        "run_id": [run.run_id] * len(rows),
        "trial_id": [row[0].trial_id for row in rows],
        "trial_key": [row[0].key for row in rows],
        "replicate": [row[1] for row in rows],
        "seed": [row[2] for row in rows],
        "stage": [row[3] for row in rows],
        "epoch": [1] * len(rows),
        "tensor": [f"{row[4]}.weight" for row in rows],
        "position": [row[4] for row in rows],
        "module_type": ["Linear"] * len(rows),
        "shape": [[8, 8]] * len(rows),
    }
    schema = table.schema("weights", run.read_description())
    measured = pa.array(values)
    return pa.Table.from_arrays(
        [pa.array(columns[f.name], f.type) if f.name in columns else measured for f in schema], schema=schema
    )


def _command(words: list[str]) -> float:
    """Return CPU seconds of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", *words], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _fitted(found: dict[int, Figures], name: str) -> float:
    """Return the exponent of the line of least squares through the logarithms of sizes and figures."""
    figures = [values[name] for values in found.values()]
    if min(figures) <= 0:
        return math.nan
    return statistics.linear_regression([math.log(size) for size in found], list(map(math.log, figures))).slope


def _text(found: dict[int, Figures], what: str) -> str:
    sizes, width = list(found), max(16, *map(len, next(iter(found.values()))))
    lines = [f"CPU seconds and MB by {what}, with the exponent since the size before:"]
    lines.append(f"  {'':<{width}}" + "".join(f"{size:>17,}" for size in sizes))
    for name in found[sizes[0]]:
        cells = [f"{found[sizes[0]][name]:>17.3f}"]
        for before, size in pairwise(sizes):
            small, large = found[before][name], found[size][name]
            power = math.log(large / small) / math.log(size / before) if small > 0 and large > 0 else math.nan
            cells.append(f"{large:>9.3f} ^{power:<6.2f}")
        if len(sizes) > 2:
            cells.append(f"   in all ^{_fitted(found, name):.2f}")
        lines.append(f"  {name:<{width}}" + "".join(cells))
    return "\n".join(lines)


if __name__ == "__main__":
    start(app)
