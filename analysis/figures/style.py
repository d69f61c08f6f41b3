"""The style of figures: colours, sizes, and SVG that follows the page's light or dark scheme."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

P = ParamSpec("P")

# Okabe and Ito (2008), without the yellow and the black that vanish on white or on dark paper, and two of Paul Tol's.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#882255", "#7a7a7a")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
# The page replaces them by its own.
INK, FAINT, LINE, PAPER = "#1a1b1c", "#8a8b8c", "#d8d9da", "#fdfefe"
# Lines or points from which on they are drawn as pixels.
LONG = 300
STYLE: Any = {
    "font.family": "sans-serif", "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "legend.fontsize": 8, "legend.frameon": False,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": FAINT, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "grid.color": LINE, "grid.linewidth": 0.6,
    "axes.axisbelow": True, "svg.fonttype": "none", "svg.hashsalt": "sweeps", "figure.dpi": 100,
}  # fmt: skip


def colour_of(number: int) -> str:
    """Return the colour of the nth kind; after eight they begin again, and the marker changes."""
    return COLOURS[number % len(COLOURS)]


def marker_of(number: int) -> str:
    """Return the marker of the nth kind: no two of the first 64 share colour and marker."""
    return MARKERS[(number + number // len(COLOURS)) % len(MARKERS)]


def seen_through(count: int) -> float:
    """Return the opacity of each of many lines or points that lie over one another."""
    return min(1.0, max(0.06, 40.0 / max(count, 1)))


def new_figure(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Figure, Any]:
    """Return a figure with a grid of axes (always 2D); width and height are those of one panel, in inches."""
    from matplotlib.figure import Figure as NewFigure

    figure = NewFigure(figsize=(width * columns, height * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, **{"squeeze": False, **options})


def styled(function: Callable[P, Figure]) -> Callable[P, Figure]:
    """Let a function draw in this style, whatever the caller's own is."""

    @wraps(function)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with _in_style():
            figure = function(*args, **kwargs)
            if engine := figure.get_layout_engine():
                # Laid out once, and not again for every file.
                engine.execute(figure)
                figure.set_layout_engine("none")
            return figure

    return drawn


def _in_style() -> AbstractContextManager[None]:
    from matplotlib import rc_context

    return rc_context(STYLE)


def save(figure: Figure, path: Path) -> None:
    """Write a figure for a paper or a slide, on white: `.png` at 200 dpi, or `.svg`."""
    metadata = {"Date": None} if path.suffix == ".svg" else {}
    with _in_style():
        figure.savefig(path, dpi=200, metadata=metadata, facecolor="white")


def svg(figure: Figure) -> str:
    """Return a figure as the text of an SVG file without a background."""
    file = io.StringIO()
    with _in_style():
        figure.savefig(file, format="svg", transparent=True, dpi=120, metadata={"Date": None})
    return re.sub(r"<metadata>.*?</metadata>", "", file.getvalue(), flags=re.DOTALL)


def for_page(text: str, name: str) -> str:
    """Fit an SVG into a page: as wide as it may be, with ids of its own, in the colours of the page's scheme.

    name: letters, digits and dashes; what the ids begin with.
    """
    text = text[text.index("<svg") :]
    size = re.search(r'width="([\d.]+)pt" height="[^"]*"', text)
    # A point is 1.33 px; letters of 9 pt are then 12 px.
    width = f"{float(size[1]) * 1.35:.0f}px" if size else "100%"
    text = re.sub(r'width="[^"]*" height="[^"]*"', f'aria-hidden="true" style="width: {width}"', text, count=1)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'(url\(|href=")#', rf"\1#{name}-", text)
    return _themed(text)


def _themed(text: str) -> str:
    """Replace colours by variables that the page's light and dark scheme set."""
    names: dict[str, str] = {INK: "currentColor", FAINT: "var(--faint)", LINE: "var(--line)", PAPER: "var(--paper)"}
    names |= {colour: f"var(--c{number})" for number, colour in enumerate(COLOURS)}
    return re.sub("|".join(names), lambda match: names[match[0].lower()], text, flags=re.IGNORECASE)
