"""The lease on a run: one command at a time writes into its folder, here, on a shared disk and at a URI.

The holder keeps `.lease` in the run's folder, locked with flock, and touches it every few seconds. A command that finds
one takes it over where its holder is dead for sure: the lock is free and the process is gone, or, of another machine,
the file has not been touched for `STALE_SECONDS`. At a URI an object `.lease` says the same.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from analysis.runs import lease_holder
from analysis.runs.lease_holder import LEASE, Holder, Seen, myself, read_holder, seen_lease, seen_there
from analysis.runs.remote import Remote, storage_errors
from analysis.runs.run_folder import RunFolder
from analysis.runs.sync import remote_of, where
from trainables.atomic_files import check_regular
from trainables.errors import InputError

BEAT_SECONDS = 5.0
# longer than here, since an object is written anew each time
REMOTE_BEAT_SECONDS = 20.0
# file systems without locks: the time between writing and reading back who was the last to write
SETTLE_SECONDS = 1.0
Say = Callable[[str], None]
P = ParamSpec("P")
T = TypeVar("T")


def refuse_if_under_way(run: RunFolder) -> None:
    """Raise `InputError` where a command works on a run, by the lease in its folder and at its URI."""
    seen = seen_there(run) or seen_lease(run)
    if seen and seen.alive:
        raise Lease(run, "take another --name").refusal(seen)


class Lease:
    """The right to write into a run, from `hold`.

    lost_to: the command that took it over, as its object at the URI says.
    """

    def __init__(self, run: RunFolder, instead: str) -> None:
        self.run, self.me, self.instead = run, myself(), instead
        self.path = run.path / LEASE
        self.lost_to: Holder | None = None
        self._due = 0.0

    def check(self) -> None:
        """Raise `InputError` where another command took the lease over; looks once in `BEAT_SECONDS`.

        A machine that slept for longer than `STALE_SECONDS` finds that out here.
        """
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + BEAT_SECONDS
        self.read_back()

    def read_back(self) -> None:
        """Do what `check` does, at once."""
        seen = seen_lease(self.run)
        other = self.lost_to or (seen.holder if seen and seen.holder.word != self.me.word else None)
        if other:
            raise InputError(f"{where(self.run)} was taken over by {other.name}: this command ends")

    def refusal(self, seen: Seen | None) -> InputError:
        """Return the error for a lease that another command holds."""
        who = f"{seen.holder.name}, alive {seen.age:.0f} s ago" if seen else "another command"
        return InputError(f"{where(self.run)} is under way: {who}; wait for it or stop it, or {self.instead}")


_held: dict[Path, Lease] = {}


def held(run: RunFolder) -> Lease | None:
    """Return the lease that this process holds on a run."""
    return _held.get(run.path.resolve())


@contextmanager
def hold(run: RunFolder, say: Say | None = None, instead: str = "choose another --name") -> Iterator[Lease]:
    """Hold the lease on a run. To hold a lease again that this process holds already has no effect.

    say: called with one line about a stale lease, or before waiting for one to become stale. instead: what else a
    user can do.
    Raises `InputError` where another command works on the run, or where a link leads out of it.
    """
    say = say or (lambda text: print(f"note: {text}", file=sys.stderr, flush=True))
    key = run.path.resolve()
    if key in _held:
        yield _held[key]
        return
    refuse_links_out(run)
    lease, remote = Lease(run, instead), remote_of(run)
    with ExitStack() as stack:
        stack.enter_context(_locked(lease, say))
        if remote is not None:
            stack.enter_context(_held_there(lease, remote, say))
        _held[key] = lease
        stack.callback(_held.pop, key)
        yield lease


def holding(write: Callable[Concatenate[RunFolder, P], T]) -> Callable[Concatenate[RunFolder, P], T]:
    """Make a function hold the lease on the run that is its first argument."""

    @wraps(write)
    def held_write(run: RunFolder, *arguments: P.args, **named: P.kwargs) -> T:
        with hold(run, instead="try again then"):
            return write(run, *arguments, **named)

    return held_write


def refuse_links_out(run: RunFolder) -> None:
    """Raise `InputError` where a link inside a run leads out of it: what is written or deleted there is not the run."""
    root = run.path.resolve()
    for folder, folders, names in os.walk(run.path):
        for name in (*folders, *names):
            path = Path(folder) / name
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise InputError(f"{path} is a link that leads out of the run: remove it, or copy what it leads to")


@contextmanager
def _locked(lease: Lease, say: Say) -> Iterator[None]:
    """Hold the file in the run's folder."""
    run, path = lease.run, lease.path
    begins = not run.path.exists()
    try:
        run.path.mkdir(parents=True, exist_ok=True)
        descriptor = _open(path)
    except OSError as error:
        remedy = "choose another --storage" if begins else "mend its rights, or work on a copy of the run"
        remedy = lease.instead if "elsewhere" in lease.instead else remedy
        raise InputError(f"{error.filename} cannot be written ({error.strerror}): {remedy}") from None
    try:
        locks = _lock(descriptor, lease)
        before = read_holder(os.pread(descriptor, 4096, 0))
        if before is not None:
            _outlast(lease, Seen(before, _age(path)), locks, lambda: _beat_of(path), say)
        _write(descriptor, lease, locks)
        if not locks:
            time.sleep(SETTLE_SECONDS)
            lease.read_back()
        with _beating(lambda: os.utime(descriptor), BEAT_SECONDS):
            yield
    finally:
        released = _release(descriptor, lease)
        if begins and released and not run.ledger.exists():
            # a start that was refused leaves nothing behind
            with suppress(OSError):
                path.unlink()
                run.path.rmdir()


