"""python -m sweeps.show RUN: the summary of a finished or running run."""

from __future__ import annotations

import contextlib
import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from analysis.command_line import new_app, start
from analysis.runs.find import find_run, refuse_unused_storage
from analysis.runs.sync import pull, remote_of, where
from analysis.terminal.plain_text import plain
from trainables.errors import InputError
from trainables.json_values import as_json_value

if TYPE_CHECKING:
    from analysis.runs.run_folder import RunFolder

app = new_app()
# between two looks at a run that is kept at a URI
REMOTE_SECONDS = 5


EXAMPLES = """
[bold]Examples[/bold]

  python -m sweeps.show latest

  python -m sweeps.show activations --watch
"""


@app.command(epilog=EXAMPLES)
def show(
    context: typer.Context,
    run: Annotated[
        str, typer.Argument(help="latest, a sweep's name (its newest run), a run id, a path, or a URI.")
    ] = "latest",
    storage: Annotated[str, typer.Option(help="Folder or URI of the results.")] = "results",
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow a running run until all its trials have ended.")
    ] = False,
    json_: Annotated[
        bool, typer.Option("--json", help="One JSON document: the run, and a row per trial and replicate.")
    ] = False,
) -> None:
    """Show how a run stands. Reads its files alone, so it works while the run writes, also at a URI."""
    if json_ and watch:
        raise InputError("--json is one document and --watch follows: leave one out")
    refuse_unused_storage(context, [run])
    folder = find_run(run, storage, whole=False)
    if json_:
        print(json.dumps(_document(folder)))
        return
    if watch:
        _watch(Console(), folder)
    _print(Console(), folder)


def _document(folder: RunFolder) -> dict[str, Any]:
    from analysis import table

    rows = table.read_arrow(folder.trials_table).to_pylist() if folder.trials_table.exists() else []
    return {"run": folder.read_description(), "trials": as_json_value(rows)}


def _watch(console: Console, folder: RunFolder) -> None:
    """Draw the live view of a run in another process, drawn from its ledger, until it has ended or Ctrl-C."""
    from sweeps.record.state import GrowingLedger
    from sweeps.screen.live import make_view

    about, remote = folder.read_description(), remote_of(folder)
    scientific = tuple(about["roles"]["scientific"])
    nuisance = tuple(about["roles"].get("nuisance", ()))
    ledger, now = GrowingLedger(folder.ledger), datetime.now(UTC)
    gone = (now - (ledger.look().first or now)).total_seconds()
    view = make_view(ledger.state, about["metric"], about["mode"], scientific, console, False, nuisance, gone)
    with contextlib.suppress(KeyboardInterrupt), view:
        while not view.state.ended:
            if remote:
                time.sleep(REMOTE_SECONDS)
                pull(folder, remote, whole=False)
            time.sleep(1)
            if (state := ledger.look()) is not view.state:
                view.follow(state)
            view.update()


def _print(console: Console, folder: RunFolder) -> None:
    from sweeps.record.progress import Tally
    from sweeps.record.state import read_state
    from sweeps.screen.live import describe
    from sweeps.summary import print_summary

    about, state = folder.read_description(), read_state(folder.ledger)
    gone = state.last - state.first if state.first and state.last else timedelta()
    progress = Tally(state, about["metric"], about["mode"]).progress(gone.total_seconds(), since_start=True)
    console.print(f"[bold]{plain(about['sweep'])}[/bold]: {plain(about['question'])}", highlight=False)
    console.print(describe(progress), highlight=False)
    if folder.trials_table.exists():
        print_summary(console, folder, test=state.ended)
    console.print(f"in {plain(where(folder))}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    start(app)
