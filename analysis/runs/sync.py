"""The copy on this machine of runs that are kept at a URI: what commands read, and where the driver writes.

The ledger decides which side is ahead: it is only ever appended to, and it is uploaded after everything that it speaks
of. So one side's ledger begins with the other's, unless two drivers have gone on with one run.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from analysis.runs.remote import (
    Remote,
    Stamp,
    Storage,
    as_path,
    check_writable,
    is_uri,
    open_remote,
    refuse_password,
    storage_errors,
)
from analysis.runs.run_folder import RunFolder, plain_name
from trainables.atomic_files import end_of_last_line, read_regular, write_atomically
from trainables.data.downloads import cache_root
from trainables.errors import InputError

LEDGER = "ledger.jsonl"
# beside the ledger, all that is needed to show a run
LIGHT = ("run.json", "trials.parquet", "epochs.parquet")
# in a run's folder: the stamps of its files when both sides were last the same
SYNCED = ".synced.json"
# in a staging folder: where its runs are kept
HOME = "storage.uri"
CHECKPOINTS = ".pt"
# uploads or downloads at a time
TRANSFERS = 8
# by a file's name: its stamp here, and there
Known = dict[str, tuple[Stamp, Stamp]]


def folder_of(storage: Storage) -> Path:
    """Return the folder in which a storage's runs lie on this machine: itself, or that of the copies."""
    if not is_uri(storage):
        return as_path(storage)
    refuse_password(str(storage))
    folder = _copies_of(str(storage))
    if not (folder / HOME).is_file():
        write_atomically(folder / HOME, str(storage).encode())
    return folder


def _copies_of(uri: str) -> Path:
    return cache_root() / "staging" / hashlib.sha256(uri.rstrip("/").encode()).hexdigest()[:16]


def _uri_of(run: RunFolder) -> str | None:
    """Return the URI of the storage that a run is kept in, None for one that is kept where it lies.

    Only a file in our own cache is trusted: a folder of somebody else's must not say where our files go.
    """
    folder = run.path.absolute().parent.parent
    try:
        uri = read_regular(folder / HOME).decode()
    except (OSError, ValueError):
        return None
    return uri if folder.resolve() == _copies_of(uri).resolve() else None


def remote_of(run: RunFolder) -> Remote | None:
    """Return where a run is kept, None for one that is kept where it lies."""
    uri = _uri_of(run)
    return open_remote(uri).below(run.sweep, run.run_id) if uri else None


def where(run: RunFolder) -> str:
    """Return what the user calls the place of a run: its URI or its path."""
    uri = _uri_of(run)
    if uri is None:
        return str(run.path)
    split = urlsplit(uri)
    return urlunsplit(split._replace(path="/".join((split.path.rstrip("/"), run.sweep, run.run_id))))


def begun(run: RunFolder) -> bool:
    """Return whether a run has a ledger, here or where it is kept. Raises `InputError` for unwritable storage."""
    remote = remote_of(run)
    if remote is None or run.ledger.exists():
        return run.ledger.exists()
    check_writable(remote)
    with storage_errors(remote):
        return bool(remote.stamps([LEDGER]))


def remote_runs(storage: str) -> Iterator[tuple[RunFolder, int]]:
    """Yield the runs at a URI, as they would lie here, and when each began (ns since 1970). Nothing is fetched."""
    remote, here = open_remote(storage), folder_of(storage)
    with storage_errors(remote):
        places = [f"{sweep}/{run}" for sweep in remote.folders() for run in remote.below(sweep).folders()]
        stamps = remote.stamps([f"{place}/run.json" for place in places])
        if not places:
            remote.check_bucket()
    for name, stamp in stamps.items():
        sweep, run, _ = name.split("/")
        if is_inside(f"{sweep}/{run}"):
            yield RunFolder(here / sweep / run), stamp.modified


def uri_of_run(uri: str) -> tuple[str, RunFolder] | None:
    """Return the storage's URI and the run, where a URI is that of a run; None where no run is there."""
    remote = open_remote(uri)
    with storage_errors(remote):
        if not remote.stamps(["run.json"]):
            remote.check_bucket()
            return None
    storage, sweep, name = parts_of_uri(uri)
    if not sweep:
        raise InputError(f"{uri}: a run lies in the folder of its sweep: give URI/SWEEP/RUN")
    sweep, name = plain_name(sweep, "the sweep's name"), plain_name(name, "the run's name")
    return storage, RunFolder(folder_of(storage) / sweep / name)


def parts_of_uri(uri: str) -> tuple[str, str, str]:
    """Return storage, sweep and run of a run's URI; the sweep is "" where it is too short."""
    split = urlsplit(uri)
    *above, sweep, name = ["", "", *split.path.rstrip("/").split("/")]
    return urlunsplit(split._replace(path="/".join(above[2:]))), sweep, name


def is_inside(name: str) -> bool:
    """Return whether a file's name at a URI stays inside the folder that it is joined to."""
    parts = name.split("/")
    return all(part not in ("", ".", "..") and "\\" not in part and "\0" not in part for part in parts)