def _release(descriptor: int, lease: Lease) -> bool:
    """Empty the file and unlock it; return False where it is another's. An empty one stays."""
    ours = False
    with suppress(OSError):
        holder = read_holder(os.pread(descriptor, 4096, 0))
        # it is empty where the disk was full
        ours = holder is None or holder.word == lease.me.word
        if ours:
            os.ftruncate(descriptor, 0)
    os.close(descriptor)
    return ours


def _open(path: Path) -> int:
    if path.exists():
        check_regular(path)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)


def _lock(descriptor: int, lease: Lease) -> bool:
    """Lock the file; return False where the file system has no locks. Raises `InputError` where another holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise lease.refusal(seen_lease(lease.run)) from None
    except OSError:
        return False
    return True


def _outlast(lease: Lease, seen: Seen, locks: bool, beat: Callable[[], object], say: Say) -> None:
    """Wait until a holder is dead for sure. Raises `InputError` at its first sign of life.

    locks: we hold the lock, so that a holder on this machine is dead. One on another is watched until its last beat
    is `STALE_SECONDS` old: clocks of machines differ, and a beat shows by itself.
    """
    name = f"{where(lease.run)}: {seen.holder.name}"
    if seen.holder.here and not locks and seen.holder.process_lives:
        raise lease.refusal(seen)
    left = 0.0 if seen.holder.here else lease_holder.STALE_SECONDS - seen.age
    if left > 0:
        say(f"{name} wrote to it {seen.age:.0f} s ago; looking for up to {left:.0f} s whether it is alive")
    first, end = beat(), time.monotonic() + left
    while time.monotonic() < end:
        time.sleep(min(1.0, lease_holder.STALE_SECONDS / 10))
        if beat() != first:
            raise lease.refusal(Seen(seen.holder, 0.0))
    say(f"{name} ended without a word; its lease on the run is taken over")


def _age(path: Path) -> float:
    """Return the seconds since a file was touched, by the clock of the disk that it lies on."""
    probe = path.with_name(f"{LEASE}.{os.getpid()}")
    try:
        probe.touch()
        return max(0.0, probe.stat().st_mtime - path.stat().st_mtime)
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def _beat_of(path: Path) -> object:
    with suppress(OSError):
        return path.stat().st_mtime_ns
    return None


def _write(descriptor: int, lease: Lease, locks: bool) -> None:
    """Write who holds the lease. A full disk is no reason to refuse where the lock says enough: `clean` makes room."""
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(lease.me)).encode(), 0)
    except OSError as error:
        if not locks:
            raise InputError(f"{lease.path} cannot be written ({error.strerror}): free space") from None


@contextmanager
def _beating(beat: Callable[[], Any], seconds: float) -> Iterator[None]:
    """Call `beat` every so many seconds, in a thread of its own."""
    ending = threading.Event()

    def beats() -> None:
        while not ending.wait(seconds):
            with suppress(OSError, InputError):
                # a beat that is missed is followed by the next
                beat()

    thread = threading.Thread(target=beats, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


@contextmanager
def _held_there(lease: Lease, remote: Remote, say: Say) -> Iterator[None]:
    """Hold the object at a URI. It is written and read back, since not every store can write on a condition."""
    with storage_errors(remote):
        before = read_holder(remote.read(LEASE))
        if before is not None and before.word != lease.me.word:
            stamp = remote.stamps([LEASE]).get(LEASE)
            age = max(0.0, time.time() - stamp.modified / 1e9) if stamp and stamp.modified else 0.0
            _outlast(lease, Seen(before, age), False, lambda: remote.read(LEASE), say)
        number = 0

        def beat() -> None:
            nonlocal number
            with storage_errors(remote):
                now = read_holder(remote.read(LEASE)) if number else None
                if now is not None and now.word != lease.me.word:
                    lease.lost_to = now
                    return
                number += 1
                remote.write(LEASE, json.dumps({**asdict(lease.me), "beat": number}).encode())

        beat()
        after = read_holder(remote.read(LEASE))
        if after is None or after.word != lease.me.word:
            raise lease.refusal(Seen(after, 0.0) if after else None)
    try:
        with _beating(beat, REMOTE_BEAT_SECONDS):
            yield
    finally:
        if lease.lost_to is None:
            # an object that stays is taken over after `STALE_SECONDS`
            with suppress(InputError), storage_errors(remote):
                remote.delete(LEASE)
