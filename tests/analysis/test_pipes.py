"""A pipe where a file is wanted is refused in one line: it is not waited for."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from analysis import table
from analysis.evaluation.group_table import read_group_table
from analysis.runs.lease import hold
from analysis.runs.lease_holder import seen_lease
from analysis.runs.run_folder import RunFolder
from analysis.table.hardware import read_journal, read_usage
from analysis.weights.files import read_learned
from deployment.formats.opening import open_artefact
from deployment.service.settings import read_token
from search_spaces.sweep_json import read_sweep
from sweeps.record.ledger import read_ledger
from trainables.atomic_files import check_regular, open_regular, read_regular
from trainables.data.reading.npz_files import array_names
from trainables.errors import InputError
from trainables.network.trained import load_trained
from trainables.user_code.source import read_source

# seconds after which a pipe that is waited for is opened at its other end
PATIENCE = 10.0
Read = Callable[[Path], object]


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Return what makes a pipe; whoever waits for one reads its end, and not what the test wants."""
    made: list[Path] = []

    def release() -> None:
        for path in made:
            with suppress(OSError):
                os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))

    def make(name: str) -> Path:
        made.append(tmp_path / name)
        made[-1].parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(made[-1])
        return made[-1]

    timer = threading.Timer(PATIENCE, release)
    timer.start()
    yield make
    timer.cancel()
    timer.join()


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("x.safetensors", read_learned),
        ("x.pt", read_learned),
        ("best_model.safetensors", load_trained),
        ("model.onnx", open_artefact),
        ("model.pt2", open_artefact),
        ("x.npz", lambda path: array_names(path, "save it again")),
        ("run.json", read_sweep),
        ("sweep/run/run.json", lambda path: RunFolder(path.parent).read_description()),
        ("ledger.jsonl", lambda path: list(read_ledger(path))),
        ("token", read_token),
        ("own.py", lambda path: read_source(f"{path}:f")),
        ("groups.csv", lambda path: read_group_table(path, "test")),
        ("s/r/.lease", lambda path: hold(RunFolder(path.parent)).__enter__()),
    ],
)
def test_a_pipe_is_refused_in_one_line(name: str, read: Read, pipe: Callable[[str], Path]) -> None:
    with pytest.raises(InputError, match=r"no regular file|no plain file|is no file|no such file") as refused:
        read(pipe(name))
    assert "\n" not in str(refused.value)


def test_what_a_run_can_do_without_is_left_out(pipe: Callable[[str], Path]) -> None:
    run = RunFolder(pipe("s/r/hardware.jsonl").parent)
    pipe("s/r/hardware.json")
    pipe("s/r/.lease")
    assert read_journal(run.hardware_journal) == []
    assert read_usage(run) is None
    assert seen_lease(run) is None


def test_a_table_that_is_a_pipe_is_no_table(pipe: Callable[[str], Path]) -> None:
    with pytest.raises(InputError, match="is no regular file"):
        table.read_arrow(pipe("s/r/trials.parquet"))


def test_a_file_is_read_and_a_device_is_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    assert read_regular(tmp_path / "file") == b"content"
    with open_regular(tmp_path / "file") as file:
        assert file.readline() == b"content"
    for read in (check_regular, open_regular, read_regular):
        with pytest.raises(OSError, match="no regular file"):
            read(Path("/dev/zero"))
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        read_regular(tmp_path)