def pull(run: RunFolder, remote: Remote, whole: bool) -> None:
    """Bring the copy in `run` up to date. whole: all files, else the ledger and the tables. Raises `InputError`.

    Local changes that are newer are kept. If the two ledgers diverge, the local copy is renamed and fetched anew.
    """
    with storage_errors(remote):
        theirs = remote.read(LEDGER) or b""
        ours = whole_lines(run.ledger)
        if len(ours) > len(theirs) and ours.startswith(theirs):
            return
        if not theirs.startswith(ours):
            _put_aside(run)
            ours = b""
        there = remote.all_stamps() if whole else remote.stamps(LIGHT)
        known = read_known(run)
        due = [
            name for name, stamp in there.items()
            if name != LEDGER and is_inside(name)
            and _differs(run.path / name, stamp, known.get(name), behind=len(theirs) > len(ours))
        ]  # fmt: skip
        with ThreadPoolExecutor(TRANSFERS) as pool:
            for name, content in zip(due, pool.map(remote.read, due), strict=True):
                if content is not None:
                    # moved since it was listed
                    write_atomically(run.path / name, content)
                    known[name] = stamp_of(run.path / name), there[name]
        if len(theirs) > len(ours):
            write_atomically(run.ledger, theirs)
        write_known(run, known)


def size_there(run: RunFolder) -> int:
    """Return the bytes of a run that is kept at a URI; 0 for one that is kept where it lies."""
    remote = remote_of(run)
    if remote is None:
        return 0
    with storage_errors(remote):
        return sum(stamp.size for stamp in remote.all_stamps().values())


def fetch_whole(run: RunFolder) -> None:
    """Fetch all files of a run that is kept at a URI. Raises `InputError`."""
    if remote := remote_of(run):
        pull(run, remote, whole=True)


def _differs(path: Path, there: Stamp, known: tuple[Stamp, Stamp] | None, behind: bool) -> bool:
    """Return whether to fetch a file; one that was changed here stays, unless the run has gone on elsewhere."""
    if not path.is_file():
        return True
    changed_here, changed_there = known is None or known[0] != stamp_of(path), known is None or known[1] != there
    return changed_there and (behind or not changed_here)


def _put_aside(run: RunFolder) -> None:
    aside = run.path.with_name(f".{run.run_id}.{datetime.now():%Y%m%d-%H%M%S}")
    run.path.rename(aside)
    print(f"note: {where(run)} went on elsewhere; what only this machine had is kept in {aside}", file=sys.stderr)


def whole_lines(ledger: Path) -> bytes:
    """Return the content of a ledger up to its last line end."""
    if not ledger.is_file():
        return b""
    end = end_of_last_line(ledger)
    with ledger.open("rb") as file:
        return file.read(end)


def stamp_of(path: Path) -> Stamp:
    """Return the stamp of a file here. May raise `OSError`."""
    status = path.stat()
    return Stamp(status.st_size, status.st_mtime_ns)


def read_known(run: RunFolder) -> Known:
    """Return the stamps of a run's files when both sides were last the same."""
    try:
        content = json.loads(read_regular(run.path / SYNCED))
        return {name: (Stamp(*here), Stamp(*there)) for name, (here, there) in content.items()}
    except (OSError, ValueError, TypeError):
        return {}


def write_known(run: RunFolder, known: Mapping[str, tuple[Stamp, Stamp]]) -> None:
    """Keep what `read_known` returns."""
    content = {name: [[s.size, s.modified] for s in pair] for name, pair in known.items()}
    write_atomically(run.path / SYNCED, json.dumps(content).encode())


def send_changed(
    run: RunFolder, remote: Remote, known: Known, checkpoints: Mapping[str, Path] | None = None
) -> tuple[set[str], set[str]]:
    """Upload what has changed here, but for the ledger, and note it in `known`. May raise `OSError`.

    checkpoints: those that belong to the ledger that will be uploaded, by their names; no others are sent.
    Returns the names of all files here, and of those that were moved or deleted meanwhile.
    """
    names = set(_files_here(run))
    places = {name: run.path / name for name in names if not name.endswith(CHECKPOINTS)} | dict(checkpoints or {})
    stamps = {name: stamp_or_none(place) for name, place in places.items()}
    due = [name for name, stamp in stamps.items() if stamp and (name not in known or known[name][0] != stamp)]
    with ThreadPoolExecutor(TRANSFERS) as pool:
        sent = list(pool.map(lambda name: _send(places[name], remote, name), due))
    there = remote.stamps([name for name, ok in zip(due, sent, strict=True) if ok])
    known.update({name: (stamps[name] or Stamp(0, 0), stamp) for name, stamp in there.items()})
    write_known(run, known)
    unsent = {name for name, ok in zip(due, sent, strict=True) if not ok}
    return names, unsent | {name for name, stamp in stamps.items() if stamp is None}


def _files_here(run: RunFolder) -> Iterator[str]:
    """Yield every file but the ledger, hidden ones and links, whose targets may lie outside of the run."""
    for folder, folders, names in os.walk(run.path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(folder) / name
            found = path.relative_to(run.path).as_posix()
            if not name.startswith(".") and found != LEDGER and not path.is_symlink():
                yield found


def stamp_or_none(path: Path) -> Stamp | None:
    """Return the stamp of a file here, None for one that is not there."""
    try:
        return stamp_of(path)
    except OSError:
        return None


def _send(path: Path, remote: Remote, name: str) -> bool:
    """Upload a file; return whether it was still there."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return False
    remote.write(name, content)
    return True


def push_back(run: RunFolder) -> None:
    """Upload what a command has written to a run's copy to where the run is kept. Raises `InputError`."""
    if remote := remote_of(run):
        with storage_errors(remote):
            send_changed(run, remote, read_known(run))
