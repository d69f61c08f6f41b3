"""The list of runs in a results folder, from their files alone."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from analysis.runs.lease_holder import knows_leases, seen_lease, seen_there
from analysis.runs.run_folder import RunFolder
from analysis.runs.sync import size_there
from analysis.trial_status import ENDED
from sweeps.record.progress import Tally
from sweeps.record.state import RunState, read_state
from trainables.errors import InputError

# a run of version 0.1.0 has no lease: it is taken to be dead when its ledger was silent for longer
QUIET_SECONDS = 120


def list_run(run: RunFolder, state: RunState | None = None) -> dict[str, str]:
    """Return the row of a run; of one whose files are damaged, what is wrong with them. state: where it is known."""
    try:
        return summarize_run(run, state)
    except (InputError, OSError) as error:
        wrong = {"state": f"damaged: {error}", "trials": "-", "best": "-", "age": "-", "size": "-"}
        return {"sweep": run.sweep, "run": run.run_id, **wrong}


def summarize_run(run: RunFolder, state: RunState | None = None) -> dict[str, str]:
    """Return sweep, run, state, progress, best so far, age and size on disk of a run. Raises `InputError`."""
    description, state = run.read_description(), state or read_state(run.ledger)
    ended = state.count(*ENDED)
    best = Tally(state, description["metric"], description["mode"]).best()
    last = state.last or datetime.now(UTC)
    return {
        "sweep": run.sweep,
        "run": run.run_id,
        "state": state_of(run, state, last),
        "trials": f"{ended}/{state.total}",
        "best": f"{description['metric']} {best[0].value:.4f}" if best else "-",
        "age": age(datetime.now(UTC) - last),
        "size": in_words(size_there(run) or bytes_in(run.path)),
    }


def state_of(run: RunFolder, state: RunState, last: datetime) -> str:
    """Return `running`, `finishing`, `finished` or `interrupted`. last: the time of its last event."""
    seen = seen_lease(run) or seen_there(run)
    if seen and seen.alive:
        return "running" if not state.ended else "finishing"
    if state.ended:
        return "finished"
    if knows_leases(run) or state.count("interrupted"):
        return "interrupted"
    quiet = (datetime.now(UTC) - last).total_seconds() > QUIET_SECONDS
    return "interrupted" if quiet else "running"


def age(since: timedelta) -> str:
    """Return `3 min`, `5 h`, `2 d`."""
    seconds = since.total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def size_of(*folders: Path) -> str:
    """Return `12 MB`: all files below the folders."""
    return in_words(bytes_in(*folders))


def bytes_in(*folders: Path) -> int:
    """Return the size of all files below that may be seen; a run that goes on moves some meanwhile."""
    total = 0
    for folder in folders:
        for path in folder.rglob("*"):
            with suppress(OSError):
                total += path.stat().st_size if path.is_file() else 0
    return total


def in_words(count: int) -> str:
    """Return `12 MB`."""
    total = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if total < 1000:
            return f"{total:.0f} {unit}"
        total /= 1000
    return f"{total:.1f} TB"
