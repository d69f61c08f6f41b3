"""python -m analysis.complexity RUN|FILE ...: the complexity of trained weights, of runs or of any weights file.

`from analysis.complexity import lmc, sample_entropy`: each takes an array. A flattened weight tensor is a series in an
arbitrary order: measures marked `ordered` depend on that order.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from analysis.command_line import check_outputs, new_app, refuse_unused, start
from analysis.runs.find import refuse_unused_storage
from trainables.errors import InputError

if TYPE_CHECKING:
    from analysis.measures.lmc import lmc
    from analysis.measures.sample_entropy import sample_entropy
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
    from analysis.commands.complexity import measure_files, measure_on_data, measure_runs
    from analysis.weights.measure_run import choose

    chosen = choose(measures, definition)
    files = [Path(target) for target in targets if Path(target).is_file()]
    if files and len(files) < len(targets):
        raise InputError("name runs or weights files, not both at once")
    if output and not files:
        raise InputError("--output is for weights files: a run's table is its weights.parquet")
    if output and output.suffix != ".parquet":
        raise InputError(f"--output {output}: give a name that ends in .parquet")
    check_outputs([output])
    if files:
        refuse_unused(context, OF_RUNS, "it is for runs")
    elif not on_data:
        refuse_unused(context, ("data_root", "trust_code"), "--on-data alone looks at data")
    if not files:
        refuse_unused_storage(context, targets)
    if files:
        measure_files(Console(), files, chosen, output, json_)
    else:
        measure_runs(Console(stderr=json_), targets, storage, chosen, every, again, workers, address, json_)
        if on_data:
            measure_on_data(Console(stderr=json_), targets, storage, again, workers, address, data_root, trust_code)


if __name__ == "__main__":
    start(app)
