"""The ledger and the state that is folded from it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from sweeps.record.ledger import Ledger, cut_damaged_end, read_ledger
from sweeps.record.state import fold
from trainables.errors import InputError

PLANNED = {
    "trial_id": "0001",
    "key": "k",
    "folder": "f",
    "config": {"epochs": 3},
    "parameters": 1,
    "macs": 1,
    "stratum": "",
}


def epoch(number: int, attempt: int = 1) -> dict[str, object]:
    return {
        "trial_id": "0001", "attempt": attempt, "epoch": number, "memory_mb": 1.0,
        "replicates": [{"seed": 0, "epoch": number}], "mean": {"val_auc": number / 10},
    }  # fmt: skip


def test_every_event_is_one_line_of_strict_json(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append("planned", **PLANNED)
    ledger.append("note", text="line\nbreak", value=math.nan, values=[math.inf, 1.0])
    ledger.close()
    lines = (tmp_path / "ledger.jsonl").read_text().splitlines()
    events = [json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON")) for line in lines]
    assert [event["event"] for event in events] == ["planned", "note"]
    assert events[1]["value"] is None
    assert events[1]["values"] == [None, 1.0]


@pytest.mark.parametrize("rest", [b'{"event": "epo', b"\x00\x00\x00", b"x"])
def test_a_damaged_last_line_is_left_out_and_cut_off(tmp_path: Path, rest: bytes) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path)
    ledger.append("planned", **PLANNED)
    ledger.close()
    with path.open("ab") as file:
        file.write(rest)
    assert len(list(read_ledger(path))) == 1
    assert cut_damaged_end(path) == len(rest)
    again = Ledger(path)
    again.append("note")
    again.close()
    assert [event["event"] for event in read_ledger(path)] == ["planned", "note"]


def test_damage_in_the_middle_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text('{"event": "a"}\nbroken\n{"event": "b"}\n')
    with pytest.raises(InputError, match="line 2"):
        list(read_ledger(path))


def test_an_epoch_that_is_trained_again_after_a_resume_counts_once() -> None:
    events = [
        {"event": "planned", "time": "", **PLANNED},
        {"event": "started", "time": "2026-01-01T00:00:00+00:00", "trial_id": "0001"},
        *({"event": "epoch", **epoch(n)} for n in (1, 2)),
        {"event": "interrupted", "trial_id": "0001", "reason": "r"},
        {"event": "started", "time": "2026-01-01T00:00:00+00:00", "trial_id": "0001"},
        *({"event": "epoch", **epoch(n, attempt=2)} for n in (2, 3)),
        {"event": "completed", "trial_id": "0001", "reason": "all"},
    ]
    trial = fold(events).trials["0001"]
    assert trial.epoch == 3
    assert (trial.status, trial.attempts, trial.attempt) == ("completed", 2, 2)
