"""The folder of an attempt: the same files, whether the worker sees the run's folder or sends them to the driver."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from analysis.runs.run_folder import RunFolder
from sweeps.running.file_server import MARKER, FileServer, ServedFolder, borrowed_folder
from trainables.worker.attempt_folder import SentAttempt, SharedAttempt, new_attempt, open_attempt


class Direct(FileServer):
    """`FileServer` asked without Ray in between, by a worker that sees the folder or does not."""

    def __init__(self, folder: Path, *, seen: bool = False) -> None:
        super().__init__(str(folder))
        self.seen = seen

    def shared(self) -> bool:
        return self.seen


def files_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("seen", [True, False])
def test_two_attempts_leave_the_same_files_either_way(tmp_path: Path, seen: bool) -> None:
    trial = tmp_path / "trials" / "one"
    client = Direct(tmp_path, seen=seen)
    first = open_attempt(str(trial), client)
    assert isinstance(first, SharedAttempt if seen else SentAttempt)
    assert bool(first.note) != seen
    (first.folder / "seed_0").mkdir()
    (first.folder / "seed_0" / "final_model.safetensors").write_bytes(b"epoch 1")
    (first.folder / "checkpoint.pt").write_bytes(b"state 1")
    first.send()
    (first.folder / "seed_0" / "final_model.safetensors").write_bytes(b"epoch 2")
    first.send()
    second = open_attempt(str(trial), client)
    assert (first.number, second.number) == (1, 2)
    earlier = second.fetch("attempt-1/checkpoint.pt")
    assert earlier is not None
    assert earlier.read_bytes() == b"state 1"
    assert second.fetch("attempt-1/nothing.pt") is None
    assert second.fetch("donor.pt") is None
    (trial / "donor.pt").write_bytes(b"of another trial")
    donor = second.fetch("donor.pt")
    assert donor is not None
    assert donor.read_bytes() == b"of another trial"
    second.send()
    assert donor.exists() == seen
    assert files_below(trial) == {
        "attempt-1/checkpoint.pt": b"state 1", "attempt-1/seed_0/final_model.safetensors": b"epoch 2",
        "donor.pt": b"of another trial",
    }  # fmt: skip


def test_what_has_been_sent_takes_no_room_and_is_not_sent_again(tmp_path: Path) -> None:
    client = Direct(tmp_path)
    attempt = SentAttempt(str(tmp_path / "one"), client)
    (attempt.folder / "best_model.safetensors").write_bytes(b"best")
    attempt.send()
    assert (attempt.folder / "best_model.safetensors").read_bytes() == b""
    (tmp_path / "one" / "attempt-1" / "best_model.safetensors").write_bytes(b"at the driver")
    attempt.send()
    assert (tmp_path / "one" / "attempt-1" / "best_model.safetensors").read_bytes() == b"at the driver"


def test_a_worker_that_was_thought_dead_writes_nothing_once_its_trial_has_ended(tmp_path: Path) -> None:
    attempt = SentAttempt(str(tmp_path / "one"), Direct(tmp_path))
    (tmp_path / "one" / "attempt-1").rmdir()
    (attempt.folder / "late.pt").write_bytes(b"late")
    with pytest.raises(FileNotFoundError, match="its trial has ended"):
        attempt.send()
    assert files_below(tmp_path) == {}


@pytest.mark.parametrize("path", ["/etc/passwd", "{0}/../secret", "{0}-beside/file"])
def test_nothing_outside_of_the_run_is_read_or_written(tmp_path: Path, path: str) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (tmp_path / "secret").write_text("not yours")
    files = FileServer(str(run))
    for action in (lambda: files.get(path.format(run)), lambda: files.put(str(run), {f"../{run.name}/../x": b"1"})):
        with pytest.raises(PermissionError, match="is not below"):
            action()
    assert not (tmp_path / "x").exists()


def test_workers_that_start_at_once_get_attempts_of_their_own(tmp_path: Path) -> None:
    numbers: list[int] = []
    threads = [threading.Thread(target=lambda: numbers.append(new_attempt(tmp_path))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 21))


@pytest.mark.parametrize("word", ["ours", "of another driver"])
def test_a_worker_works_on_a_copy_only_where_it_does_not_see_the_folder(tmp_path: Path, word: str) -> None:
    run = RunFolder(tmp_path / "s" / "run")
    trial = run.trials / "one"
    trial.mkdir(parents=True)
    (trial / "config.json").write_text("{}")
    (run.path / MARKER).write_text("ours")

    class Client(ServedFolder):
        def _ask(self, method: str, *arguments: object) -> object:
            return getattr(FileServer(str(run.path)), method)(*arguments)

    with borrowed_folder(run, trial, Client(str(run.path), word, None)) as seen:
        assert (seen == run) == (word == "ours")
        assert (seen.sweep, seen.run_id) == ("s", "run")
        assert (seen.trials / "one" / "config.json").read_text() == "{}"
        (seen.trials / "one" / "run_stats.json").write_text("new")
    assert (trial / "run_stats.json").read_text() == "new"
