"""The holder of the lease on a run, read from `.lease` in its folder or at its URI, and its signs of life."""

from __future__ import annotations

import os
import secrets
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from pydantic import TypeAdapter, ValidationError

from analysis.runs.remote import storage_errors
from analysis.runs.run_folder import RunFolder
from analysis.runs.sync import remote_of
from trainables.atomic_files import read_regular

LEASE = ".lease"
# a holder on another machine that has been silent for longer is taken to be dead
STALE_SECONDS = 60.0


@dataclass(frozen=True)
class Holder:
    """The command that holds a lease.

    machine: a name that no other machine or container has. born: when its process started, in seconds since 1970.
    """

    host: str
    machine: str
    pid: int
    born: float
    word: str
    beat: int = 0

    @property
    def here(self) -> bool:
        """Return whether the holder runs on this machine, in the same space of process numbers."""
        return self.machine == _machine()

    @property
    def process_lives(self) -> bool:
        """Return whether its process still runs. Only right for a holder `here`."""
        try:
            return abs(psutil.Process(self.pid).create_time() - self.born) < 1.0
        except (psutil.Error, ValueError, OverflowError):
            return False

    @property
    def name(self) -> str:
        """Return `process 4711 on host`, without what cannot be printed: it may be anybody's file."""
        host = "".join(letter for letter in self.host[:64] if letter.isprintable())
        return f"process {self.pid} on {host}"


def _machine() -> str:
    """Return a text for the space of process numbers: this start of the kernel, and the container."""
    parts = [socket.gethostname()]
    for read in (lambda: Path("/proc/sys/kernel/random/boot_id").read_text().strip(), _pid_space):
        with suppress(OSError):
            parts.append(read())
    return " ".join(parts)


def _pid_space() -> str:
    return os.readlink("/proc/self/ns/pid")


def myself() -> Holder:
    """Return this process as a holder, with a word that no other has."""
    pid = os.getpid()
    return Holder(socket.gethostname(), _machine(), pid, psutil.Process(pid).create_time(), secrets.token_hex(8))


_HOLDER = TypeAdapter(Holder)


def read_holder(content: bytes | None) -> Holder | None:
    """Return the holder that a lease names, None where it names none."""
    try:
        return _HOLDER.validate_json(content or b"")
    except ValidationError:
        return None


@dataclass(frozen=True)
class Seen:
    """A lease as another command sees it. age: seconds since its last beat."""

    holder: Holder
    age: float

    @property
    def alive(self) -> bool:
        """Return whether the holder still works, as far as can be seen from here."""
        return self.holder.process_lives if self.holder.here else self.age < STALE_SECONDS


def seen_lease(run: RunFolder) -> Seen | None:
    """Return the lease in a run's folder on this machine, None where there is none. Writes nothing."""
    path = run.path / LEASE
    try:
        holder, age = read_holder(read_regular(path)), time.time() - path.stat().st_mtime
    except OSError:
        return None
    return Seen(holder, max(0.0, age)) if holder else None


def seen_there(run: RunFolder) -> Seen | None:
    """Return the lease at the URI that a run is kept at, None where there is none. Raises `InputError`."""
    remote = remote_of(run)
    if remote is None:
        return None
    with storage_errors(remote):
        holder, stamp = read_holder(remote.read(LEASE)), remote.stamps([LEASE]).get(LEASE)
    age = time.time() - stamp.modified / 1e9 if stamp and stamp.modified else 0.0
    return Seen(holder, max(0.0, age)) if holder else None


def knows_leases(run: RunFolder) -> bool:
    """Return whether a version with leases ever wrote to a run: then it has ended where nobody holds the lease."""
    return (run.path / LEASE).exists()


def is_under_way(run: RunFolder) -> bool:
    """Return whether a command writes into the run's folder on this machine now."""
    seen = seen_lease(run)
    return seen is not None and seen.alive
