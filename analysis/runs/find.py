"""Finding runs by what a user calls them: `latest`, a sweep's name, a run id, a path, a results folder or a URI."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from analysis.runs.remote import Storage, as_path, is_uri
from analysis.runs.run_folder import DEFAULT_STORAGE, RunFolder
from analysis.runs.sync import pull, remote_of, remote_runs, uri_of_run
from trainables.errors import InputError


def runs_in(storage: Storage, sweep: str = "*") -> Iterator[RunFolder]:
    """The runs in a storage, newest first; of those at a URI, the ledger and the tables are fetched."""
    for run in _newest_first(storage, sweep):
        yield _fetched(run, storage, whole=False)


def _newest_first(storage: Storage, sweep: str = "*") -> list[RunFolder]:
    if is_uri(storage):
        began = {run: modified for run, modified in remote_runs(str(storage)) if sweep in ("*", run.sweep)}
    else:
        paths = as_path(storage).glob(f"{sweep}/*/run.json")
        began = {RunFolder(path.parent): path.stat().st_mtime_ns for path in paths}
    return sorted(began, key=lambda run: (began[run], run.run_id), reverse=True)


def _fetched(run: RunFolder, storage: Storage, whole: bool) -> RunFolder:
    if is_uri(storage) and (remote := remote_of(run)):
        pull(run, remote, whole)
    return run


def find_run(name: str, storage: Storage = DEFAULT_STORAGE, whole: bool = True) -> RunFolder:
    """A run by `latest`, a sweep's name (its newest run), a run id, a path, or a URI. Raises `InputError`.

    whole: what is fetched of a run that is kept at a URI: all of it, or the ledger and the tables.
    """
    if is_uri(name):
        return _at_uri(name, whole)
    if (as_path(name) / "run.json").is_file():
        return RunFolder(as_path(name))
    runs = _newest_first(storage)
    for run in runs:
        if name in ("latest", run.sweep, run.run_id):
            return _fetched(run, storage, whole)
    known = ", ".join(f"{run.sweep}/{run.run_id}" for run in runs[:5])
    raise InputError(f"no run {name!r} in {storage}/: " + (f"newest are {known}" if runs else "there are no runs yet"))


def _at_uri(uri: str, whole: bool) -> RunFolder:
    found = uri_of_run(uri)
    if found is None:
        raise InputError(f"{uri} is not a run: no run.json is there; give RUN with --storage {uri}, or the run's URI")
    storage, run = found
    return _fetched(run, storage, whole)


def find_runs(names: Iterable[str], storage: Storage = DEFAULT_STORAGE) -> list[RunFolder]:
    """The runs of several names, each once; a folder of results stands for all runs in it. Raises `InputError`."""
    found: dict[Path, RunFolder] = {}
    for name in names:
        for run in _inside(name) or [find_run(name, storage)]:
            found.setdefault(run.path.resolve(), run)
    return list(found.values())


def _inside(name: str) -> list[RunFolder]:
    """The runs in a folder of results, or at its URI; none where the name is something else."""
    if is_uri(name):
        return [] if uri_of_run(name) else [_fetched(run, name, whole=True) for run in _newest_first(name)]
    return [RunFolder(path.parent) for path in _files_of_runs(as_path(name))] if as_path(name).is_dir() else []


def _files_of_runs(folder: Path) -> list[Path]:
    """A file of each run in a folder: the tables say what a run was, also where nothing else of it was kept."""
    return sorted(folder.rglob("run.json")) or sorted(folder.rglob("trials.parquet"))
