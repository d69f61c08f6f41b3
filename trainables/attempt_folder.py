"""Where the files of a trial's attempt go: into the run's folder, or, from a node that does not see it, home by parcel.

Every attempt has a folder of its own, so that a worker that is thought dead but lives on cannot touch what its
successor writes; the driver moves files up when the trial has ended.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

ATTEMPT = "attempt-"


class Home(Protocol):
    """The run's folder as a worker reaches it that does not see it. All paths are those of the driver's machine."""

    def shared(self) -> bool:
        """Whether this worker sees and may write the run's folder itself."""
        ...

    def new_attempt(self, folder: str) -> int: ...
    def put(self, folder: str, files: Mapping[str, bytes]) -> None: ...
    def get(self, path: str) -> bytes | None: ...


class Place(Protocol):
    """The folder of one attempt. number: of the attempt, from 1; note: what the user is told of it, "" if nothing."""

    number: int
    folder: Path
    note: str

    def send(self) -> None:
        """When it returns, everything that was written is in the run's folder."""
        ...

    def fetch(self, name: str) -> Path | None:
        """A file of the trial's folder, by its path from there; None where there is none."""
        ...


def new_place(folder: str, home: Home | None) -> Place:
    """The place of a trial's next attempt. home: None where every worker sees the run's folder."""
    return SharedPlace(Path(folder)) if home is None or home.shared() else CarriedPlace(folder, home)


def new_attempt(folder: Path) -> int:
    """Make the next attempt's folder and return its number; `mkdir` is atomic, so no two workers share one."""
    folder.mkdir(parents=True, exist_ok=True)
    for attempt in itertools.count(last_attempt(folder) + 1):
        try:
            (folder / f"{ATTEMPT}{attempt}").mkdir()
        except FileExistsError:
            continue
        return attempt
    raise AssertionError("itertools.count does not end")


def last_attempt(folder: Path) -> int:
    """The highest number of an attempt in a trial's folder; 0 where there is none."""
    numbers = (path.name.removeprefix(ATTEMPT) for path in folder.glob(f"{ATTEMPT}*"))
    return max((int(number) for number in numbers if number.isdecimal()), default=0)


class SharedPlace:
    """In the run's folder itself."""

    note = ""

    def __init__(self, trial: Path) -> None:
        self.trial = trial
        self.number = new_attempt(trial)
        self.folder = trial / f"{ATTEMPT}{self.number}"

    def send(self) -> None:
        """Nothing: written is sent."""

    def fetch(self, name: str) -> Path | None:
        return self.trial / name if (self.trial / name).exists() else None


class CarriedPlace:
    """On the worker's own disk, until the next `send`; what has been sent is emptied here, and only its name stays."""

    def __init__(self, trial: str, home: Home) -> None:
        self.trial, self.home = trial, home
        self.number = home.new_attempt(trial)
        self.away = f"{trial}/{ATTEMPT}{self.number}"
        self._disk = Path(tempfile.mkdtemp(prefix="sweeps-carried-"))
        weakref.finalize(self, shutil.rmtree, self._disk, ignore_errors=True)
        self.folder = self._disk / "attempt"
        self.folder.mkdir()
        self._fetched: list[Path] = []
        self.note = f"files carried home from a node that does not see {trial}"

    def send(self) -> None:
        full = [path for path in self.folder.rglob("*") if path.is_file() and path.stat().st_size]
        full.sort(key=lambda path: (-len(path.parts), path))  # the checkpoint after the weights, as it was written
        if full:
            files = {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in full}
            self.home.put(self.away, files)
        for path in full:
            path.write_bytes(b"")
        while self._fetched:  # they have been read before the first epoch
            self._fetched.pop().unlink(missing_ok=True)

    def fetch(self, name: str) -> Path | None:
        content = self.home.get(f"{self.trial}/{name}")
        if content is None:
            return None
        path = self._disk / name.replace("/", "-")
        path.write_bytes(content)
        self._fetched.append(path)
        return path
