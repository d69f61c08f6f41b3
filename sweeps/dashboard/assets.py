"""Reads the sources of the pages: templates, styles and scripts, Plotly's among them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from analysis.grids import format_number
from analysis.page.plotly_script import plotly_script
from analysis.page.render import PAGE, without_controls

HERE = Path(__file__).parent
STATIC = {
    "report.css": PAGE / "style.css", "page.css": HERE / "page.css", "tables.js": PAGE / "tables.js",
    "page.js": HERE / "page.js", "figures.js": PAGE / "figures.js",
}  # fmt: skip
TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}


@cache
def templates() -> Environment:
    """Return the pages' templates: text is escaped, and what steers a terminal is written out."""
    loader = FileSystemLoader([HERE, PAGE])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        finalize=without_controls,
    )  # fmt: skip
    environment.filters["number"] = format_number
    return environment


def static(request: Request) -> Response:
    """Answer with a style or a script."""
    name = request.path_params["name"]
    path = plotly_script() if name == "plotly.js" else STATIC.get(name)
    if path is None:
        raise HTTPException(404)
    status = path.stat()
    mark = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
    headers = {"etag": mark, "cache-control": "no-cache" if name != "plotly.js" else "max-age=86400"}
    if request.headers.get("if-none-match") == mark:
        return Response(status_code=304, headers=headers)
    return Response(path.read_bytes(), media_type=TYPES[Path(name).suffix], headers=headers)
