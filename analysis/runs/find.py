"""Find runs by what a user calls them: `latest`, a sweep's name, a run id, a path, a results folder or a URI."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Iterator
from glob import escape
from pathlib import Path

import typer

from analysis.command_line import refuse_unused, was_given
from analysis.runs.lease_holder import is_under_way
from analysis.runs.remote import Storage, as_path, is_uri
from analysis.runs.run_folder import DEFAULT_STORAGE, RunFolder, plain_name
from analysis.runs.sync import (
    LEDGER,
    begun,
    folder_of,
    is_inside,
    parts_of_uri,
    pull,
    remote_of,
    remote_runs,
    uri_of_run,
    where,
)
from analysis.terminal.plain_text import visible
from trainables.atomic_files import folders_in
from trainables.errors import InputError

LATEST = "latest"


class UnknownRun(InputError):
    """No run has the name that was given."""


def new_run(results: Path, sweep: str, name: str) -> RunFolder:
    """Return the folder of a run that is to begin. Raises `InputError` for names that no folder may have."""
    if name == LATEST:
        raise InputError(f"the run's name {LATEST!r} means the newest run: choose another --name")
    return RunFolder(results / plain_name(sweep, "the sweep's name") / plain_name(name, "the run's name"))


def run_to_resume(sweep: str, storage: Storage, run: str, name: str | None) -> RunFolder:
    """Return the run that a command goes on with. Raises `InputError`.

    run: as `find_run` takes it, "" for none; then the run STORAGE/SWEEP/NAME and no other, or without a name the
    newest run of the sweep.
    """
    if run:
        found = find_run(run, storage)
        of = found.read_description()["sweep"]
        if sweep not in (of, found.sweep):
            raise InputError(f"{where(found)} is a run of the sweep {of}, not of {sweep}: name that sweep or its run")
        return found
    if name:
        exact = new_run(folder_of(storage), sweep, name)
        if not begun(exact):
            raise InputError(f"there is no run {where(exact)} to go on with: leave --resume out to begin it")
        return _fetched(exact, storage, whole=True)
    runs = newest_first(storage)
    for found in runs:
        if found.sweep == sweep:
            return _fetched(found, storage, whole=True)
    copies = _said_of_copies(storage, runs)
    raise InputError(f"no run of {sweep} in {storage}/ to go on with: leave --resume out to begin one{copies}")


def refuse_other_storage(run: RunFolder, storage: Storage) -> None:
    """Raise `InputError` where a storage was chosen in which a run does not lie: it would have no effect."""
    if storage != DEFAULT_STORAGE and not run.path.resolve().is_relative_to(folder_of(storage).resolve()):
        raise InputError(f"--resume names {where(run)}, which is not in --storage {storage}: leave --storage out")


def runs_in(storage: Storage, sweep: str = "*") -> Iterator[RunFolder]:
    """Yield the runs in a storage, newest first; of those at a URI, the ledger and the tables are fetched."""
    for run in newest_first(storage, every=True):
        if sweep in ("*", run.sweep):
            yield _fetched(run, storage, whole=False)


def newest_first(storage: Storage, *, every: bool = False) -> list[RunFolder]:
    """Return the runs in a storage. every: those without a ledger too, of which no command can make anything."""
    began = dict(remote_runs(str(storage))) if is_uri(storage) else _runs_here(as_path(storage), every)
    return sorted(began, key=lambda run: (began[run], run.run_id), reverse=True)


def _runs_here(storage: Path, every: bool) -> dict[RunFolder, int]:
    """Return the runs in a folder and when each began (ns). every: also those that no command can make anything of."""
    began = {}
    for sweep in folders_in(storage):
        try:
            runs = [RunFolder(path) for path in folders_in(sweep) if not path.name.startswith(".")]
        except OSError as error:
            if every:
                _note_left_out(error)
            continue
        for run in runs:
            try:
                modified = run.description.stat().st_mtime_ns
                if every or run.ledger.is_file():
                    began[run] = modified
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                # it may not be entered; its folder can be seen
                if every:
                    began[run] = run.path.stat().st_mtime_ns
    return began


def _note_left_out(error: OSError) -> None:
    said = f"note: {error.filename} cannot be read ({error.strerror}): what is in it is left out"
    print(visible(said), file=sys.stderr)


def _fetched(run: RunFolder, storage: Storage, whole: bool) -> RunFolder:
    """Bring the copy of a run at a URI up to date; one that a driver here writes to is the newest there is."""
    if is_uri(storage) and not is_under_way(run) and (remote := remote_of(run)):
        pull(run, remote, whole)
    return run


def find_run(name: str, storage: Storage = DEFAULT_STORAGE, whole: bool = True) -> RunFolder:
    """Return a run by `latest`, a sweep's name (its newest run), a run id, SWEEP/RUN, a path, or a URI.

    whole: what is fetched of a run that is kept at a URI: all of it, or the ledger and the tables.
    Raises `InputError`, also where several runs have that id.
    """
    _refuse_empty(name)
    if is_uri(name):
        return _at_uri(name, whole)
    if _is_file(as_path(name) / "run.json"):
        return RunFolder(_with_names(as_path(name)))
    runs = newest_first(storage)
    same = [run for run in runs if name in (LATEST, run.sweep)][:1]
    same = same or [run for run in runs if name in (run.run_id, f"{run.sweep}/{run.run_id}")]
    if not same and not is_uri(storage):
        # whoever opens it says why it cannot be read
        hidden = [run for run in newest_first(storage, every=True) if not os.access(run.path, os.R_OK | os.X_OK)]
        same = [run for run in hidden if name in (run.run_id, f"{run.sweep}/{run.run_id}")]
    if len(same) > 1:
        raise InputError(f"{len(same)} runs are called {name!r}: say {_names(same, ' or ')}")
    if same:
        return _fetched(same[0], storage, whole)
    known = f"newest are {_names(runs[:5], ', ')}" if runs else "there are no runs yet"
    raise UnknownRun(f"no run {name!r} in {storage}/: {known}{_said_of_copies(storage, runs)}")


def _refuse_empty(name: str) -> None:
    if not name:
        # as a path it would be the current folder
        raise InputError(f"the run's name is empty: say {LATEST}, a sweep's name, a run id, a path or a URI")


def _names(runs: Iterable[RunFolder], between: str) -> str:
    return between.join(f"{run.sweep}/{run.run_id}" for run in runs)


def _said_of_copies(storage: Storage, there: Collection[RunFolder] = (), name: str = "") -> str:
    """Return a sentence on the copies here of runs that are not at a URI, or not any more, "" where there are none.

    there: the runs at the URI; name: one run alone, as SWEEP/RUN. Nothing that only this machine has may look lost.
    """
    if not is_uri(storage):
        return ""
    ledgers = folder_of(storage).glob(f"{escape(name) or '*/*'}/{LEDGER}")
    kept = sorted(str(path.parent) for path in ledgers if not path.parent.name.startswith("."))
    kept = [path for path in kept if path not in {str(run.path) for run in there}]
    return f"; only this machine has {', '.join(kept[:5])}: name that path instead" if kept else ""


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # a name that is too long for a file
        return False


def _with_names(path: Path) -> Path:
    """Return the path with the names of its last two folders, which say run and sweep."""
    return Path(os.path.abspath(path)) if len(path.parts) < 2 or ".." in path.parts else path


def _at_uri(uri: str, whole: bool) -> RunFolder:
    found = uri_of_run(uri)
    if found is None:
        above, sweep, run_id = parts_of_uri(uri)
        name = f"{sweep}/{run_id}"
        copy = _said_of_copies(above, name=name) if is_inside(name) else ""
        raise InputError(
            f"{uri} is not a run: no run.json is there; give RUN with --storage {uri}, or the run's URI{copy}"
        )
    storage, run = found
    return _fetched(run, storage, whole)


def find_runs(names: Iterable[str], storage: Storage = DEFAULT_STORAGE) -> list[RunFolder]:
    """Return the runs of several names, each once; a folder of results stands for all its runs. Raises `InputError`."""
    found: dict[Path, RunFolder] = {}
    for name in names:
        _refuse_empty(name)
        for run in _inside(name) or [find_run(name, storage)]:
            found.setdefault(run.path.resolve(), run)
    return list(found.values())


def refuse_unused_storage(context: typer.Context, names: Iterable[str]) -> None:
    """Raise `InputError` where --storage was given, and every name says itself where its run is."""
    # the looking takes time where a folder is large
    if was_given(context, "storage") and all(
        is_uri(name) or _is_file(as_path(name) / "run.json") or _any_run_inside(name) for name in names
    ):
        refuse_unused(context, ("storage",), "RUN says where it is")


def _any_run_inside(name: str) -> bool:
    try:
        folder = as_path(name)
        return folder.is_dir() and any(next(folder.rglob(file), None) for file in ("run.json", "trials.parquet"))
    except OSError:
        return False


def _inside(name: str) -> list[RunFolder]:
    """Return the runs in a folder of results, or at its URI; none where the name is something else."""
    if is_uri(name):
        return [] if uri_of_run(name) else [_fetched(run, name, whole=True) for run in newest_first(name)]
    try:
        return [RunFolder(_with_names(path.parent)) for path in _files_of_runs(as_path(name))]
    except OSError:
        # a name that is too long for a file
        return []


def _files_of_runs(folder: Path) -> list[Path]:
    """Return a file of each run in a folder: the tables say what a run was, also where nothing else of it was kept."""
    if not folder.is_dir():
        return []
    descriptions, tables = [], []
    for below, folders, names in os.walk(folder, onerror=_note_left_out):
        if "run.json" in names:
            descriptions.append(Path(below) / "run.json")
            # a run holds no other run
            folders.clear()
        elif "trials.parquet" in names:
            tables.append(Path(below) / "trials.parquet")
    return sorted(descriptions or tables)
