"""`python -m trainables.normalization save|show|verify DATASET`: the statistics that normalise a dataset's images."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from trainables.data.datasets import load
from trainables.data.normalization import NORMALIZATIONS, find_saved, normalization_of, read_saved, true_ranges
from trainables.data.normalization import save as save_statistics
from trainables.data.normalization import verify as verify_statistics
from trainables.errors import InputError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)

Dataset = Annotated[str, typer.Argument(help="dataset name, or data of your own, such as npz:FILE (docs/data.md)")]
Size = Annotated[int | None, typer.Option("--image-size", help="side of the images in px; left out: the dataset's own")]
Channels = Annotated[int | None, typer.Option("--channels", help="1: as grey, 3: as RGB images")]
Root = Annotated[Path | None, typer.Option("--data-root", help="folder of the data files")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON document on stdout")]


def _command(function: Callable[..., None]) -> Callable[..., None]:
    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except InputError as error:
            print(error, file=sys.stderr)
            raise typer.Exit(2) from None

    return app.command()(run)


@_command
def save(
    dataset: Dataset,
    image_size: Size = None,
    channels: Channels = None,
    data_root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Compute mean and standard deviation of the training split and save them beside the data, or in the cache."""
    data = load(dataset, image_size, data_root, channels)
    path = save_statistics(data)
    _show(data, {"dataset": read_saved(path, data)}, path, "saved in", as_json)


@_command
def show(
    dataset: Dataset,
    image_size: Size = None,
    channels: Channels = None,
    data_root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Show every normalisation of a dataset, with the true range of its inputs in each split."""
    data = load(dataset, image_size, data_root, channels)
    normalizations = {name: normalization_of(name, data) for name in NORMALIZATIONS}
    _show(data, normalizations, find_saved(data), "saved in", as_json)


@_command
def verify(
    dataset: Dataset,
    image_size: Size = None,
    channels: Channels = None,
    data_root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Compute the statistics again and compare them with the saved ones; exit code 2 where they differ."""
    data = load(dataset, image_size, data_root, channels)
    path, normalizations = verify_statistics(data)
    _show(data, {"dataset": normalizations}, path, "verified:", as_json)


def _show(data: Any, normalizations: dict[str, Any], path: Path | None, word: str, as_json: bool) -> None:
    ranges = true_ranges(data, normalizations)
    rows = [
        {
            "normalization": name,
            "mean": [round(value, 6) for value in values.mean],
            "std": [round(value, 6) for value in values.std],
            "range": {split: [round(v, 4) for v in ends] for split, ends in ranges[name].items()},
        }
        for name, values in normalizations.items()
    ]
    if as_json:
        print(json.dumps({"dataset": data.info.name, "digest": data.digest, "file": str(path or ""), "rows": rows}))
    else:
        _print_table(data, rows)
        print(f"{word} {path}" if path else "not saved: an embedded dataset's statistics are computed each time")


def _print_table(data: Any, rows: list[dict[str, Any]]) -> None:
    table = Table(title=f"{data.info.name} · {tuple(data.info.shape)} · digest {data.digest}")
    for column in ("name", "mean", "std", "train", "val", "test"):
        table.add_column(column, overflow="fold")
    for row in rows:
        ends = [f"{low:.2f}…{high:.2f}" for low, high in row["range"].values()]
        mean, std = (" ".join(f"{value:.4f}" for value in row[key]) for key in ("mean", "std"))
        table.add_row(row["normalization"], mean, std, *ends)
    table.caption = "train, val, test: lowest…highest input after normalisation"
    Console().print(table)


if __name__ == "__main__":
    app()
