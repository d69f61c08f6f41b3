"""HTML pieces of the report. Everything that comes from results is escaped here; nothing is fetched from elsewhere."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent
TEXT = ' class="text"'
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


@dataclass(frozen=True)
class Section:
    """A part of the report: what its link says, its heading, and its HTML."""

    name: str
    title: str
    html: str


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its text, a small line below it, and the number that it sorts by."""

    text: str
    below: str = ""
    sort: float | None = None

    def html(self, *, text: bool) -> str:
        number = "" if self.sort is None else ' data-v=""' if math.isnan(self.sort) else f' data-v="{self.sort!r}"'
        small = f"<small>{escape(self.below)}</small>" if self.below else ""
        kind = TEXT if text else ""
        return f"<td{kind}{number}>{escape(self.text)}{small}</td>"


def number_cell(value: float, digits: int = 4, below: str = "") -> Cell:
    """A number, `-` where it is not known."""
    return Cell("-" if math.isnan(value) else f"{value:.{digits}f}".replace("-", "−"), below, float(value))


def paragraph(text: str, kind: str = "") -> str:
    start = f'<p class="{kind}">' if kind else "<p>"
    return f"{start}{escape(text)}</p>"


def table(heads: Sequence[str], rows: Iterable[Sequence[Cell]], text: Sequence[str] = ()) -> str:
    """A table; text: the heads of columns that hold words and not numbers."""
    top = "".join(f"<th{TEXT if head in text else ''}>{escape(head)}</th>" for head in heads)
    lines = ("".join(cell.html(text=head in text) for head, cell in zip(heads, row, strict=True)) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    inside = f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="scroll"><table class="sortable">{inside}</table></div>'


def figure(svg: str, caption: str, label: str) -> str:
    """An SVG with its caption; label: what a screen reader says."""
    named = svg.replace('aria-hidden="true"', f'role="img" aria-label="{escape(label)}"', 1)
    return f'<figure><div class="scroll">{named}</div><figcaption>{escape(caption)}</figcaption></figure>'


def as_json(value: Any) -> str:
    """JSON that can stand inside a script element: no tag can begin in it."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


@dataclass(frozen=True)
class LongColumn:
    """A column of the long table: what it is called, whether it holds words, and the decimals of its numbers."""

    name: str
    values: Sequence[Any]
    text: bool = False
    status: bool = False
    digits: int = 0
    better: str = ""


def long_table(name: str, columns: Sequence[LongColumn], first: int = 50) -> str:
    """A table that is drawn a page at a time from data beside it; its first rows stand there without scripts too."""
    data = [
        {"name": c.name, "values": [_plain(value) for value in c.values]}
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


def _plain(value: Any) -> Any:
    """A value as JSON holds it."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value.item() if hasattr(value, "item") else value


def _static_cell(column: LongColumn, value: Any) -> str:
    plain = _plain(value)
    text = "-" if plain is None else f"{plain:.{column.digits}f}" if column.digits else str(plain)
    kind = f' class="text {escape(text)}"' if column.status else TEXT if column.text else ""
    return f"<td{kind}>{escape(text)}</td>"


def definitions(pairs: Mapping[str, str]) -> str:
    """A list of names and what they are."""
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(text)}</dd>' for name, text in pairs.items())}</dl>"


def page(title: str, head: str, sections: Sequence[Section]) -> str:
    """The whole page, its style and script inside."""
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
