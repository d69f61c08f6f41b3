"""python -m sweeps.list [WHAT]: what there is to choose from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from analysis.command_line import check_outputs, new_app, refuse_unused, start
from analysis.runs.find import runs_in
from analysis.terminal.plain_text import plain, visible
from search_spaces.definition import METRICS, mode_of
from search_spaces.find import find_sweep, sweep_names
from sweeps.screen.fields import REGISTRY_LISTS, fields
from sweeps.searchers.table import SEARCHERS
from trainables.errors import InputError, unknown_name
from trainables.registries import registry

if TYPE_CHECKING:
    from search_spaces.named_options import Named

app = new_app()
# characters up to which a word is not broken
LONGEST_WORD = 28
# characters up to which a whole cell is not broken
LONGEST_CELL = 16
# columns that other commands want: a name is whole up to half of a line
NAMES = ("sweep", "run")
# characters between two columns
GAP = 2
Rows = list[dict[str, str]]


def _sweeps() -> Rows:
    return [{"sweep": name, "question": find_sweep(name)[1].question} for name in sweep_names()]


def _runs(storage: str) -> Rows:
    from sweeps.screen.runs import list_run

    return [list_run(run) for run in runs_in(storage)]


def _datasets() -> Rows:
    from trainables.data.datasets import DATASETS, HOW_TO_NAME, OWN_DATA

    named = {**DATASETS, **dict(zip(HOW_TO_NAME, OWN_DATA.values(), strict=True))}
    return [
        {
            "dataset": name,
            "what": entry.meaning,
            "sizes": " ".join(map(str, entry.sizes)) or "any",
            "licence": entry.licence,
            "source": entry.citation,
        }
        for name, entry in named.items()
    ]


def _registry(field: str) -> Callable[[], Rows]:
    def rows() -> Rows:
        return [{field: name, "what": _first_line(entry)} for name, entry in registry(field).items()]

    return rows


def _first_line(entry: object) -> str:
    """Return an entry's `meaning`, or the first line of its docstring."""
    described = isinstance(entry, type | FunctionType | ModuleType) and entry.__name__ != "<lambda>"
    text = getattr(entry, "meaning", None) or (entry.__doc__ if described else None) or ""
    return str(text).strip().splitlines()[0] if text else ""


def _measures() -> Rows:
    from analysis.measures import MEASURES

    return [
        {"measure": name, "column": column, "what": entry.meaning, "unit": entry.unit, "source": measure.reference}
        for name, measure in MEASURES.items()
        for column, entry in measure.columns.items()
    ]


def _models(side: int, channels: int, classes: int) -> Rows:
    """Return every model with its size for such images; where it cannot take them, the reason."""
    from trainables.network.model_size import model_sizes

    sizes = model_sizes(side, channels, classes)
    return [
        {**row, "parameters": f"{size.parameters:,}", "macs": f"{size.macs / 1e6:,.1f} M", "note": ""}
        if not isinstance(size := sizes[row["model"]], str)
        else {**row, "parameters": "", "macs": "", "note": size}
        for row in _registry("model")()
    ]


def _fields() -> Rows:
    return fields()


def _augmentations() -> Rows:
    from trainables.data.augmentation import AUGMENTATIONS, OPERATIONS

    presets = [{"augmentation": name, "what": f"preset: {text or 'nothing'}"} for name, text in AUGMENTATIONS.items()]
    return presets + [{"augmentation": f"{name}:X", "what": _first_line(entry)} for name, entry in OPERATIONS.items()]


def _schedulers() -> Rows:
    from sweeps.schedulers.table import SCHEDULERS

    return _named("scheduler", SCHEDULERS)


def _searchers() -> Rows:
    return _named("searcher", SEARCHERS)


def _named(kind: str, table: Mapping[str, Named]) -> Rows:
    """Return a row for each name with its options and their defaults, as they may follow it: `asha:grace=1`."""
    return [
        {
            kind: name,
            "what": line.meaning,
            "options": " ".join(f"{name}={value}" if value else name for name, value in line.defaults.items()),
        }
        for name, line in table.items()
    ]


def _metrics() -> Rows:
    best = {"max": "the highest is best", "min": "the lowest is best"}
    return [{"metric": name, "what": f"{best[mode_of(name)]}; what stops, ranks and selects"} for name in METRICS]


LISTS: dict[str, Callable[[], Rows]] = {
    "sweeps": _sweeps,
    "datasets": _datasets,
    "fields": _fields,
    **{name: _registry(field) for name, field in REGISTRY_LISTS.items()},
    "augmentations": _augmentations,
    "schedulers": _schedulers,
    "searchers": _searchers,
    "metrics": _metrics,
    "measures": _measures,
}
# the options that a list has beside --json; other options are refused
OPTIONS = {
    "runs": ["storage"],
    "datasets": ["check"],
    "models": ["image_size", "channels", "classes"],
    "schedules": ["plot"],
}
EXAMPLES = """
[bold]Examples[/bold]

  python -m sweeps.list

  python -m sweeps.list runs --json

  python -m sweeps.list datasets --check breastmnist --data-root DIR

  python -m sweeps.list schedules --plot schedules.png
"""


