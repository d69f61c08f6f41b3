"""Measured weights on the screen, as JSON and as a Parquet file of their own."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pandas as pd
import pyarrow as pa
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from analysis import table
from analysis.grids import Cell, Column, Grid, print_grid, visible
from analysis.measures import MEASURES
from analysis.runs.run_folder import RunFolder
from analysis.terminal.plain_text import plain
from analysis.weights.measure_run import Measured
from analysis.weights.rows import Row, measure_file, model_means, read_weights
from trainables.json_values import as_json_value

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
# Columns of a number on the screen.
CELL = 10
BASELINE = "sample_entropy_shuffled"


def file_rows(files: Sequence[Path], measures: Sequence[str]) -> Iterator[Row]:
    """Yield one row per learned tensor of each file, with its file and size."""
    for path in files:
        for row in measure_file(path, measures):
            del row["epoch"]
            yield {"file": str(path), "size": math.prod(row["shape"]), **row}


def as_json(rows: Sequence[Row]) -> str:
    """Return one JSON document; undefined numbers are null, infinite ones are text."""
    return json.dumps(as_json_value(list(rows), infinite_as_text=True))


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write a Parquet file of the rows, with unit, direction and meaning of every measure. Raises `InputError`."""
    types = {"file": pa.string(), "size": pa.int64(), "shape": pa.list_(pa.int64()), "position": pa.int64()}
    described = table.tensor_measures()
    fields = [
        pa.field(name, pa.float64(), metadata={"unit": c.unit, "direction": c.direction, "meaning": c.meaning})
        if (c := described.get(name))
        else pa.field(name, types.get(name, pa.string()))
        for name in rows[0]
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    table.write_arrow(path, pa.Table.from_pylist(list(rows), schema=pa.schema(fields)))


def columns_for(measures: Sequence[str], width: int) -> list[str]:
    """Choose the columns of a table on the screen: the telling ones of many measures, as many as fit."""
    have = [column for name in measures for column in MEASURES[name].columns]
    wanted = [name for name in SHOWN if name in have] if len(measures) > len(SHOWN) else list(measures)
    return wanted[: max(1, (width - 42) // CELL)]


def print_rows(console: Console, rows: Sequence[Row], measures: Sequence[str]) -> None:
    """Print a table for each file, and its model-level means."""
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
    """Build one line per tensor, and the mean over weight matrices weighted by size."""
    grid = Table(
        title=Text(visible(title)), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    grid.add_column("tensor", overflow="fold", min_width=12)
    grid.add_column("type", overflow="fold", min_width=6)
    grid.add_column("shape", justify="right", overflow="fold", min_width=8)
    for name in shown:
        grid.add_column(HEADS.get(name, name.replace("_", " ")), justify="right", max_width=CELL)
    for row in rows:
        shape = "×".join(map(str, row["shape"]))
        grid.add_row(
            Text(visible(row["tensor"])),
            Text(visible(row["module_type"])),
            shape,
            *(number_text(row[name]) for name in shown),
        )
    grid.add_section()
    means = model_means(rows)
    size = f"{sum(row['size'] for row in rows if len(row['shape']) > 1):,}"
    grid.add_row("mean of matrices", "", size, *(number_text(means.get(name)) for name in shown), style="bold")
    return grid


def number_text(value: float | None, figures: int = 4) -> str:
    """Write so many significant figures; `-` where a measure is undefined."""
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.{figures}g}" if abs(value) >= 1e-4 or value == 0 else f"{value:.2g}"


@contextmanager
def progress_bar(console: Console, run: RunFolder) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal, nothing elsewhere."""
    bar = Progress(console=console, transient=True, disable=not console.is_terminal)
    # Before version 14.3, rich prints an empty line at the end of a bar that it does not show.
    with nullcontext() if bar.disable else bar:
        task = bar.add_task(f"measuring {run.sweep}/{run.run_id}", total=None)

        def update(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield update


def print_measured(
    console: Console, run: RunFolder, measured: Measured, measures: Sequence[str], seconds: float
) -> None:
    """Print the number of tensors measured, and each problem."""
    for problem in measured.problems:
        console.print(f"[red]problem:[/red] {plain(problem)}", highlight=False, soft_wrap=True)
    if measured.tensors:
        text = f"{measured.tensors:,} tensors of {measured.replicates} replicates measured in {seconds:.1f} s"
    else:
        text = f"nothing to do: all {len(measures)} measures are there (--again measures them again)"
    console.print(f"{text}; in {run.weights_table}", highlight=False, soft_wrap=True)


def print_layers(console: Console, run: RunFolder, measures: Sequence[str], trials: set[str]) -> None:
    """Print for each dataset and model its tensors at the start and at the best epoch, means over trials."""
    names = ["trial_id", "stage", "tensor", "position", "module_type", "shape", BASELINE, *measures]
    weights = table.read(run.weights_table, "weights", names, ["initial", "best"])
    settings = table.read(run.trials_table).drop_duplicates("trial_id")
    # a training function of a user's own has none of these fields
    fields = settings.reindex(columns=["trial_id", "dataset", "image_size", "model"])
    rows = weights[weights["trial_id"].isin(trials)].merge(fields, on="trial_id")
    for (dataset, size, model), part in rows.groupby(["dataset", "image_size", "model"], sort=False, dropna=False):
        title = f"{model} on {dataset}" if isinstance(model, str) else "all trials"
        title += f" at {size:.0f} px" if size == size else ""
        count = part["trial_id"].nunique()
        print_grid(
            console, layers_grid(part, measures, f"{title}: the best trial of each value ({count}), start → best")
        )
    if "sample_entropy" in measures and rows[BASELINE].notna().any():
        console.print(
            "shuffled: the same weights in random order, which is what counts for Sample Entropy", style="dim"
        )


def layers_grid(rows: pd.DataFrame, measures: Sequence[str], title: str) -> Grid:
    """Build a line for each tensor; beside Sample Entropy that of the best weights shuffled."""
    shown = [name for name in measures if rows[name].notna().any()]
    finite = rows.assign(**rows[[*shown, BASELINE]].astype(float).replace([math.inf, -math.inf], math.nan))
    means = finite.groupby(["tensor", "stage"])[[*shown, BASELINE]].mean()
    columns = [Column("tensor", words=True), Column("type", words=True, drop=1), Column("shape", drop=2)]
    for number, name in enumerate(shown):
        columns.append(Column(name.replace("_", " "), drop=number and number + 2))
        if name == "sample_entropy":
            columns.append(Column("shuffled", drop=number and number + 2))
    lines = []
    for row in rows.drop_duplicates("tensor").sort_values("position").to_dict("records"):
        at = {stage: (row["tensor"], stage) for stage in ("initial", "best")}
        cells = [Cell(row["tensor"]), Cell(row["module_type"]), Cell("×".join(map(str, row["shape"])))]
        for name in shown:
            start, best = (number_text(means[name].get(at[stage]), 3) for stage in ("initial", "best"))
            cells.append(Cell(f"{start} → {best}"))
            if name == "sample_entropy":
                cells.append(Cell(number_text(means[BASELINE].get(at["best"]), 3)))
        lines.append(tuple(cells))
    return Grid(title, tuple(columns), tuple(lines))
