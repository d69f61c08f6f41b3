"""A disk that refuses ends a command with one line, wherever in it that happens; a fault of the program is shown."""

from __future__ import annotations

import errno
import os

import pytest

from analysis.command_line import guard


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO, errno.ENAMETOOLONG])
@pytest.mark.parametrize("name", [None, "x\x1b[31m.parquet"])
def test_a_disk_that_refuses_is_one_line(number: int, name: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    def write() -> None:
        raise OSError(number, os.strerror(number), name)

    with pytest.raises(SystemExit) as ended:
        guard(write)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert os.strerror(number) in line
    assert "\x1b" not in line


def test_a_fault_of_the_program_is_shown() -> None:
    def look() -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file")

    with pytest.raises(FileNotFoundError):
        guard(look)
