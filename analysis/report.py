"""python -m analysis.report RUN ...: one page with the results of the runs, and its figures as files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analysis.command_line import new_app, start
from analysis.page import html as report_page
from analysis.runs.find import find_runs
from analysis.runs.lease import hold as lease
from analysis.runs.remote import as_path, is_uri
from analysis.runs.sync import push_back
from analysis.terminal.plain_text import visible
from trainables.errors import InputError

if TYPE_CHECKING:
    from analysis.page.sections import ReportData
    from analysis.runs.run_folder import RunFolder

app = new_app()
EXAMPLES = """Examples:

  python -m analysis.report latest

  python -m analysis.report results/activations --output comparison/report.html
"""


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
) -> Path:
    """Write the page, and each figure as SVG and (png) PNG into a folder (None: no files). Raises `InputError`.

    >>> from analysis.runs.find import find_runs                                          # doctest: +SKIP
    >>> write_report(find_runs(["latest"]), Path("report.html"), None)                     # doctest: +SKIP
    """
    from analysis.page import behaviour as report_behaviour
    from analysis.page import complexity as report_complexity
    from analysis.page import evaluation as report_evaluation
    from analysis.page import records as report_records
    from analysis.page import sections as report_sections

    data = gather(runs, metric, against, stopped, hold)
    draw = report_sections.Drawer(figures, png)
    title = report_sections.run_names(runs)
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        sections = [
            report_sections.values(data, draw),
            report_sections.curves(data, draw),
            report_sections.hyperparameters(data, draw),
            report_complexity.performance(data, draw),
            report_complexity.weights(data, draw),
            report_behaviour.behaviour(data, draw),
            report_evaluation.evaluation(data, draw),
            report_records.failures(data),
            report_records.all_trials(data),
            report_records.provenance(data, command or ["python", "-m", "analysis.report", title]),
        ]
        shown = [section for section in sections if section is not None]
        html = report_page.page(title, report_sections.head(data, title), shown)
        page.write_text(html, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{page} cannot be written ({error.strerror}): choose another --output") from None
    return page


def gather(
    runs: Sequence[RunFolder], metric: str | None, against: str | None, stopped: str, hold: Sequence[str] | None
) -> ReportData:
    """Compute the content of the page."""
    from analysis.comparison.correlations import associate_models, associate_parts
    from analysis.comparison.importance import importances
    from analysis.comparison.results import load, with_stopped
    from analysis.comparison.standings import compare
    from analysis.page.sections import ReportData

    everything = load(runs, metric)
    results = with_stopped(everything, stopped)  # type: ignore[arg-type]
    parts = associate_parts(everything, (everything.metric, "gap_acc"), hold)
    models = associate_models(everything, hold)
    return ReportData(results, everything, compare(results, against), importances(everything), models, parts)


@app.command(epilog=EXAMPLES)
def report(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="latest, a sweep's name, a run id, a path, a results folder.")
    ],
    output: Annotated[
        Path | None, typer.Option(help="The page (default: report.html in the run, or in the results of several).")
    ] = None,
    against: Annotated[str | None, typer.Option(help="The value others are compared with (default: best).")] = None,
    metric: Annotated[str | None, typer.Option(help="What selects (default: what the run selected by).")] = None,
    stopped: Annotated[
        str, typer.Option(help="Trials that a scheduler stopped: left-out, or all trials at equal-epochs.")
    ] = "left-out",
    hold: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD", help="Field that correlations hold (default: nuisance)."),
    ] = None,
    storage: Annotated[str, typer.Option(help="Folder or URI of the results.")] = "results",
) -> None:
    """Write report.html, which needs no network and no other file, and its figures beside it as PNG and SVG."""
    selected = find_runs(runs, storage)
    home = selected[0].path if len(selected) == 1 else Path() if is_uri(storage) else as_path(storage)
    page = output or home / "report.html"
    command = ["python", "-m", "analysis.report", *sys.argv[1:]]
    inside = output is None and home == selected[0].path
    with lease(selected[0], instead="write elsewhere with --output FILE") if inside else nullcontext():
        held = [] if hold == ["none"] else hold
        write_report(selected, page, page.parent / "figures", metric, against, stopped, held, command)
        if inside:
            push_back(selected[0])
    count = len(list((page.parent / "figures").glob("*.svg")))
    print(visible(f"{page} and {count} figures in {page.parent / 'figures'}"))


if __name__ == "__main__":
    start(app)
