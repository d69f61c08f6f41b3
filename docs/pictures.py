"""Draws the pictures of the pages from a real run: `python docs/pictures.py RUN`, of a run that has ended.

Nothing in them is made up: the live view is that of the run's own ledger, read to its middle; the summary and the
report are those of its files. The report's picture wants Chromium and Playwright (`pip install playwright`).
"""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

from rich.console import Console

from analysis.runs.find import find_run
from analysis.runs.run_folder import RunFolder
from sweeps.record.ledger import read_ledger
from sweeps.record.state import RunState, fold
from sweeps.screen.live import _Screen, make_view
from sweeps.show_run import print_run

PICTURES = Path(__file__).parent / "pictures"
# characters
WIDTH, HEIGHT = 100, 30
# share of the ledger that has been written where the live view is drawn
SHARE = 0.7


def recorder() -> Console:
    """Return a console that keeps what is printed, to be saved as a picture."""
    return Console(
        file=StringIO(), record=True, force_terminal=True, width=WIDTH, height=HEIGHT, color_system="truecolor"
    )


def draw_live_view(run: RunFolder) -> None:
    """Draw the live view as it stood when a part of the ledger had been written."""
    events = list(read_ledger(run.ledger))
    state = fold(events[: int(SHARE * len(events))], RunState())
    description, console = run.read_description(), recorder()
    roles = description["roles"]
    gone = ((state.last or datetime.now(UTC)) - (state.first or datetime.now(UTC))).total_seconds()
    fields = tuple(roles["scientific"]), tuple(roles.get("nuisance", ()))
    view = make_view(state, description["metric"], description["mode"], fields[0], console, False, fields[1], gone)
    assert isinstance(view, _Screen)
    with view:
        picture = view.render()
    save(picture, f"python -m sweeps.run {run.sweep}", "live")


def draw_summary(run: RunFolder) -> None:
    """Draw what `sweeps.show` prints of a run."""
    console = recorder()
    print_run(console, run)
    console.save_svg(str(PICTURES / "summary.svg"), title=f"python -m sweeps.show {run.sweep}")


def save(picture: object, title: str, name: str) -> None:
    """Save what Rich prints as a picture."""
    console = recorder()
    console.print(picture)
    console.save_svg(str(PICTURES / f"{name}.svg"), title=title)


def draw_report(run: RunFolder) -> None:
    """Draw the top of a run's report, as a browser shows it."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 980})
        page.goto((run.path / "report.html").resolve().as_uri())
        page.screenshot(path=str(PICTURES / "report.png"))
        browser.close()


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    chosen = find_run(sys.argv[1])
    draw_live_view(chosen)
    draw_summary(chosen)
    draw_report(chosen)
