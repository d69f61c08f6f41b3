"""Tables of text, built once and drawn on a terminal or in a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from analysis.terminal.plain_text import visible

if TYPE_CHECKING:
    from rich.console import Console

# numbers from here on are written by their power of ten; tables.js does the same
LONG = 1e6


@dataclass(frozen=True)
class Cell:
    """A cell: its text, a lesser text beside or below it, the number that it sorts by, and a Rich style."""

    text: str
    below: str = ""
    sort: float | None = None
    style: str = ""


@dataclass(frozen=True)
class Column:
    """A column: its head, whether it holds words, and when it is left out where a terminal is narrow (0: never).

    Of the columns that may go, those with the greatest number go first.
    """

    head: str
    words: bool = False
    drop: int = 0


@dataclass(frozen=True)
class Grid:
    """A table: title, columns, and rows with a cell for each column."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def without(self, column: Column) -> Grid:
        """Return the table without one of its columns."""
        kept = [index for index, own in enumerate(self.columns) if own is not column]
        rows = tuple(tuple(row[index] for index in kept) for row in self.rows)
        return replace(self, columns=tuple(self.columns[index] for index in kept), rows=rows)


def number_cell(value: float, digits: int = 4, below: str = "") -> Cell:
    """Build a cell of a number with so many decimals and a true minus sign; `-` where it is not known."""
    return Cell(format_number(value, digits), below, float(value))


def format_number(value: float, digits: int = 4) -> str:
    """Write so many decimals, a true minus sign, none before a zero; `-` for NaN. From a million on: `1.70e+28`."""
    if math.isnan(value):
        return "-"
    text = f"{value:.{digits}f}" if abs(value) < LONG or math.isinf(value) else f"{value:.2e}"
    if not float(text):
        text = text.lstrip("-")
    return text.replace("-", "−")


def print_grid(console: Console, grid: Grid) -> None:
    """Print a table so that it fits the terminal.

    Where it is too wide, lesser texts go below the numbers, then columns are left out in their order, which is said.
    Only a first column that is too long by itself is broken.
    """
    wide = _draw(grid, " ")
    if _width(console, wide) <= console.width:
        console.print(wide)
        return
    left_out: list[str] = []
    narrow = _draw(grid, "\n")
    while _width(console, narrow) > console.width:
        going = max(grid.columns, key=lambda column: column.drop)
        if not going.drop:
            break
        left_out.insert(0, going.head)
        grid = grid.without(going)
        narrow = _draw(grid, "\n")
    console.print(narrow)
    if left_out:
        console.print(f"left out for want of width: {', '.join(left_out)}", style="dim", markup=False, highlight=False)


def _width(console: Console, table: Table) -> int:
    return table.__rich_measure__(console, console.options.update(max_width=10_000)).maximum


def _draw(grid: Grid, line: str) -> Table:
    """Build a Rich table; line: between the words of a head and between a cell's two texts."""
    title = Text(grid.title) if grid.title else None
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.padding = (0, 1, 0, 0)
    for number, column in enumerate(grid.columns):
        table.add_column(
            Text(_head(column.head, line)), justify="left" if column.words else "right",
            style="bold" if number == 0 else "", no_wrap=number > 0, overflow="fold",
            min_width=min(12, max((len(row[0].text) for row in grid.rows), default=0)) if number == 0 else None,
        )  # fmt: skip
    for row in grid.rows:
        table.add_row(*(_text(cell, line) for cell in row))
    return table


def _head(head: str, line: str) -> str:
    """Put `line` between the words of a head; a number and its % are one word."""
    return head.replace(" %", "\0").replace(" ", line).replace("\0", " %")


def _text(cell: Cell, line: str) -> Text:
    text = Text("\n".join(map(visible, cell.text.split("\n"))), cell.style)
    return text.append(line + cell.below, "dim") if cell.below else text


def columns_of(heads: Sequence[str], words: Sequence[str] = ()) -> tuple[Column, ...]:
    """Build columns that are never left out, by their heads."""
    return tuple(Column(head, head in words) for head in heads)
