"""Shows a run from its files: as one document, as the live view, or as its summary."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from analysis import table
from analysis.runs.run_folder import RunFolder
from analysis.runs.sync import pull, remote_of, where
from analysis.terminal.plain_text import plain
from sweeps.record.progress import Tally
from sweeps.record.state import GrowingLedger, read_state
from sweeps.screen.live import describe, make_view
from sweeps.summary import print_summary
from trainables.json_values import as_json_value

# between two looks at a run that is kept at a URI
REMOTE_SECONDS = 5


def document(folder: RunFolder) -> dict[str, Any]:
    """Return a run's description, and a row per trial and replicate."""
    rows = table.read_arrow(folder.trials_table).to_pylist() if folder.trials_table.exists() else []
    return {"run": folder.read_description(), "trials": as_json_value(rows)}


def watch_run(console: Console, folder: RunFolder) -> None:
    """Draw the live view of a run in another process, drawn from its ledger, until it has ended or Ctrl-C."""
    description, remote = folder.read_description(), remote_of(folder)
    scientific = tuple(description["roles"]["scientific"])
    nuisance = tuple(description["roles"].get("nuisance", ()))
    ledger, now = GrowingLedger(folder.ledger), datetime.now(UTC)
    gone = (now - (ledger.look().first or now)).total_seconds()
    view = make_view(
        ledger.state, description["metric"], description["mode"], scientific, console, False, nuisance, gone
    )
    with contextlib.suppress(KeyboardInterrupt), view:
        while not view.state.ended:
            if remote:
                time.sleep(REMOTE_SECONDS)
                pull(folder, remote, whole=False)
            time.sleep(1)
            if (state := ledger.look()) is not view.state:
                view.follow(state)
            view.update()


def print_run(console: Console, folder: RunFolder) -> None:
    """Print a run's question, how far it is, and the summary of what has ended."""
    description, state = folder.read_description(), read_state(folder.ledger)
    gone = state.last - state.first if state.first and state.last else timedelta()
    progress = Tally(state, description["metric"], description["mode"]).progress(gone.total_seconds(), since_start=True)
    console.print(f"[bold]{plain(description['sweep'])}[/bold]: {plain(description['question'])}", highlight=False)
    console.print(describe(progress), highlight=False)
    if folder.trials_table.exists():
        print_summary(console, folder, test=state.ended)
    console.print(f"in {plain(where(folder))}", highlight=False, soft_wrap=True)
