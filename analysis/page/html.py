"""HTML pieces of the report. Everything that comes from results is escaped here; nothing is fetched from elsewhere."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from analysis.grids import Cell, Column, Grid
from trainables.json_values import as_json_value

PAGE = Path(__file__).parent
TEXT = ' class="text"'
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


@dataclass(frozen=True)
class Section:
    """A part of the report: the name of its link, its heading, and its HTML."""

    name: str
    title: str
    html: str


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph; kind: its CSS class."""
    start = f'<p class="{kind}">' if kind else "<p>"
    return f"{start}{escape(text)}</p>"


def table(grid: Grid) -> str:
    """Return a table that sorts by its columns; a cell's lesser text stands below it."""
    top = "".join(f"<th{TEXT if column.words else ''}>{escape(column.head)}</th>" for column in grid.columns)
    lines = ("".join(map(_cell, grid.columns, row)) for row in grid.rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    inside = f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="scroll"><table class="sortable">{inside}</table></div>'


def _cell(column: Column, cell: Cell) -> str:
    number = "" if cell.sort is None else ' data-v=""' if math.isnan(cell.sort) else f' data-v="{cell.sort!r}"'
    small = f"<small>{escape(cell.below)}</small>" if cell.below else ""
    return f"<td{TEXT if column.words else ''}{number}>{escape(cell.text)}{small}</td>"


def figure(svg: str, caption: str, label: str) -> str:
    """Return an SVG with its caption; label: for screen readers."""
    named = svg.replace('aria-hidden="true"', f'role="img" aria-label="{escape(label)}"', 1)
    return f'<figure><div class="scroll">{named}</div><figcaption>{escape(caption)}</figcaption></figure>'


def as_json(value: Any) -> str:
    """Return JSON that can stand inside a script element: no tag can begin in it."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


@dataclass(frozen=True)
class LongColumn:
    """A column of the long table: its name, whether it holds words, and the decimals of its numbers."""

    name: str
    values: Sequence[Any]
    text: bool = False
    status: bool = False
    digits: int = 0
    better: str = ""


def long_table(name: str, columns: Sequence[LongColumn], first: int = 50) -> str:
    """Return a table that is drawn a page at a time from data beside it; without scripts it shows its first rows."""
    data = [
        {"name": c.name, "values": as_json_value(list(c.values))}
        | ({"text": True} if c.text else {})
        | ({"status": True} if c.status else {})
        | ({"digits": c.digits} if c.digits else {})
        for c in columns
    ]
    total = len(columns[0].values)
    heads = "".join(f"<th{_attributes(column)}>{escape(column.name.replace('_', ' '))}</th>" for column in columns)
    lines = ("".join(_static_cell(column, column.values[i]) for column in columns) for i in range(min(first, total)))
    rows = "".join(f"<tr>{line}</tr>" for line in lines)
    return (
        f'<div class="tools" id="{name}-tools" hidden>'
        '<label>Filter <input type="search" placeholder="words that a row must have"></label>'
        '<span class="pages"><button type="button">back</button> <button type="button">next</button></span> '
        '<span class="count"></span></div>'
        f'<div class="scroll"><table class="long" data-source="{name}-data" data-tools="{name}-tools">'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
        f"<noscript>{paragraph(f'The first {min(first, total)} of {total} rows.', 'note')}</noscript>"
        f'<script type="application/json" id="{name}-data">{as_json({"columns": data})}</script>'
    )


def _attributes(column: LongColumn) -> str:
    kind = TEXT if column.text else ""
    return kind + (f' data-better="{column.better}"' if column.better else "")


def _static_cell(column: LongColumn, value: Any) -> str:
    plain = as_json_value(value)
    text = "-" if plain is None else _fixed(plain, column.digits) if column.digits else str(plain)
    kind = f' class="text {escape(text)}"' if column.status else TEXT if column.text else ""
    return f"<td{kind}>{escape(text)}</td>"


def _fixed(value: float, digits: int) -> str:
    """Format a number as the page's script does: very small ones by their power of ten."""
    return f"{value:.{digits}f}" if abs(value) >= 1e-4 or value == 0 else f"{value:.1e}"


def definitions(pairs: Mapping[str, str]) -> str:
    """Return a list of names and their meanings."""
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(text)}</dd>' for name, text in pairs.items())}</dl>"


def page(title: str, head: str, sections: Sequence[Section]) -> str:
    """Return the whole page, its style and script inside."""
    links = "".join(f'<a href="#{section.name}">{escape(section.title)}</a>' for section in sections)
    body = "".join(
        f'<section id="{section.name}"><h2>{escape(section.title)}</h2>{section.html}</section>' for section in sections
    )
    style, script = ((PAGE / name).read_text(encoding="utf-8") for name in ("style.css", "tables.js"))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body>"
        f"<header>{head}<nav>{links}</nav></header><main>{body}</main><script>{script}</script></body></html>\n"
    )
