"""Measures weights files and runs for `analysis.complexity`, and shows what was measured."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from analysis import table
from analysis.behaviour.measure_run import measure_run_on_data
from analysis.comparison.results import load
from analysis.comparison.standings import group_trials, stand
from analysis.parallel.workers import processors
from analysis.runs.find import find_runs
from analysis.runs.run_code import trust_code_of
from analysis.runs.run_folder import RunFolder
from analysis.runs.sync import push_back
from analysis.terminal.plain_text import plain
from analysis.weights.measure_run import measure_run
from analysis.weights.terminal import (
    as_json,
    file_rows,
    print_layers,
    print_measured,
    print_rows,
    progress_bar,
    write_rows,
)


def measure_files(console: Console, files: list[Path], chosen: list[str], output: Path | None, json_: bool) -> None:
    """Measure weights files: print a table or JSON, and write all of it to `output`."""
    rows = list(file_rows(files, chosen))
    if output:
        write_rows(output, rows)
    if json_:
        print(as_json(rows))
    else:
        print_rows(console, rows, chosen)


def measure_runs(
    console: Console,
    targets: list[str],
    storage: str,
    chosen: list[str],
    every: int,
    again: bool,
    workers: int | None,
    address: str | None,
    json_: bool,
) -> None:
    """Measure the weights of runs into their tables; end with code 1 where some could not be measured."""
    problems, documents = 0, []
    for run in find_runs(targets, storage):
        began = time.monotonic()
        try:
            with progress_bar(console, run) as update:
                measured = measure_run(run, chosen, every, again, workers or processors(), address, update)
        except KeyboardInterrupt:
            console.print("interrupted; what was measured is saved, and the same command goes on with the rest")
            sys.exit(130)
        push_back(run)
        if not json_:
            print_layers(console, run, chosen, _best_trials(run))
        print_measured(console, run, measured, chosen, time.monotonic() - began)
        problems += len(measured.problems)
        documents += _run_rows(run) if json_ else []
    if json_:
        print(as_json(documents))
    if problems:
        sys.exit(1)


def _best_trials(run: RunFolder) -> set[str]:
    """Return the trials at which the compared values are at their best; all where none was trained to its end."""
    results = load([run])
    standings = stand(results, group_trials(results, [results.metric]))
    best = {standing.trial.rpartition("/")[2] for standing in standings if standing.trial}
    return best or set(results.table["trial_id"].to_pylist())


def measure_on_data(
    console: Console,
    targets: list[str],
    storage: str,
    again: bool,
    workers: int | None,
    address: str | None,
    data_root: Path | None,
    trust_code: bool,
) -> None:
    """Measure activations by layer and sharpness of runs; end with code 1 where some could not be measured."""
    problems = 0
    for run in find_runs(targets, storage):
        if trust_code:
            trust_code_of(run)
        with progress_bar(console, run) as update:
            measured = measure_run_on_data(run, data_root, again, workers or processors(), address, update)
        push_back(run)
        for problem in measured.problems:
            console.print(f"[red]problem:[/red] {plain(problem)}", highlight=False, soft_wrap=True)
        console.print(f"{measured.replicates} models on their data; in {run.activations_table}", soft_wrap=True)
        problems += len(measured.problems)
    if problems:
        sys.exit(1)


def _run_rows(run: RunFolder) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.read_arrow(run.weights_table, "weights").to_pylist()
    return rows
