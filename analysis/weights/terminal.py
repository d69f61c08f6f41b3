"""Measured weights on the screen, as JSON and as a Parquet file of their own."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from analysis import table
from analysis.measures import MEASURES
from analysis.runs.run_folder import RunFolder
from analysis.weights.measure_run import Measured
from analysis.weights.rows import Row, measure_file, model_means, read_weights
from trainables.errors import InputError

SHOWN = (
    "lmc",
    "sample_entropy",
    "sample_entropy_shuffled",
    "alpha",
    "effective_rank_share",
    "weight_kurtosis",
    "weight_sparsity",
)
HEADS = {
    "sample_entropy_shuffled": "the same shuffled",
    "weight_sparsity": "zeros",
    "weight_kurtosis": "excess kurtosis",
    "effective_rank_share": "eff. rank share",
}
WHERE = ("file", "tensor", "position", "module_type", "shape", "size")
CELL, PAIR = 10, 18  # columns of a number on the screen, and of two with an arrow


def file_rows(files: Sequence[Path], measures: Sequence[str]) -> Iterator[Row]:
    """One row per learned tensor of each file, with its file and size."""
    for path in files:
        for row in measure_file(path, measures):
            del row["epoch"]
            yield {"file": str(path), "size": math.prod(row["shape"]), **row}


def as_json(rows: Sequence[Row]) -> str:
    """One JSON document; undefined numbers are null, infinite ones are text."""
    return json.dumps([{name: _plain(value) for name, value in row.items()} for row in rows])


def _plain(value: Any) -> Any:
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else str(value)


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """A Parquet file of the rows, with unit, direction and meaning of every measure. Raises `InputError`."""
    import pyarrow as pa

    if path.suffix != ".parquet":
        raise InputError(f"--output {path}: give a name that ends in .parquet")
    types = {"file": pa.string(), "size": pa.int64(), "shape": pa.list_(pa.int64()), "position": pa.int64()}
    about = table.tensor_measures()
    fields = [
        pa.field(name, pa.float64(), metadata={"unit": c.unit, "direction": c.direction, "meaning": c.meaning})
        if (c := about.get(name))
        else pa.field(name, types.get(name, pa.string()))
        for name in rows[0]
    ]
    table.write_arrow(path, pa.Table.from_pylist(list(rows), schema=pa.schema(fields)))


def columns_for(measures: Sequence[str], width: int) -> list[str]:
    """The columns of a table on the screen: the telling ones where many measures were taken, as many as fit."""
    have = [column for name in measures for column in MEASURES[name].columns]
    wanted = [name for name in SHOWN if name in have] if len(measures) > len(SHOWN) else list(measures)
    return wanted[: max(1, (width - 42) // CELL)]


def print_rows(console: Console, rows: Sequence[Row], measures: Sequence[str]) -> None:
    """A table for each file, and its model-level means."""
    shown = columns_for(measures, console.width)
    for path in dict.fromkeys(row["file"] for row in rows):
        part = [row for row in rows if row["file"] == path]
        console.print(weights_table(part, shown, Path(path).name))
        known = read_weights(Path(path))[2] is not None
        guessed = "" if known else "; module types are guessed from names and shapes"
        console.print(f"[dim]{sum(row['size'] for row in part):,} weights in {len(part)} tensors{guessed}[/dim]")
    if any(MEASURES[name].ordered for name in measures):
        console.print(
            "[dim]Sample Entropy and other ordered measures depend on the arbitrary order of flattened weights[/dim]"
        )


def weights_table(rows: Sequence[Row], shown: Sequence[str], title: str) -> Table:
    """One line per tensor, and the mean over weight matrices weighted by size."""
    grid = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    grid.add_column("tensor", overflow="fold", min_width=12)
    grid.add_column("type", overflow="fold", min_width=6)
    grid.add_column("shape", justify="right", overflow="fold", min_width=8)
    for name in shown:
        grid.add_column(HEADS.get(name, name.replace("_", " ")), justify="right", max_width=CELL)
    for row in rows:
        shape = "×".join(map(str, row["shape"]))
        grid.add_row(row["tensor"], row["module_type"], shape, *(number(row[name]) for name in shown))
    grid.add_section()
    means = model_means(rows)
    size = f"{sum(row['size'] for row in rows if len(row['shape']) > 1):,}"
    grid.add_row("mean of matrices", "", size, *(number(means.get(name)) for name in shown), style="bold")
    return grid


def number(value: float | None, figures: int = 4) -> str:
    """So many significant figures; `-` where a measure is undefined."""
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.{figures}g}" if abs(value) >= 1e-4 or value == 0 else f"{value:.2g}"


@contextmanager
def progress_bar(console: Console, run: RunFolder) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, nothing elsewhere."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"measuring {run.sweep}/{run.run_id}", total=None)

        def update(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield update


def print_measured(console: Console, run: RunFolder, found: Measured, measures: Sequence[str], seconds: float) -> None:
    """What was done, and what could not be."""
    for problem in found.problems:
        console.print(f"[red]problem:[/red] {escape(problem)}", highlight=False, soft_wrap=True)
    if found.tensors:
        text = f"{found.tensors:,} tensors of {found.replicates} replicates measured in {seconds:.1f} s"
    else:
        text = f"nothing to do: all {len(measures)} measures are there (--again measures them again)"
    console.print(f"{text}; in {run.weights_table}", highlight=False, soft_wrap=True)


def print_layers(console: Console, run: RunFolder, measures: Sequence[str]) -> None:
    """A table for each dataset and model: every tensor before training and at the best epoch, means over trials."""
    weights, trials = table.read(run.weights_table, "weights"), table.read(run.trials_table)
    settings = trials.drop_duplicates("trial_id")[["trial_id", "dataset", "image_size", "model"]]
    rows = weights.merge(settings, on="trial_id")
    shown = [name for name in measures if rows[name].notna().any()][: max(1, (console.width - 42) // PAIR)]
    for setting, part in rows.groupby(["dataset", "image_size", "model"], sort=False, dropna=False):
        dataset, size, model = setting
        title = f"{model} on {dataset}" + (f" at {size:.0f} px" if size == size else "")
        console.print(
            _layers_table(part, shown, f"{title}: {part['trial_id'].nunique()} trials, from the start to best")
        )


def _layers_table(rows: pd.DataFrame, shown: Sequence[str], title: str) -> Table:
    grid = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    grid.add_column("tensor", overflow="fold", min_width=12)
    grid.add_column("type", overflow="fold", min_width=6)
    grid.add_column("shape", overflow="fold", justify="right", min_width=8)
    for name in shown:
        grid.add_column(name.replace("_", " "), justify="right", max_width=PAIR)
    finite = rows.assign(**rows[list(shown)].astype(float).replace([math.inf, -math.inf], math.nan))
    means = finite.groupby(["tensor", "stage"])[list(shown)].mean()
    for row in rows.drop_duplicates("tensor").sort_values("position").to_dict("records"):
        pairs = ([means[name].get((row["tensor"], stage)) for stage in ("initial", "best")] for name in shown)
        cells = [" → ".join(number(value, 3) for value in pair) for pair in pairs]
        grid.add_row(row["tensor"], row["module_type"], "×".join(map(str, row["shape"])), *cells)
    return grid
