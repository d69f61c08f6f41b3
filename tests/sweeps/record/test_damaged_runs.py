"""Runs of somebody else, or damaged ones: every command that reads them shows something or says one line."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from search_spaces.find import find_sweep
from sweeps.clean import app as clean
from sweeps.clean import checkpoints
from sweeps.planning.reuse import find_finished
from sweeps.record.ledger import cut_damaged_end
from sweeps.record.state import GrowingLedger
from sweeps.screen.runs import list_run
from sweeps.show_run import document, print_run
from tests.sweeps.screen.test_runs import make_run
from trainables.errors import InputError

TIME = "2026-01-01T00:00:00+00:00"
TRIAL = {
    "event": "planned", "time": TIME, "trial_id": "1", "key": "k", "folder": "f", "config": {"epochs": 3},
    "parameters": 1, "macs": 1,
}  # fmt: skip
EPOCH = {
    "event": "epoch", "time": TIME, "trial_id": "1", "attempt": 1, "epoch": 1, "memory_mb": 1,
    "replicates": [{"seed": 0}], "mean": {"odd": 1},
}  # fmt: skip


def lines(*events: Any) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


ABOUT = {"metric": "val_auc", "mode": "max", "roles": {"scientific": {}, "nuisance": {}}}
LEDGERS = {
    "empty": b"",
    "lists": lines([], [1]),
    "deep": b"[" * 100_000 + b"\n",
    "nulls": lines(None, None),
    "unknown trial": lines(EPOCH),
    "no keys": lines({"event": "planned"}, {"event": "epoch", "trial_id": "1"}, {"event": "started"}, {"event": 1}),
    "mixed zones": lines({"event": "note", "time": "2026-01-01T00:00:00"}, {"event": "note", "time": TIME}),
    "not UTF-8": b'{"event":"\xff"}\n' + lines(TRIAL),
    "few fields": lines(TRIAL, EPOCH, {"event": "completed", "time": TIME, "trial_id": "1", "reason": "all"}),
    "outside": lines({**TRIAL, "folder": "../../victim"}, {"event": "completed", "trial_id": "1", "reason": "all"}),
    "endless": lines(TRIAL, {**EPOCH, "attempt": 10**15}, {**EPOCH, "epoch": 10**15}),
}
DESCRIPTIONS = {
    "list": b"[]",
    "null": b"null",
    "incomplete": b'{"metric":"val_auc"}',
    "roles of lists": json.dumps({**ABOUT, "roles": {"scientific": ["a"]}}).encode(),
    "not UTF-8": b"\xff\xfe",
    "deep": b"[" * 100_000,
    "odd fields": json.dumps({**ABOUT, "roles": {"scientific": {"nosuch": []}}, "question": "[/x]"}).encode(),
    "odd definition": json.dumps({**ABOUT, "definition": [1]}).encode(),
}
DAMAGED = [("ledger", name) for name in LEDGERS] + [("description", name) for name in DESCRIPTIONS]


@pytest.mark.parametrize("name", ["ledger.jsonl", "run.json"])
def test_a_pipe_in_a_run_is_not_waited_for(name: str, tmp_path: Path) -> None:
    run = make_run(tmp_path, "run", ended=2)
    (run.path / name).unlink()
    os.mkfifo(run.path / name)
    readers: list[Callable[[], object]] = [
        lambda: print_run(Console(file=io.StringIO(), width=100), run),
        lambda: list(checkpoints(run)) if name == "ledger.jsonl" else run.metadata(),
        lambda: GrowingLedger(run.ledger).look() if name == "ledger.jsonl" else run.metadata(),
        lambda: cut_damaged_end(run.ledger) if name == "ledger.jsonl" else run.metadata(),
    ]
    for read in readers:
        with pytest.raises(InputError, match="is no regular file"):
            read()
    assert "is no regular file" in list_run(run)["state"]


@pytest.mark.parametrize(("file", "name"), DAMAGED)
def test_a_damaged_run_is_shown_or_is_one_line(file: str, name: str, tmp_path: Path) -> None:
    run = make_run(tmp_path, "run", ended=2)
    victim = tmp_path / "victim" / "checkpoint"
    victim.mkdir(parents=True)
    (run.ledger if file == "ledger" else run.description).write_bytes(
        LEDGERS[name] if file == "ledger" else DESCRIPTIONS[name]
    )
    readers: list[Callable[[], object]] = [
        lambda: print_run(Console(file=io.StringIO(), width=100), run),
        lambda: json.dumps(document(run), allow_nan=False),
        lambda: list(checkpoints(run)),
        lambda: find_sweep(str(run.path)),
    ]
    for read in readers:
        try:
            read()
        except InputError as error:
            assert len(str(error).splitlines()) == 1  # noqa: PT017
    assert list_run(run)["run"] == "run"
    assert find_finished([], tmp_path) == {}
    assert all(run.path in folder.parents for folder in (checkpoints(run) if file == "description" else ()))


def test_a_link_to_a_run_is_not_removed_with_the_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "results", "r", 2)
    link = tmp_path / "linked" / "s" / "r"
    link.parent.mkdir(parents=True)
    link.symlink_to(run.path)
    done = CliRunner().invoke(clean, [str(link), "--run", "--yes"])
    assert isinstance(done.exception, InputError)
    assert "is a link to" in str(done.exception)
    assert run.ledger.exists()
