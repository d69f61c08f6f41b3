"""A process without a home folder has one of its own."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from analysis.terminal.home import find_home


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    # set first, so that it is taken back at the end
    monkeypatch.setenv("MPLCONFIGDIR", "")
    monkeypatch.delenv("MPLCONFIGDIR")


def nowhere() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_a_user_that_the_system_does_not_know_gets_a_private_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", nowhere)
    monkeypatch.delenv("HOME")
    folder = find_home()
    assert folder
    assert os.environ["HOME"] == str(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert os.environ["MPLCONFIGDIR"].startswith(str(folder))
    assert find_home() == folder


@pytest.mark.parametrize("kind", ["link", "readable"])
def test_a_folder_that_another_user_could_have_made_is_not_taken(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", nowhere)
    monkeypatch.setenv("HOME", "")
    made = tmp_path / f"sweeps-home-{os.getuid()}"
    if kind == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        made.symlink_to(tmp_path / "elsewhere")
    else:
        made.mkdir()
        made.chmod(0o755)
    folder = find_home()
    assert folder not in (None, made)


def test_a_home_stays_and_one_that_cannot_be_written_has_no_figures_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_home() is None
    assert "MPLCONFIGDIR" not in os.environ
    monkeypatch.setenv("HOME", str(tmp_path / "nosuch"))
    assert find_home() is None
    assert os.environ["HOME"] == str(tmp_path / "nosuch")
    assert (tmp_path / "sweeps-home-").parent.samefile(Path(os.environ["MPLCONFIGDIR"]).parents[1])
