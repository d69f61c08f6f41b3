"""The parts of a report: sections of paragraphs, tables and figures, as plain data that a template draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from analysis.grids import Grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Paragraph:
    """A paragraph; kind: its CSS class."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    text: str


@dataclass(frozen=True)
class Command:
    """A command, in the words that one types."""

    text: str


@dataclass(frozen=True)
class Definitions:
    """A list of names and what stands behind each."""

    meanings: Mapping[str, str]


@dataclass(frozen=True)
class Drawing:
    """A figure, drawn when the page is written. name: of its files, and what the ids in its SVG begin with.

    The caption's first sentence is read out by screen readers in place of the figure. interactive: the same as a figure
    of Plotly's, for a page that has its script.
    """

    name: str
    draw: Callable[[], Figure]
    caption: str
    interactive: Callable[[], dict[str, Any]] | None = None


@dataclass(frozen=True)
class Plotted:
    """A figure for a page with Plotly's script alone."""

    interactive: Callable[[], dict[str, Any]]
    caption: str


@dataclass(frozen=True)
class LongColumn:
    """A column of a long table: its name, whether it holds words, and the decimals of its numbers."""

    name: str
    values: Sequence[Any]
    text: bool = False
    status: bool = False
    digits: int = 0
    better: str = ""


@dataclass(frozen=True)
class LongTable:
    """A table that a script draws a page at a time from data beside it; without scripts it shows its first rows."""

    name: str
    columns: Sequence[LongColumn]
    first: int = 50

    @property
    def total(self) -> int:
        """Return the number of rows."""
        return len(self.columns[0].values)


Part: TypeAlias = Paragraph | Heading | Command | Definitions | Drawing | Plotted | Grid | LongTable


@dataclass(frozen=True)
class Section:
    """A part of the report with a heading; name: the target of its link."""

    name: str
    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Head:
    """The top of the page: the runs' names, their questions, the answers, and how much was trained."""

    title: str
    questions: tuple[str, ...]
    answers: tuple[str, ...]
    size: str


@dataclass(frozen=True)
class Report:
    """A whole report, before anything of it is drawn."""

    head: Head
    sections: tuple[Section, ...]
