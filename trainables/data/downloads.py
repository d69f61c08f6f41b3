"""Finding a dataset's files under the data root, downloading what is missing, and checking what is there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from trainables.atomic_files import write_atomically
from trainables.errors import InputError


def find_file(candidates: list[Path]) -> Path | None:
    """Return the first path that is a file."""
    return next((path for path in candidates if path.is_file()), None)


def cache_root() -> Path:
    """Return `SWEEPS_CACHE`, else `~/.cache/sweeps`: decoded arrays, statistics, and what was already checked."""
    return Path(os.environ.get("SWEEPS_CACHE") or Path.home() / ".cache" / "sweeps").expanduser().absolute()


def fingerprint(paths: Iterable[Path], *more: object) -> str:
    """Return 16 hexadecimal digits that change when a file's path, size or time of writing changes, or `more` does."""
    digest = hashlib.sha256(repr(more).encode())
    for path in paths:
        status = path.stat()
        digest.update(f"{path.absolute()}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class FilePolicy:
    """The rules for a dataset's files. trusted: NAME=MD5 of files that are accepted, though not published."""

    download: bool = True
    trusted: tuple[str, ...] = ()


PUBLISHED = FilePolicy()
_policy: ContextVar[FilePolicy] = ContextVar("file policy", default=PUBLISHED)
# the entries of `trusted` that were needed
_taken: ContextVar[set[str]] = ContextVar("trusted files")


@contextmanager
def file_policy(policy: FilePolicy) -> Iterator[None]:
    """Download and trust files as the policy says, within the context.

    Raises `InputError` at its end where a file that is trusted was not needed.
    """
    before, taken = _policy.set(policy), _taken.set(set())
    try:
        yield
        for item in policy.trusted:
            if item not in _taken.get():
                raise InputError(
                    f"--trust {item} has no effect: the data need no file of that name and MD5, or it is the published "
                    "one: leave it out"
                )
    finally:
        _policy.reset(before)
        _taken.reset(taken)


def check_md5(path: Path, expected: str) -> str:
    """Return a file's MD5. Raise `InputError` where it is neither the published one nor trusted.

    A file is read once, until it changes.
    """
    passed = cache_root() / "checked" / f"{fingerprint([path], expected)}.json"
    if passed.exists():
        return expected
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "md5").hexdigest()
    if actual != expected and (item := f"{path.name}={actual}") in _policy.get().trusted:
        _taken.get().add(item)
        return actual
    if actual != expected:
        raise InputError(
            f"{path} is damaged or not the published file (MD5 {actual}, expected {expected}): delete it and run again "
            f"to download it, or, if you know it to be right, add --trust {path.name}={actual}"
        )
    cache_text(passed, json.dumps({"file": str(path), "md5": actual}))
    return actual


def cache_text(path: Path, text: str) -> None:
    """Write a small file that only saves time: where the cache cannot be written, its work is done again."""
    try:
        write_beside(path, text)
    except InputError:
        return


def write_beside(path: Path, text: str) -> None:
    """Write a small file beside its place and rename it. Raises `InputError` where the folder cannot be written."""
    try:
        write_atomically(path, text.encode())
    except OSError as error:
        raise unwritable(path.parent, error) from None


def unwritable(folder: Path, error: OSError) -> InputError:
    """Return the error for a cache that cannot be written."""
    reason = error.strerror or str(error)
    return InputError(f"cannot write to the cache {folder} ({reason}): set SWEEPS_CACHE to a folder with room")


def check_room(source: Path, folder: Path, needed: int) -> None:
    """Raise `InputError` where the disk of the cache has fewer than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"{source} takes {needed / 1e9:.1f} GB decoded and {folder.parent} has {free / 1e9:.1f} GB free: "
            "set SWEEPS_CACHE to a folder with more room"
        )


def download(name: str, folder: Path, fetch: Callable[[Path], None], hint: str = "") -> None:
    """Fetch into a folder, which is made; every failure becomes one line with the remedy and leaves no empty folder."""
    if not _policy.get().download:
        raise InputError(
            f"{name} is not in {folder}, and --dry-run downloads nothing: {hint}leave --dry-run out, name the "
            "folder of the file with --data-root, or try --dataset digits, which needs no download"
        )
    before = {path for path in (folder, *folder.glob("*"), *folder.glob("*/*")) if path.exists()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fetch(folder)
    except (OSError, RuntimeError) as error:
        for path in (*folder.glob("*/*"), *folder.glob("*"), folder):
            # Remove only what this made, and only what is empty.
            with suppress(OSError):
                if path not in before and path.is_dir():
                    path.rmdir()
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{name} is not in {folder} and could not be downloaded ({reason}): {hint}put the file there, "
            "name its folder with --data-root, or try --dataset digits, which needs no download"
        ) from None
