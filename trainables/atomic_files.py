"""Atomic and durable writing of files: a reader sees a whole file or none; reading of files that have an end.

Loads without torch.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

# Files that are synced at a time.
SYNCS = 8
# Bytes that are read at a time from the end of a file.
BLOCK = 2**16


@contextmanager
def replaced(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Give a path beside `path` to write to; it takes the place of `path` at the end, and is removed at an error.

    A reader sees the old file or the new one, never half of one. durable: also after a loss of power; without it the
    file is for `make_durable`, or may be made again. Raises `OSError` for a path that is a device, a pipe or a socket,
    which a file must not take the place of.
    """
    with suppress(FileNotFoundError):
        check_regular(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        yield beside
        if durable:
            sync_file(beside)
        os.replace(beside, path)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:
            # a full disk does not say of which file
            error.filename = str(path)
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def write_atomically(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file and the folder that it stands in, as `replaced` does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path, durable=durable) as beside:
        beside.write_bytes(content)


def append_whole(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Append to a file; where not all fits on the disk, the file is cut back to what it was.

    durable: it is on the disk when this returns.
    """
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
    try:
        _refuse_endless(os.fstat(file).st_mode, path)
        length, left = os.fstat(file).st_size, memoryview(content)
        try:
            # write(2) may take a part and say nothing
            while left:
                left = left[os.write(file, left) :]
            if durable:
                os.fsync(file)
        except OSError as error:
            error.filename = str(path)
            os.ftruncate(file, length)
            raise
    finally:
        os.close(file)


def lock_file(path: Path) -> Path:
    """Return the file that is locked while `path` is written. Raises `OSError` where none can be made.

    A lock of `filelock` would wait for ever where the system says that a new file is not found, as in /proc.
    """
    lock = path.with_name(f"{path.name}.lock")
    lock.touch()
    return lock


def remove_leftovers(path: Path) -> None:
    """Remove what killed processes left beside a file that nobody but the caller writes."""
    with suppress(OSError):
        for beside in path.parent.iterdir():
            if beside.name.startswith(f".{path.name}."):
                beside.unlink(missing_ok=True)


def make_durable(folder: Path) -> None:
    """Wait until every file below a folder is on the disk, and every name of them."""
    folders = [(Path(below), names) for below, _, names in os.walk(folder)]
    # The disk commits files that are synced together at once: a third of the time of one by one.
    with ThreadPoolExecutor(SYNCS) as pool:
        list(pool.map(sync_file, [below / name for below, names in folders for name in names]))
        list(pool.map(sync_folder, [*(below for below, _ in folders), folder.parent]))


def sync_file(path: Path) -> None:
    """Wait until a file's content is on the disk, whoever wrote it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Wait until a folder's names are on the disk, where the file system can do that."""
    with suppress(OSError):
        sync_file(folder)


def folders_in(folder: Path) -> list[Path]:
    """Return the folders right inside of one, in order; none where it is not there.

    Raises `OSError` for a folder that may not be read, which `Path.glob` leaves out without a word.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if os.path.isdir(entry.path))
    except (FileNotFoundError, NotADirectoryError):
        return []


def files_below(folder: Path, failed: Callable[[OSError], None] | None = None) -> list[Path]:
    """Return the files below a folder, in order; links to folders are not followed.

    failed: called for each folder that may not be read, which `Path.rglob` leaves out without a word; by default its
    `OSError` is raised.
    """

    def tell(error: OSError) -> None:
        # a folder may be removed meanwhile
        if isinstance(error, FileNotFoundError):
            return
        if failed is None:
            raise error
        failed(error)

    return sorted(Path(below) / name for below, _, names in os.walk(folder, onerror=tell) for name in names)


def end_of_last_line(path: Path) -> int:
    """Return the number of bytes up to and with the last line end."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - BLOCK)
            file.seek(start)
            index = file.read(end - start).rfind(b"\n")
            if index >= 0:
                return start + index + 1
            end = start
    return 0


def check_regular(path: Path | str) -> None:
    """Raise `OSError` for a pipe, which would be waited for, a device, which may have no end, or a socket.

    A folder is refused by whoever opens it.
    """
    _refuse_endless(os.stat(path).st_mode, path)


def open_regular(path: Path) -> BufferedReader:
    """Open a file for reading. Raises `OSError`, also for a pipe, a device or a socket."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _refuse_endless(os.fstat(descriptor).st_mode, path)
        return os.fdopen(descriptor, "rb")
    except OSError:
        os.close(descriptor)
        raise


def read_regular(path: Path) -> bytes:
    """Return the content of a file. Raises `OSError`, also for a pipe, a device or a socket."""
    with open_regular(path) as file:
        return file.read()


def _refuse_endless(mode: int, path: Path | str) -> None:
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "is no regular file", str(path))
