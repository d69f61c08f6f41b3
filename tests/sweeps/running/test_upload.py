"""The ledger at a URI goes on while trials end faster than their files are uploaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.runs.remote import Remote, open_remote
from analysis.runs.run_folder import RunFolder
from sweeps.record.ledger import Ledger, read_ledger
from sweeps.running import upload as uploads
from sweeps.running.upload import BackgroundUpload, Upload


def begin_trial(run: RunFolder, ledger: Ledger, number: int) -> None:
    attempt = run.trial(f"t{number}").attempt(1) / "seed_0"
    attempt.mkdir(parents=True)
    (attempt / "final_model.safetensors").write_bytes(b"weights %d" % number)
    ledger.append("started", trial_id=f"t{number}")


def end_trial(run: RunFolder, ledger: Ledger, number: int) -> None:
    """Move the files up, and then let the ledger say so, as `sweeps.record.attempts` does."""
    trial = run.trial(f"t{number}")
    shutil.move(trial.attempt(1) / "seed_0", trial.path / "seed_0")
    trial.attempt(1).rmdir()
    ledger.append("completed", trial_id=f"t{number}", reason="all")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "here" / "s" / "r")
    made.trials.mkdir(parents=True)
    made.description.write_text(json.dumps({}))
    return made


def test_the_ledger_is_sent_each_round_and_speaks_only_of_files_that_are_there(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote, ledger = open_remote((tmp_path / "bucket").as_uri()), Ledger(run.ledger)
    upload, write, read = Upload(run, remote), Remote.write, Path.read_bytes
    upload.begin()
    numbers: Iterator[int] = iter(range(1, 200))
    begin_trial(run, ledger, 0)

    def read_and_end(path: Path) -> bytes:
        """While files are read to be sent, a trial ends and the next begins."""
        if "attempt-" in str(path):
            number = next(numbers)
            begin_trial(run, ledger, number)
            end_trial(run, ledger, number - 1)
        return read(path)

    for _ in range(6):
        before = run.ledger.stat().st_size
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_bytes", read_and_end)
            upload.round()
        there = remote.read("ledger.jsonl") or b""
        assert len(there) == before, "all that the ledger held when the round began"
        (tmp_path / "copy.jsonl").write_bytes(there)
        for event in read_ledger(tmp_path / "copy.jsonl"):
            if event["event"] == "completed":
                assert remote.read(f"trials/{event['trial_id']}/seed_0/final_model.safetensors")
    assert write is Remote.write


def test_a_ledger_that_stays_behind_is_said_once(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    remote = open_remote((tmp_path / "bucket").as_uri())
    monkeypatch.setattr(uploads, "remote_of", lambda run: remote)
    monkeypatch.setattr(uploads, "PAUSE", 0.0)
    monkeypatch.setattr(uploads, "SHARE", 1.0)
    Ledger(run.ledger).append("expected", trials=1)
    background = BackgroundUpload(run, said.append)
    assert background.upload
    monkeypatch.setattr(uploads, "send_changed", lambda *arguments: (set(), {"trials/t0/seed_0/final_model"}))
    rounds = iter(range(2 * uploads.TELL_AFTER))
    monkeypatch.setattr(background._ending, "wait", lambda pause: next(rounds, None) is None)
    background._rounds()
    assert len(said) == 1
    assert "rounds behind" in said[0]
