"""The run's folder for workers on other file systems: an actor beside the driver writes the files that they send."""

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
from trainables.errors import InputError
from trainables.worker.attempt_folder import new_attempt

# The file that holds a word which only this driver knows.
MARKER = ".seen-by"
# Threads of the actor.
WRITERS = 4


class FileServer:
    """An actor that reads and writes below one folder; every path is absolute, as on the driver's machine."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder).resolve()

    def can_read(self, word: str) -> bool:
        """Return whether this process reads the driver's marker in the folder."""
        return _holds(self.folder, word)

    def new_attempt(self, trial: str) -> int:
        """Make the folder of a trial's next attempt; return its number."""
        return new_attempt(self._inside(trial))

    def put(self, folder: str, files: Mapping[str, bytes]) -> None:
        """Write files whole into a folder that exists. A trial that has ended has no folder of attempts any more."""
        target = self._inside(folder)
        if not target.is_dir():
            raise FileNotFoundError(f"{target} is gone: its trial has ended, or another worker goes on with it")
        for name, content in files.items():
            write_atomically(self._inside(f"{folder}/{name}"), content)

    def get(self, path: str) -> bytes | None:
        """Return the content of a file, None where there is none."""
        file = self._inside(path)
        try:
            return file.read_bytes()
        except OSError:
            return None

    def get_all(self, folder: str) -> dict[str, bytes]:
        """Return the content of every file below a folder, by its path from there."""
        top = self._inside(folder)
        return {p.relative_to(top).as_posix(): p.read_bytes() for p in sorted(top.rglob("*")) if p.is_file()}

    def _inside(self, path: str) -> Path:
        found = Path(path).resolve()
        if not found.is_relative_to(self.folder):
            raise PermissionError(f"{path} is not below {self.folder}")
        return found


@dataclass(frozen=True)
class ServedFolder:
    """A worker's access to a run's folder: a `trainables.worker.attempt_folder.FileClient`. actor: of `FileServer`."""

    folder: str
    word: str
    actor: Any

    def shared(self) -> bool:
        """Return whether this worker reads and writes the folder itself."""
        return _holds(Path(self.folder), self.word) and os.access(self.folder, os.W_OK)

    def new_attempt(self, folder: str) -> int:
        """Make the folder of a trial's next attempt; return its number."""
        return int(self._ask("new_attempt", folder))

    def put(self, folder: str, files: Mapping[str, bytes]) -> None:
        """Write files into a folder."""
        self._ask("put", folder, dict(files))

    def get(self, path: str) -> bytes | None:
        """Return the content of a file, None where there is none."""
        content: bytes | None = self._ask("get", path)
        return content

    def get_all(self, folder: str) -> dict[str, bytes]:
        """Return the content of every file below a folder, by its path from there."""
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
def served(run: RunFolder, address: str | None) -> Iterator[ServedFolder | None]:
    """Serve a run's folder to the workers of a cluster; yields None on this machine alone. As `start_file_server`."""
    if address is None:
        yield None
        return
    try:
        yield start_file_server(run)
    finally:
        # the folder may be gone
        with suppress(OSError):
            (run.path / MARKER).unlink()


def start_file_server(run: RunFolder) -> ServedFolder:
    """Start the actor on the driver's node. Raises `InputError` where it does not see the run's folder either."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    folder, word = str(run.path.absolute()), secrets.token_hex(16)
    write_atomically(run.path / MARKER, word.encode())
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options: Any = {"num_cpus": 0, "max_concurrency": WRITERS, "scheduling_strategy": here}
    actor: Any = ray.remote(**options)(FileServer)
    served_folder = ServedFolder(folder, word, actor.remote(folder))
    try:
        readable = served_folder._ask("can_read", word)
    except ray.exceptions.RayError as error:
        raise InputError(f"no process of Ray can be started beside the driver: {str(error).splitlines()[0]}") from None
    if not readable:
        raise InputError(f"Ray's node here does not see {folder}: name a --storage that it sees, or start it again")
    return served_folder


@contextmanager
def borrowed_folder(run: RunFolder, trial: Path, client: ServedFolder | None) -> Iterator[RunFolder]:
    """Yield the run's folder if the worker shares it.

    Else yield a temporary copy with one trial, whose new files are sent back at the end.
    """
    if client is None or client.shared():
        yield run
        return
    with tempfile.TemporaryDirectory(prefix="sweeps-borrowed-") as disk:
        copy = RunFolder(Path(disk) / run.sweep / run.run_id)
        folder = copy.trials / trial.name
        known = client.get_all(str(trial.absolute()))
        for name, content in known.items():
            write_atomically(folder / name, content)
        yield copy
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        new = {name: path.read_bytes() for name, path in files.items()}
        client.put(str(trial.absolute()), {name: data for name, data in new.items() if known.get(name) != data})
