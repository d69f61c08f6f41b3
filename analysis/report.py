"""python -m analysis.report RUN ...: one page with the results of the runs, and its figures as files."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from analysis.command_line import check_outputs, new_app, start
from analysis.runs.find import find_runs, refuse_unused_storage
from analysis.runs.lease import hold as lease
from analysis.runs.remote import as_path, is_uri
from analysis.runs.sync import push_back
from analysis.terminal.plain_text import visible
from trainables.errors import InputError

app = new_app()
EXAMPLES = """Examples:

  python -m analysis.report latest

  python -m analysis.report results/activations --output comparison/report.html
"""


@app.command(epilog=EXAMPLES)
def report(
    context: typer.Context,
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
    epoch: Annotated[
        str, typer.Option(help="The epoch that trials are judged at, with its weights: their best, or their last.")
    ] = "best",
    storage: Annotated[str, typer.Option(help="Folder or URI of the results.")] = "results",
) -> None:
    """Write report.html, which needs no network and no other file, and its figures beside it as PNG and SVG."""
    from analysis.page.write import write_report

    selected = find_runs(runs, storage)
    if output or len(selected) == 1:
        # the page of several runs stands in the folder of the results
        refuse_unused_storage(context, runs)
    home = selected[0].path if len(selected) == 1 else Path() if is_uri(storage) else as_path(storage)
    page = output or home / "report.html"
    if output:
        # any other file of that name, such as a table, would be lost
        if output.suffix not in (".html", ".htm"):
            raise InputError(f"--output {output}: name a file that ends with .html")
        check_outputs([page], page.parent / "figures")
    command = ["python", "-m", "analysis.report", *sys.argv[1:]]
    inside = output is None and home == selected[0].path
    with lease(selected[0], instead="write elsewhere with --output FILE") if inside else nullcontext():
        write_report(selected, page, page.parent / "figures", metric, against, stopped, hold, command, epoch=epoch)
        if inside:
            push_back(selected[0])
    count = len(list((page.parent / "figures").glob("*.svg")))
    print(visible(f"{page} and {count} figures in {page.parent / 'figures'}"))


if __name__ == "__main__":
    start(app)
