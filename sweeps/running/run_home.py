"""The run's folder for workers that do not see it: an actor beside the driver writes what they send."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.runs.run_folder import RunFolder
from trainables.atomic_files import write_atomically
from trainables.attempt_folder import new_attempt
from trainables.errors import InputError

MARKER = ".seen-by"  # holds a word that only this driver knows
WRITERS = 4  # threads of the actor


class Files:
    """Reads and writes below one folder; every path is absolute, as on the driver's machine."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder).resolve()

    def sees(self, word: str) -> bool:
        return _holds(self.folder, word)

    def new_attempt(self, trial: str) -> int:
        return new_attempt(self._inside(trial))

    def put(self, folder: str, files: Mapping[str, bytes]) -> None:
        """Write files whole into a folder that exists. A trial that has ended has no folder of attempts any more."""
        place = self._inside(folder)
        if not place.is_dir():
            raise FileNotFoundError(f"{place} is gone: its trial has ended, or another worker goes on with it")
        for name, content in files.items():
            write_atomically(self._inside(f"{folder}/{name}"), content)

    def get(self, path: str) -> bytes | None:
        place = self._inside(path)
        try:
            return place.read_bytes()
        except OSError:
            return None

    def get_all(self, folder: str) -> dict[str, bytes]:
        """Every file below a folder, by its path from there."""
        place = self._inside(folder)
        return {p.relative_to(place).as_posix(): p.read_bytes() for p in sorted(place.rglob("*")) if p.is_file()}

    def _inside(self, path: str) -> Path:
        found = Path(path).resolve()
        if not found.is_relative_to(self.folder):
            raise PermissionError(f"{path} is not below {self.folder}")
        return found


@dataclass(frozen=True)
class RunHome:
    """What a worker is given of a run's folder: `trainables.attempt_folder.Home`. actor: of `Files`."""

    folder: str
    word: str
    actor: Any

    def shared(self) -> bool:
        return _holds(Path(self.folder), self.word) and os.access(self.folder, os.W_OK)

    def new_attempt(self, folder: str) -> int:
        return int(self._ask("new_attempt", folder))

    def put(self, folder: str, files: Mapping[str, bytes]) -> None:
        self._ask("put", folder, dict(files))

    def get(self, path: str) -> bytes | None:
        content: bytes | None = self._ask("get", path)
        return content

    def get_all(self, folder: str) -> dict[str, bytes]:
        files: dict[str, bytes] = self._ask("get_all", folder)
        return files

    def _ask(self, method: str, *arguments: Any) -> Any:
        import ray

        return ray.get(getattr(self.actor, method).remote(*arguments))


def _holds(folder: Path, word: str) -> bool:
    try:
        return (folder / MARKER).read_text() == word
    except OSError:
        return False


@contextmanager
def home_for(run: RunFolder, address: str | None) -> Iterator[RunHome | None]:
    """For the workers of a cluster, while the driver is joined to it; None on this machine alone. As `open_home`."""
    if address is None:
        yield None
        return
    try:
        yield open_home(run)
    finally:
        with suppress(OSError):  # the folder may be gone
            (run.path / MARKER).unlink()


def open_home(run: RunFolder) -> RunHome:
    """Start the actor on the driver's node. Raises `InputError` where it does not see the run's folder either."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    folder, word = str(run.path.absolute()), secrets.token_hex(16)
    write_atomically(run.path / MARKER, word.encode())
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options: Any = {"num_cpus": 0, "max_concurrency": WRITERS, "scheduling_strategy": here}
    actor: Any = ray.remote(**options)(Files)
    home = RunHome(folder, word, actor.remote(folder))
    try:
        seen = home._ask("sees", word)
    except ray.exceptions.RayError as error:
        raise InputError(f"no process of Ray can be started beside the driver: {str(error).splitlines()[0]}") from None
    if not seen:
        raise InputError(f"Ray's node here does not see {folder}: name a --storage that it sees, or start it again")
    return home


@contextmanager
def lent(run: RunFolder, place: Path, home: RunHome | None) -> Iterator[RunFolder]:
    """The run as a worker can use it: itself, or a copy of one trial's folder, whose new files then go home."""
    if home is None or home.shared():
        yield run
        return
    with tempfile.TemporaryDirectory(prefix="sweeps-lent-") as disk:
        copy = RunFolder(Path(disk) / run.sweep / run.run_id)
        folder = copy.trials / place.name
        known = home.get_all(str(place.absolute()))
        for name, content in known.items():
            write_atomically(folder / name, content)
        yield copy
        there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        new = {name: path.read_bytes() for name, path in there.items()}
        home.put(str(place.absolute()), {name: data for name, data in new.items() if known.get(name) != data})
