"""Files that a full disk takes a part of are what they were."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from trainables.atomic_files import append_whole, write_atomically


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the disk take three bytes of each write, and refuse what follows."""
    write, full = os.write, []

    def part(file: int, data: Any) -> int:
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        full.append(True)
        return write(file, bytes(data)[:3])

    monkeypatch.setattr(os, "write", part)


def test_what_does_not_fit_is_taken_back(tmp_path: Path, small_disk: None) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"first\n")
    with pytest.raises(OSError, match="No space left") as refused:
        append_whole(path, b"second line\n")
    assert refused.value.filename == str(path)
    assert path.read_bytes() == b"first\n"


def test_what_is_appended_follows_what_is_there(tmp_path: Path) -> None:
    for line in (b"a\n", b"b\n"):
        append_whole(tmp_path / "log", line)
    assert (tmp_path / "log").read_bytes() == b"a\nb\n"
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(OSError, match=r"no regular file|No such device"):
            append_whole(path, b"x")


def test_a_full_disk_is_said_with_the_files_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(OSError, match="No space left") as refused:
        write_atomically(tmp_path / "table", b"x")
    assert refused.value.filename == str(tmp_path / "table")
    assert not list(tmp_path.iterdir())


def test_a_file_takes_the_place_of_no_device_and_no_pipe(tmp_path: Path) -> None:
    """A root user's `--output /dev/full` would make a file of the device."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/null")
    for name in ("pipe", "link"):
        with pytest.raises(OSError, match="no regular file"):
            write_atomically(tmp_path / name, b"x")
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "link").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "pipe"]
