"""The runs that a page shows: those in a folder, at a URI, or one; each followed while somebody looks at it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress

from analysis.runs.find import find_run, newest_first
from analysis.runs.remote import Storage, as_path, is_uri
from analysis.runs.run_folder import RunFolder, plain_name
from analysis.runs.sync import folder_of, uri_of_run
from sweeps.live_run.followed_run import FollowedRun
from sweeps.screen.runs import list_run
from trainables.errors import InputError

# runs whose trials are kept in memory
KEPT = 4
# a run at a URI is looked for anew after so many seconds
LIST_SECONDS = 10.0
Row = dict[str, str]


class Results:
    """A storage of runs, or one run of it. Thread-safe."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.only = _one_run(storage)
        self._lock = threading.Lock()
        self._followed: OrderedDict[str, FollowedRun] = OrderedDict()
        self._rows: dict[str, tuple[object, Row]] = {}
        self._listed: tuple[float, list[RunFolder]] = (-LIST_SECONDS, [])

    def runs(self) -> list[RunFolder]:
        """Return the runs, newest first. Raises `InputError`."""
        if self.only:
            return [self.only]
        looked, known = self._listed
        if not is_uri(self.storage) or time.monotonic() - looked > LIST_SECONDS:
            known = newest_first(self.storage)
            self._listed = time.monotonic(), known
        return known

    def run(self, sweep: str, run_id: str) -> RunFolder:
        """Return a run by its names. Raises `InputError` for one that is not there."""
        names = plain_name(sweep, "the sweep's name"), plain_name(run_id, "the run's name")
        if self.only and names == (self.only.sweep, self.only.run_id):
            return self.only
        folder = RunFolder(folder_of(self.storage) / names[0] / names[1])
        if self.only or not (is_uri(self.storage) or folder.description.is_file()):
            raise InputError(f"there is no run {'/'.join(names)} in {self.storage}")
        return find_run("/".join(names), self.storage, whole=False) if is_uri(self.storage) else folder

    def follow(self, sweep: str, run_id: str) -> FollowedRun:
        """Return a run with what is known of its trials; `look` at it, under its lock. Raises `InputError`."""
        key = f"{sweep}/{run_id}"
        with self._lock:
            if found := self._followed.get(key):
                self._followed.move_to_end(key)
                return found
        made = FollowedRun(self.run(sweep, run_id))
        with self._lock:
            found = self._followed.setdefault(key, made)
            while len(self._followed) > KEPT:
                self._followed.popitem(last=False)
            return found

    def read_ahead(self) -> None:
        """Begin to follow the newest run, so that its page finds it read."""
        with suppress(InputError, OSError):
            for run in self.runs()[:1]:
                followed = self.follow(run.sweep, run.run_id)
                with followed.lock:
                    followed.look()

    def rows(self) -> Iterator[Callable[[], Row]]:
        """Yield what reads the row of each run in the list; a run that has not changed is not read again."""
        for run in self.runs():
            yield lambda run=run: self._row(run)  # type: ignore[misc]

    def _row(self, run: RunFolder) -> Row:
        key = f"{run.sweep}/{run.run_id}"
        stamp = _stamp(run)
        known = self._rows.get(key)
        if known is None or known[0] != stamp:
            known = stamp, self._read_row(run, self._followed.get(key))
            self._rows[key] = known
        return known[1]

    @staticmethod
    def _read_row(run: RunFolder, followed: FollowedRun | None) -> Row:
        if followed is None or not followed.looked:
            return list_run(run)
        # another request may be reading on
        with followed.lock, suppress(InputError):
            followed.look()
            return list_run(run, followed.state)
        return list_run(run)


def _stamp(run: RunFolder) -> object:
    """Return what changes with a run: its ledger; its age and whether its driver lives, now and then."""
    try:
        status = run.ledger.stat()
    except OSError:
        return None
    recent = time.time() - status.st_mtime < 600
    return status.st_size, status.st_mtime_ns, int(time.time() / (10 if recent else 60))


def _one_run(storage: Storage) -> RunFolder | None:
    if is_uri(storage):
        return find_run(str(storage), whole=False) if uri_of_run(str(storage)) else None
    path = as_path(storage)
    if (path / "run.json").is_file():
        return find_run(str(path))
    if not path.is_dir():
        raise InputError(f"{path} is no folder: name a folder of results, a run, or a URI")
    return None
