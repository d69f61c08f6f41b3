"""python -m analysis.complexity RUN|FILE ...: the complexity of trained weights, of runs or of any weights file.

`from analysis.complexity import lmc, sample_entropy`: each takes an array. A flattened weight tensor is a series in an
arbitrary order: measures marked `ordered` depend on that order.
"""

from __future__ import annotations

import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from analysis.command_line import new_app, refuse_unused, start
from analysis.parallel.workers import processors
from analysis.runs.find import find_runs, refuse_unused_storage
from analysis.runs.sync import push_back
from analysis.terminal.plain_text import plain
from trainables.errors import InputError

if TYPE_CHECKING:
    from analysis.measures.lmc import lmc
    from analysis.measures.sample_entropy import sample_entropy
    from analysis.runs.run_folder import RunFolder
    from analysis.weights.files import read_tensors
    from analysis.weights.rows import measure_file, measure_replicate, model_means
    from analysis.weights.weights_table import write_complexity

__all__ = [
    "lmc", "measure_file", "measure_replicate", "model_means", "read_tensors", "sample_entropy", "write_complexity",
]  # fmt: skip
HOMES = {
    "lmc": "analysis.measures.lmc",
    "sample_entropy": "analysis.measures.sample_entropy",
    "read_tensors": "analysis.weights.files",
    "write_complexity": "analysis.weights.weights_table",
}


def __getattr__(name: str) -> Any:
    """Import the functions that others build on when they are first used: --help does not need them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(HOMES.get(name, "analysis.weights.rows")), name)


app = new_app()
OF_RUNS = ("every", "again", "workers", "address", "on_data", "data_root", "trust_code", "storage")
EXAMPLES = """Examples:

  python -m analysis.complexity latest --measures all

  python -m analysis.complexity resnet18.pth --json

  python -m analysis.complexity latest --definition reference
"""


@app.command(epilog=EXAMPLES)
def complexity(
    context: typer.Context,
    targets: Annotated[
        list[str],
        typer.Argument(metavar="RUN|FILE...", help="Runs (latest, a sweep, a run id, a path), or weights files."),
    ],
    measures: Annotated[
        str, typer.Option(help="default (the quick ones), all, or names of `python -m sweeps.list measures`.")
    ] = "default",
    definition: Annotated[
        str, typer.Option(help="exact, or reference: LMC and Sample Entropy as the earlier study computed them.")
    ] = "exact",
    every: Annotated[int, typer.Option(min=0, help="Also the weights kept along training, every N epochs.")] = 0,
    again: Annotated[bool, typer.Option("--again", help="Measure again what was measured before.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes (default: one a processor).")] = None,
    address: Annotated[
        str | None, typer.Option(help="Spread over the Ray cluster at this address; its nodes need not see the files.")
    ] = None,
    on_data: Annotated[
        bool,
        typer.Option("--on-data", help="Also activations by layer on the val split, and sharpness: wants the data."),
    ] = False,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the data files, for --on-data.")] = None,
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="Run the copies of your own code that the run keeps.")
    ] = False,
    output: Annotated[Path | None, typer.Option(help="Of files: write the whole table to this .parquet.")] = None,
    storage: Annotated[str, typer.Option(help="Folder or URI of the results.")] = "results",
    json_: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Measure weights: of runs into weights.parquet and trials.parquet, of other files onto the screen.

    What a run has measured already is kept; an interrupted command goes on where it was.
    """
    from analysis.weights.measure_run import choose

    chosen = choose(measures, definition)
    files = [Path(target) for target in targets if Path(target).is_file()]
    if files and len(files) < len(targets):
        raise InputError("name runs or weights files, not both at once")
    if output and not files:
        raise InputError("--output is for weights files: a run's table is its weights.parquet")
    if files:
        refuse_unused(context, OF_RUNS, "it is for runs")
    elif not on_data:
        refuse_unused(context, ("data_root", "trust_code"), "--on-data alone looks at data")
    if not files:
        refuse_unused_storage(context, targets)
    if files:
        _measure_files(Console(), files, chosen, output, json_)
    else:
        _measure_runs(Console(stderr=json_), targets, storage, chosen, every, again, workers, address, json_)
        if on_data:
            _measure_on_data(Console(stderr=json_), targets, storage, again, workers, address, data_root, trust_code)


def _measure_files(console: Console, files: list[Path], chosen: list[str], output: Path | None, json_: bool) -> None:
    from analysis.weights.terminal import as_json, file_rows, print_rows, write_rows

    rows = list(file_rows(files, chosen))
    if output:
        write_rows(output, rows)
    if json_:
        print(as_json(rows))
    else:
        print_rows(console, rows, chosen)


def _measure_runs(
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
    from analysis.weights.measure_run import measure_run
    from analysis.weights.terminal import as_json, print_layers, print_measured, progress_bar

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
    from analysis.comparison.results import load
    from analysis.comparison.standings import group_trials, stand

    results = load([run])
    standings = stand(results, group_trials(results, [results.metric]))
    best = {standing.trial.rpartition("/")[2] for standing in standings if standing.trial}
    return best or set(results.table["trial_id"].to_pylist())


def _measure_on_data(
    console: Console,
    targets: list[str],
    storage: str,
    again: bool,
    workers: int | None,
    address: str | None,
    data_root: Path | None,
    trust_code: bool,
) -> None:
    from analysis.behaviour.measure_run import measure_run_on_data
    from analysis.runs.run_code import trust_code_of
    from analysis.weights.terminal import progress_bar

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
    from analysis import table

    rows: list[dict[str, Any]] = table.read_arrow(run.weights_table, "weights").to_pylist()
    return rows


if __name__ == "__main__":
    start(app)