@app.command(epilog=EXAMPLES)
def list_(
    context: typer.Context,
    what: Annotated[
        str | None, typer.Argument(help=f"One of: runs, {', '.join(LISTS)}; left out: all but the runs, in short.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    storage: Annotated[str, typer.Option(help="runs: folder or URI of the results.")] = "results",
    check: Annotated[str | None, typer.Option(metavar="NAME", help="datasets: look at every image of one.")] = None,
    image_size: Annotated[int | None, typer.Option(help="datasets --check, models: side of the images.")] = None,
    channels: Annotated[int, typer.Option(min=1, help="models: channels of the images.")] = 1,
    classes: Annotated[int, typer.Option(min=1, help="models: classes of the images.")] = 10,
    data_root: Annotated[Path | None, typer.Option(help="datasets --check: folder of the data files.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="schedules: draw them to a .png or .svg.")] = None,
) -> None:
    """List sweeps with their questions, runs, datasets, the fields of a trial and their values, and so on."""
    if what not in (None, "runs", *LISTS):
        raise InputError(unknown_name("list", what, ["runs", *LISTS]))
    if check and what != "datasets":
        raise InputError("--check NAME looks at a dataset: write `python -m sweeps.list datasets --check NAME`")
    if plot and what != "schedules":
        raise InputError("--plot FILE draws schedules: write `python -m sweeps.list schedules --plot FILE`")
    for name in ("storage", "check", "image_size", "channels", "classes", "data_root", "plot"):
        if name not in [*OPTIONS.get(str(what), []), *(["image_size", "data_root"] if check else [])]:
            homes = [home for home, names in OPTIONS.items() if name in names] or ["datasets --check NAME"]
            refuse_unused(context, [name], f"it is for {' and '.join(homes)}")
    if check:
        _print_check(check, image_size, data_root, json_)
        return
    if plot:
        _plot_schedules(plot)
    chosen = [what] if what else list(LISTS)
    tables = {**LISTS, "runs": lambda: _runs(storage)}
    # the sizes of models take seconds
    if what == "models":
        tables["models"] = lambda: _models(image_size or 28, channels, classes)
    lists = {name: tables[name]() for name in chosen}
    if json_:
        print(json.dumps(lists[what] if what else lists))
    else:
        _print(lists, short=what is None)


def _print_check(name: str, image_size: int | None, data_root: Path | None, as_json: bool) -> None:
    from trainables.data.check import check, lines

    found = check(name, image_size, data_root)
    if as_json:
        print(json.dumps(found.to_json()))
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for title, text in lines(found):
        table.add_row(f"[dim]{title}[/dim]", plain(text))
    Console().print(f"[bold]{plain(found.name)}[/bold]", table, sep="\n", highlight=False)


def _plot_schedules(path: Path) -> None:
    if path.suffix not in (".png", ".svg"):
        raise InputError(f"--plot {path}: name a file that ends with .png or .svg")
    check_outputs([path])
    from analysis.figures.trial import save, schedules
    from trainables.training.schedules import SCHEDULES, curve

    path.parent.mkdir(parents=True, exist_ok=True)
    save(schedules({name: curve(name, epochs=20, steps_per_epoch=10) for name in SCHEDULES}, 10), path)
    print(f"drawn to {path}")


def _print(lists: dict[str, Rows], short: bool) -> None:
    console = Console()
    for name, rows in lists.items():
        if short and name not in ("sweeps", "datasets"):
            names = dict.fromkeys(next(iter(row.values())) for row in rows)
            console.print(f"[bold]{name}[/bold] ({len(names)}): {plain(', '.join(names))}", highlight=False)
            continue
        if not rows:
            console.print(f"no {name} yet")
            continue
        _print_rows(console, rows)


def _print_rows(console: Console, rows: Rows) -> None:
    """Print a table in which no word and no short cell is broken.

    The last columns are left out where a terminal is narrow; a line below says which.
    """
    texts = {column: [column, *(visible(row[column]) for row in rows)] for column in rows[0]}
    least = {column: _least_width(column, cells, console.width) for column, cells in texts.items()}
    shown = list(texts)
    while len(shown) > 1 and sum(least[column] + GAP for column in shown) - GAP > console.width:
        shown.pop()
    room = console.width - sum(least[column] + GAP for column in shown) + GAP
    more = {column: max(map(len, texts[column])) - least[column] for column in shown}
    share = min(1.0, max(room, 0) / max(sum(more.values()), 1))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in shown:
        table.add_column(column, overflow="fold", width=least[column] + int(share * more[column]))
    for row in rows:
        table.add_row(*(plain(row[column]) for column in shown))
    console.print(table)
    if left_out := list(texts)[len(shown) :]:
        console.print(
            f"left out for want of width: {', '.join(left_out)}; --json has all", style="dim", highlight=False
        )


def _least_width(column: str, cells: Sequence[str], width: int) -> int:
    """Return how wide a column has to be, so that no word of it and no short cell is broken."""
    longest = max(LONGEST_WORD, width // 2 - GAP) if column in NAMES else LONGEST_WORD
    word = max(map(len, " ".join(cells).split()), default=1)
    return max(min(longest, word), *(len(cell) for cell in cells if len(cell) <= LONGEST_CELL), 1)


if __name__ == "__main__":
    start(app)
