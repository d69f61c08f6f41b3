"""Draws a report as one HTML page by templates, which escape all text; nothing is fetched from elsewhere."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from analysis.figures import style as figure_style
from analysis.page.parts import Drawing, LongColumn, LongTable, Part, Plotted, Report
from analysis.terminal.plain_text import visible
from trainables.json_values import as_json_value

PAGE = Path(__file__).parent


@dataclass(frozen=True)
class Picture:
    """A figure that has been drawn, and its caption."""

    svg: Markup
    caption: str


def render(report: Report, figures: Path | None = None, *, png: bool = True) -> str:
    """Return the whole page, its style and script inside.

    figures: folder that each figure is also written to, as SVG and (png: half of the time that drawing takes) as PNG.
    """
    sections = [(section, [_drawn(part, figures, png) for part in section.parts]) for section in report.sections]
    # our own files, which are no text of the results
    style, script = (Markup((PAGE / name).read_text(encoding="utf-8")) for name in ("style.css", "tables.js"))
    page = _environment().get_template("report.html.j2")
    return page.render(head=report.head, sections=sections, style=style, script=script)


@dataclass(frozen=True)
class Plot:
    """A figure of Plotly's as JSON, which a script of the page draws, and its caption. wide: not for a small screen."""

    data: Markup
    caption: str
    wide: bool


def part_html(part: Part, *, interactive: bool = False) -> str:
    """Return the HTML of one part by itself. interactive: figures as data for Plotly, where there are such."""
    macros: Any = _environment().get_template("parts.html.j2").module
    if isinstance(part, Drawing | Plotted) and part.interactive and (interactive or isinstance(part, Plotted)):
        figure = part.interactive()
        wide = any(trace.get("type") == "parcoords" for trace in figure["data"])
        return str(macros.draw(Plot(Markup(as_json(as_json_value(figure))), part.caption, wide)))
    return str(macros.draw(_drawn(part, None, png=False)))


def _drawn(part: Part, folder: Path | None, png: bool) -> Part | Picture:
    """Draw a figure, also into a folder where there is one; other parts stay as they are."""
    if not isinstance(part, Drawing):
        return part
    figure = part.draw()
    text = figure_style.svg(figure)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{part.name}.svg").write_text(text, encoding="utf-8")
        if png:
            figure_style.save(figure, folder / f"{part.name}.png")
    label = escape(part.caption.split(". ")[0])
    shown = figure_style.for_page(text, part.name).replace('aria-hidden="true"', f'role="img" aria-label="{label}"', 1)
    # matplotlib escapes the texts of its SVG
    return Picture(Markup(shown), part.caption)


def without_controls(value: Any) -> Any:
    """Return a text with what steers a terminal, or turns the direction of text, written out; lines stay lines."""
    if type(value) is not str or value.isprintable():
        return value
    return "\n".join(map(visible, value.split("\n")))


@cache
def _environment() -> Environment:
    """Return the templates' environment: text is escaped, and a name that is not there is an error."""
    environment = Environment(
        loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        finalize=without_controls,
    )  # fmt: skip
    environment.globals["zip"] = zip
    environment.filters |= {
        "kind": lambda part: type(part).__name__,
        "sort_value": lambda value: "" if math.isnan(value) else repr(value),
        "rows": lambda table: list(_rows(table)),
        "data": lambda table: Markup(as_json({"columns": [_data(column) for column in table.columns]})),
    }
    return environment


def _data(column: LongColumn) -> dict[str, Any]:
    """Return a column as the page's script reads it."""
    given = {"text": column.text, "status": column.status, "digits": column.digits}
    values = as_json_value(list(column.values))
    return {"name": column.name, "values": values, **{name: value for name, value in given.items() if value}}


def as_json(value: Any) -> str:
    """Return JSON that can stand inside a script element: no tag can begin in it."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _rows(table: LongTable) -> Iterator[list[str]]:
    """Yield the texts of the first rows."""
    for row in range(min(table.first, table.total)):
        yield [_text(column, column.values[row]) for column in table.columns]


def _text(column: LongColumn, value: Any) -> str:
    plain = as_json_value(value)
    return "-" if plain is None else _fixed(plain, column.digits) if column.digits else str(plain)


def _fixed(value: float, digits: int) -> str:
    """Format a number as the page's script does: very small ones by their power of ten."""
    return f"{value:.{digits}f}" if abs(value) >= 1e-4 or value == 0 else f"{value:.1e}"
