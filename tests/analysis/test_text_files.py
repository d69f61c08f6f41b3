"""Text files that a user writes: each mistake is one line, whichever command reads the file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.evaluation.gate import read_thresholds
from analysis.terminal.text_files import read_text, read_yaml
from cluster.checks.cluster_file import read_cluster_file
from search_spaces.find import find_sweep
from sweeps.planning.override_files import read_options
from trainables.errors import InputError

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
DOORS: list[Callable[[Path], Any]] = [read_options, lambda path: read_thresholds(str(path)), read_cluster_file]


@pytest.mark.parametrize("read", DOORS)
@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"# f\xfcr\na: 1\n", "is not UTF-8 .byte 3."),
        (bytes(range(256)), "is not UTF-8"),
        (b"a: " + b"[" * 3000 + b"]" * 3000, "is not valid YAML"),
        (BOMB.encode(), "aliases make more than a million values"),
        (b"epochs: 1\nepochs: 2\n", "'epochs' stands twice"),
        (b"a: {b: 1, b: 2}\n", "'b' stands twice"),
        (b"\tepochs: 1\n", "is not valid YAML"),
        (b"x" * 1_100_000, "larger than 1 MB"),
        (b"a: !!python/object/apply:os.getcwd []\n", "."),
        (b"- 1\n", "."),
        (b"", "."),
    ],
)
def test_a_file_with_a_mistake_is_refused_in_one_line(
    read: Callable[[Path], Any], content: bytes, complaint: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=complaint) as raised:
        read(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("read", DOORS)
def test_what_is_no_file_is_refused_and_nothing_waits(read: Callable[[Path], Any], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(InputError, match="is a pipe"):
        read(tmp_path / "pipe.yaml")
    for path in (tmp_path, tmp_path / "nosuch.yaml"):
        with pytest.raises(InputError, match="cannot be read"):
            read(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_encodings_of_editors_are_read(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes("question: Größe?\r\nrate: 1e-3\nmany: [1, 2]\n".encode(encoding))
    assert read_text(path, "").splitlines()[0] == "question: Größe?"
    assert read_yaml(path, "") == {"question": "Größe?", "rate": "1e-3", "many": [1, 2]}
    assert read_yaml(path, "", texts=True)["many"] == ["1", "2"]


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("import sys; sys.exit()", "SystemExit"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("import argparse; argparse.ArgumentParser().parse_args(['--nosuch'])", "SystemExit: 2"),
        ("raise RuntimeError('x')", "RuntimeError: x"),
        ("a b", "SyntaxError"),
        ("SWEEP = 1", "no SWEEP"),
    ],
)
def test_a_sweep_file_that_ends_the_program_is_bad_input(code: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(code)
    with pytest.raises(InputError, match=complaint):
        find_sweep(str(path))
