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
from analysis.grids import LONG
from analysis.page.parts import Drawing, LongColumn, LongTable, Part, Plotted, Report
from analysis.page.plotly_script import packed_script
from analysis.terminal.plain_text import visible
from trainables.json_values import as_json_value

PAGE = Path(__file__).parent
SCRIPTS = ("tables.js", "figures.js")


@dataclass(frozen=True)
class Picture:
    """A figure that has been drawn, and its caption."""

    svg: Markup
    caption: str


@dataclass(frozen=True)
class Plot:
    """A figure of Plotly's as JSON, which a script of the page draws, and its caption. wide: not for a small screen.

    still: the same as a picture, for a browser that runs no scripts.
    """

    data: Markup
    caption: str
    wide: bool
    still: Markup | None = None


def render(report: Report, figures: Path | None = None, *, png: bool = True) -> str:
    """Return the whole page, its style and scripts inside.

    Figures are Plotly's where there are such. figures: folder that each is also drawn to by matplotlib, as SVG and
    (png: half of the time that drawing takes) as PNG; the SVG then stands in the page for browsers without scripts.
    """
    sections = [(section, [_shown(part, figures, png) for part in section.parts]) for section in report.sections]
    plotted = any(isinstance(part, Plot) for _, parts in sections for part in parts)
    # our own files, which are no text of the results
    style, *scripts = (Markup((PAGE / name).read_text(encoding="utf-8")) for name in ("style.css", *SCRIPTS))
    page = _environment().get_template("report.html.j2")
    return page.render(
        head=report.head, sections=sections, style=style, script=Markup("\n").join(scripts),
        plotly=packed_script() if plotted else "",
    )  # fmt: skip


def part_html(part: Part, *, interactive: bool = False) -> str:
    """Return the HTML of one part by itself. interactive: figures as data for Plotly, where there are such."""
    macros: Any = _environment().get_template("parts.html.j2").module
    if interactive or isinstance(part, Plotted):
        return str(macros.draw(_shown(part, None, png=False)))
    return str(macros.draw(_drawn(part, None, png=False) if isinstance(part, Drawing) else part))


def _shown(part: Part, folder: Path | None, png: bool) -> Part | Picture | Plot:
    """Make a figure: as data for Plotly, or else as a picture, and as files where there is a folder for them."""
    if not isinstance(part, Drawing | Plotted):
        return part
    still = _drawn(part, folder, png) if isinstance(part, Drawing) and (folder or not part.interactive) else None
    if not part.interactive:
        assert still
        return still
    figure = part.interactive()
    wide = any(trace.get("type") == "parcoords" for trace in figure["data"])
    return Plot(Markup(as_json(as_json_value(figure))), part.caption, wide, still.svg if still else None)


def _drawn(part: Drawing, folder: Path | None, png: bool) -> Picture:
    """Draw a figure by matplotlib, also into a folder where there is one."""
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
    """Format a number as the page's script does: very small and very large ones by their power of ten."""
    if abs(value) >= LONG:
        return f"{value:.2e}"
    return f"{value:.{digits}f}" if abs(value) >= 1e-4 or value == 0 else f"{value:.1e}"
