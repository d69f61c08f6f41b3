"""The folder of one attempt at a trial: in the run's folder, or a local one whose files are sent to the driver.

Every attempt has a folder of its own. So a worker that is thought dead but lives on cannot touch the files of its
successor. The driver collects the files when the trial has ended.
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
CHECKPOINT = "checkpoint.pt"
# A checkpoint of another trial, in the trial's folder.
DONOR = "donor.pt"


def replicate_folder(folder: Path, seed: int) -> Path:
    """Return the folder of a replicate in that of its trial or attempt."""
    return folder / f"seed_{seed}"


class FileClient(Protocol):
    """Access to the run's folder through the driver. All paths are those of the driver's machine."""

    def shared(self) -> bool:
        """Return whether this worker reads and writes the run's folder itself."""
        ...

    def new_attempt(self, folder: str) -> int:
        """Make the folder of a trial's next attempt; return its number."""
        ...

    def put(self, folder: str, files: Mapping[str, bytes]) -> None:
        """Write files into a folder."""
        ...

    def get(self, path: str) -> bytes | None:
        """Return the content of a file, None where there is none."""
        ...


class AttemptFolder(Protocol):
    """The folder of one attempt. number: of the attempt, from 1; note: for the user, "" if there is none."""

    number: int
    folder: Path
    note: str

    def send(self) -> None:
        """Bring everything that was written into the run's folder."""
        ...

    def fetch(self, name: str) -> Path | None:
        """Return a file of the trial's folder, by its path from there; None where there is none."""
        ...


def open_attempt(folder: str, client: FileClient | None) -> AttemptFolder:
    """Begin a trial's next attempt. client: None where all workers share the run's folder."""
    return SharedAttempt(Path(folder)) if client is None or client.shared() else SentAttempt(folder, client)


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
    """Return the highest number of an attempt in a trial's folder; 0 where there is none."""
    numbers = (path.name.removeprefix(ATTEMPT) for path in folder.glob(f"{ATTEMPT}*"))
    return max((int(number) for number in numbers if number.isdecimal()), default=0)


class SharedAttempt:
    """An attempt whose folder is in the run's folder itself."""

    note = ""

    def __init__(self, trial: Path) -> None:
        self.trial = trial
        self.number = new_attempt(trial)
        self.folder = trial / f"{ATTEMPT}{self.number}"

    def send(self) -> None:
        """Do nothing: the files are in place."""

    def fetch(self, name: str) -> Path | None:
        """Return a file of the trial's folder, by its path from there; None where there is none."""
        return self.trial / name if (self.trial / name).exists() else None


class SentAttempt:
    """An attempt whose folder is on the worker's own disk. Files that have been sent are emptied; their names stay."""

    def __init__(self, trial: str, client: FileClient) -> None:
        self.trial, self.client = trial, client
        self.number = client.new_attempt(trial)
        self.away = f"{trial}/{ATTEMPT}{self.number}"
        self._disk = Path(tempfile.mkdtemp(prefix="sweeps-attempt-"))
        weakref.finalize(self, shutil.rmtree, self._disk, ignore_errors=True)
        self.folder = self._disk / "attempt"
        self.folder.mkdir()
        self._fetched: list[Path] = []
        self.note = f"files sent to the driver from a node that does not see {trial}"

    def send(self) -> None:
        """Send the files that have been written since the last time, the checkpoint last."""
        full = [path for path in self.folder.rglob("*") if path.is_file() and path.stat().st_size]
        # the checkpoint after the weights, as it was written
        full.sort(key=lambda path: (-len(path.parts), path))
        if full:
            files = {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in full}
            self.client.put(self.away, files)
        for path in full:
            path.write_bytes(b"")
        # they have been read before the first epoch
        while self._fetched:
            self._fetched.pop().unlink(missing_ok=True)

    def fetch(self, name: str) -> Path | None:
        """Return a copy of a file of the trial's folder, which the next `send` removes; None where there is none."""
        content = self.client.get(f"{self.trial}/{name}")
        if content is None:
            return None
        path = self._disk / name.replace("/", "-")
        path.write_bytes(content)
        self._fetched.append(path)
        return path
