"""python -m sweeps.list [WHAT]: what there is to choose from."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated

import typer

from sweeps.command_line import new_app, start

app = new_app()
Rows = list[dict[str, str]]


def _sweeps() -> Rows:
    from search_spaces.find import find_sweep, sweep_names

    return [{"sweep": name, "question": find_sweep(name)[1].question} for name in sweep_names()]


def _datasets() -> Rows:
    from trainables.data.datasets import DATASETS

    return [
        {
            "dataset": n,
            "what": d.meaning,
            "sizes": " ".join(map(str, d.sizes)),
            "licence": d.licence,
            "source": d.citation,
        }
        for n, d in DATASETS.items()
    ]


def _registry(field: str) -> Callable[[], Rows]:
    def rows() -> Rows:
        from trainables.config import registry

        return [{field: name, "what": _first_line(entry)} for name, entry in registry(field).items()]

    return rows


def _first_line(entry: object) -> str:
    """The first line of an entry's own docstring; nothing for a lambda or a constant."""
    text = getattr(entry, "__doc__", None) or ""
    return text.strip().splitlines()[0] if text.strip() and not isinstance(entry, (str, tuple)) else ""


def _measures() -> Rows:
    from analysis.measures import MEASURES

    return [
        {"measure": name, "column": column, "what": about.meaning, "unit": about.unit, "source": measure.reference}
        for name, measure in MEASURES.items()
        for column, about in measure.columns.items()
    ]


LISTS: dict[str, Callable[[], Rows]] = {
    "sweeps": _sweeps,
    "datasets": _datasets,
    "models": _registry("model"),
    "activations": _registry("activation"),
    "optimizers": _registry("optimizer"),
    "schedules": _registry("schedule"),
    "measures": _measures,
}


@app.command(epilog="Examples: python -m sweeps.list    python -m sweeps.list datasets --json")
def list_(
    what: Annotated[
        str | None, typer.Argument(help=f"One of: {', '.join(LISTS)}; all short lists where left out.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """List sweeps with their questions, datasets, models, activations, schedules and so on."""
    from trainables.errors import InputError, unknown_name

    if what is not None and what not in LISTS:
        raise InputError(unknown_name("list", what, LISTS))
    chosen = [what] if what else list(LISTS)
    lists = {name: LISTS[name]() for name in chosen}
    if json_:
        print(json.dumps(lists[what] if what else lists))
    else:
        _print(lists, short=what is None)


def _print(lists: dict[str, Rows], short: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for name, rows in lists.items():
        if short and name not in ("sweeps", "datasets"):
            names = dict.fromkeys(next(iter(row.values())) for row in rows)
            console.print(f"[bold]{name}[/bold] ({len(names)}): {', '.join(names)}", highlight=False)
            continue
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in rows[0]:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*row.values())
        console.print(table)


if __name__ == "__main__":
    start(app)
