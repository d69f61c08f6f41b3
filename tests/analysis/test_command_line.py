"""A disk that refuses ends a command with one line, wherever in it that happens; a fault of the program is shown."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from analysis.command_line import check_outputs, check_words, guard
from sweeps.list import app as list_
from trainables.errors import InputError


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


@pytest.mark.parametrize(
    ("words", "before"),
    [([""], "the command"), (["latest", "--gate", ""], "--gate"), (["", ""], "the command"), (["x", "", "y"], "x")],
)
def test_an_empty_word_is_refused(words: list[str], before: str) -> None:
    """A variable of the shell that is not set: `--gate "$GATE"` would judge nothing, and end with 0."""
    with pytest.raises(InputError, match=f"the word after {before} is empty"):
        check_words(words)
    check_words(["latest", "--resume=", " "])


def test_a_file_is_not_written_to_a_folder_below_a_file_or_to_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    os.mkfifo(tmp_path / "pipe.svg")
    for wrong in (tmp_path, tmp_path / "file" / "x", tmp_path / "pipe.svg", Path("/dev/null"), Path("")):
        with pytest.raises(InputError, match="cannot be written"):
            check_outputs([wrong])
    check_outputs([None, tmp_path / "new" / "deep" / ".." / "file.csv"], tmp_path / "folder")
    # what is not written in the end leaves no empty folder
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "pipe.svg"]
    for name, said in (
        ("x.html", "ends with .png or .svg"),
        ("x", "ends with .png"),
        ("pipe.svg", "cannot be written"),
    ):
        found = CliRunner().invoke(list_, ["schedules", "--plot", str(tmp_path / name)])
        assert isinstance(found.exception, InputError)
        assert said in str(found.exception)
    assert not (tmp_path / "x.png").exists()
