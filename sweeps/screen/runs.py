"""How the runs in a results folder stand, from their files alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from analysis.runs.run_folder import RunFolder
from analysis.runs.sync import size_there
from sweeps.record.ledger import read_ledger
from sweeps.record.progress import Tally
from sweeps.record.state import ENDED, RunState, fold

QUIET_SECONDS = 120  # a run whose ledger has been silent for longer is taken to be dead


def describe_run(run: RunFolder) -> dict[str, str]:
    """Sweep, run, state, progress, best so far, age and size on disk of a run."""
    about = run.read_description()
    events = list(read_ledger(run.ledger))
    state = fold(events)
    ended = state.count(*ENDED)
    best = Tally(state, about["metric"], about["mode"]).best()
    last = datetime.fromisoformat(events[-1]["time"]) if events else datetime.now(UTC)
    return {
        "sweep": run.sweep,
        "run": run.run_id,
        "state": _state_of(state, last),
        "trials": f"{ended}/{len(state.trials)}",
        "best": f"{about['metric']} {best[0].value:.4f}" if best else "-",
        "age": age(datetime.now(UTC) - last),
        "size": in_words(size_there(run) or bytes_in(run.path)),
    }


def _state_of(state: RunState, last: datetime) -> str:
    if all(trial.ended for trial in state.trials.values()):
        return "finished"
    quiet = (datetime.now(UTC) - last).total_seconds() > QUIET_SECONDS
    return "interrupted" if quiet or state.count("interrupted") else "running"


def age(since: timedelta) -> str:
    """`3 min`, `5 h`, `2 d`."""
    seconds = since.total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def size_of(*folders: Path) -> str:
    """`12 MB`: all files below the folders."""
    return in_words(bytes_in(*folders))


def bytes_in(*folders: Path) -> int:
    """The size of all files below."""
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files)


def in_words(count: int) -> str:
    """`12 MB`."""
    total = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if total < 1000:
            return f"{total:.0f} {unit}"
        total /= 1000
    return f"{total:.1f} TB"
