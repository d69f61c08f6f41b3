"""Builds the report of runs section by section, and writes the page and its figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from analysis.comparison.compare_runs import ComparedRuns, compare_runs
from analysis.page.behaviour import behaviour
from analysis.page.complexity import performance, weights
from analysis.page.evaluation import evaluation
from analysis.page.hardware import hardware
from analysis.page.parts import Report
from analysis.page.records import all_trials, failures, provenance
from analysis.page.render import render
from analysis.page.sections import curves, head, hyperparameters, run_names, values
from analysis.runs.run_folder import RunFolder
from trainables.atomic_files import check_regular, write_atomically
from trainables.errors import InputError


def write_report(
    runs: Sequence[RunFolder],
    page: Path,
    figures: Path | None,
    metric: str | None = None,
    against: str | None = None,
    stopped: str = "left-out",
    hold: Sequence[str] | None = None,
    command: Sequence[str] = (),
    png: bool = True,
    epoch: str = "best",
) -> Path:
    """Write the page, and each figure as SVG and (png) PNG into a folder (None: no files). Raises `InputError`.

    >>> from analysis.runs.find import find_runs                                          # doctest: +SKIP
    >>> write_report(find_runs(["latest"]), Path("report.html"), None)                     # doctest: +SKIP
    """
    with _refusals(page):
        if page.exists():
            check_regular(page)
    compared = compare_runs(runs, metric, against, stopped, hold, epoch)
    report = build_report(compared, command or ["python", "-m", "analysis.report", run_names(runs)])
    with _refusals(page):
        write_atomically(page, render(report, figures, png=png).encode(), durable=False)
    return page


@contextmanager
def _refusals(page: Path) -> Iterator[None]:
    """Make what the disk refuses an `InputError`."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{page} cannot be written ({error.strerror}): choose another --output") from None


def build_report(compared: ComparedRuns, command: Sequence[str]) -> Report:
    """Return the report of runs, nothing of it drawn yet. command: the words that write this page."""
    sections = (
        values(compared),
        curves(compared),
        hyperparameters(compared),
        performance(compared),
        weights(compared),
        behaviour(compared),
        evaluation(compared),
        failures(compared),
        hardware(compared),
        all_trials(compared),
        provenance(compared, command),
    )
    return Report(head(compared), tuple(section for section in sections if section is not None))
