"""Folders that may not be read are said, and not left out. Root may read all: here the system refuses."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis.runs.find import find_run, find_runs
from analysis.runs.lease import hold
from analysis.runs.run_folder import RunFolder
from analysis.table.files import read_arrow
from analysis.table.tensorboard_scalars import read_files
from analysis.trial_evaluation.select_trials import choose_trials
from deployment.prediction.image_inputs import find_inputs
from sweeps.list import _runs
from sweeps.screen.runs import bytes_in
from tests.support.made_results import make_run
from trainables.atomic_files import files_below, folders_in
from trainables.errors import InputError

Close = Callable[[Path], None]


@pytest.fixture
def close(monkeypatch: pytest.MonkeyPatch) -> Close:
    """Make a folder one that the system lets nobody read or enter."""
    closed: list[str] = []
    stat, scandir, access, opened = os.stat, os.scandir, os.access, os.open

    def refuse(path: object, inside: bool) -> None:
        text = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
        for folder in closed:
            if text.startswith(f"{folder}/") or (text == folder and not inside):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), text)

    def wrapped(action: Callable[..., object], inside: bool) -> Callable[..., object]:
        def refusing(path: object, *rest: object, **named: object) -> object:
            refuse(path, inside)
            return action(path, *rest, **named)

        return refusing

    monkeypatch.setattr(os, "stat", wrapped(stat, inside=True))
    monkeypatch.setattr(os, "scandir", wrapped(scandir, inside=False))
    monkeypatch.setattr(os, "open", wrapped(opened, inside=True))
    monkeypatch.setattr(os, "access", lambda path, *rest: os.fspath(path) not in closed and access(path, *rest))
    return lambda path: closed.append(str(path))


def made(path: Path) -> RunFolder:
    return make_run(path, {"activation": ["relu"]}, {"lr": [0.1]}, lambda *_: 0.5, seeds=1, epochs=1)


def test_a_run_that_may_not_be_entered_is_a_row_of_the_list(
    tmp_path: Path, close: Close, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("s/open", "s/secret", "closed/other"):
        run = made(tmp_path / name)
        run.description.write_text("{}")
        run.ledger.touch()
    close(tmp_path / "s" / "secret")
    close(tmp_path / "closed")
    states = {row["run"]: row["state"] for row in _runs(str(tmp_path))}
    assert states.keys() == {"open", "secret"}
    assert "Permission denied" in states["secret"]
    said = f"note: {tmp_path / 'closed'} cannot be read (Permission denied): what is in it is left out"
    assert said in capsys.readouterr().err
    # the others go on, and it is not said to be missing
    assert find_run("open", tmp_path).run_id == "open"
    with pytest.raises(InputError, match="Permission denied"):
        find_run("secret", tmp_path).read_description()


def test_what_a_folder_of_results_leaves_out_is_said(
    tmp_path: Path, close: Close, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path / "s" / "open")
    made(tmp_path / "s" / "secret")
    close(tmp_path / "s" / "secret")
    close(tmp_path / "s" / "open" / "trials")
    assert [run.run_id for run in find_runs([str(tmp_path)])] == ["open"]
    said = capsys.readouterr().err
    assert f"{tmp_path / 's' / 'secret'} cannot be read" in said
    # whose content nobody asked for
    assert "trials" not in said
    with pytest.raises(InputError, match=r"Permission denied: .*secret"):
        read_arrow(tmp_path)


def test_weights_that_may_not_be_read_are_not_said_to_be_missing(tmp_path: Path, close: Close) -> None:
    run = made(tmp_path / "s" / "open")
    run.trials.mkdir(exist_ok=True)
    close(run.trials)
    with pytest.raises(PermissionError):
        choose_trials(run, "best")
    assert bytes_in(run.path) > 0


def test_images_and_scalars_of_a_closed_folder_are_not_left_out(tmp_path: Path, close: Close) -> None:
    for name in ("open", "shut"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / name / "x.png")
        (tmp_path / name / "events.out.tfevents.1").write_bytes(b"")
    assert len(find_inputs([tmp_path])) == 2
    close(tmp_path / "shut")
    with pytest.raises(PermissionError):
        find_inputs([tmp_path])
    assert f"{tmp_path / 'shut'} cannot be read (Permission denied)" in read_files(tmp_path).damaged


def test_links_in_a_circle_and_what_is_not_there_hide_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    assert folders_in(tmp_path) == [tmp_path / "folder"]
    assert folders_in(tmp_path / "none") == folders_in(tmp_path / "file") == files_below(tmp_path / "none") == []
    assert [path.name for path in files_below(tmp_path)] == ["dangling", "file", "loop"]


def test_a_run_of_somebody_else_is_not_said_to_want_another_storage(tmp_path: Path, close: Close) -> None:
    run = made(tmp_path / "s" / "open")
    close(run.path)
    with pytest.raises(InputError, match="mend its rights, or work on a copy of the run"), hold(run):
        pass
    instead = "write elsewhere with --output FILE"
    with pytest.raises(InputError, match=instead), hold(run, instead=instead):
        pass
