"""The ledger and the state that is folded from it."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.trial_status import ENDED
from sweeps.record import ledger as module
from sweeps.record.event import MEANINGS
from sweeps.record.history import NUMBERS
from sweeps.record.ledger import MAX_GARBAGE, MAX_LINE, Ledger, cut_damaged_end, read_ledger
from sweeps.record.progress import Tally
from sweeps.record.state import GrowingLedger, RunState, fold
from tests.conftest import ROOT
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


def test_every_event_that_is_written_has_a_meaning_for_the_reference() -> None:
    texts = [path.read_text() for path in (ROOT / "sweeps").rglob("*.py")]
    written = {name for text in texts for name in re.findall(r"(?:record|append)\(\s*\"([a-z_]+)\"", text)}
    assert len(written) > 10
    assert {*written, *ENDED, "moved", "recoded"} == set(MEANINGS)


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


@pytest.mark.parametrize(
    "line", [b"broken", b"[]", b"{}", b'{"event": 3}', b"\xff", b"[" * 100_000, b'{"event":"a","time":"x"}']
)
def test_damage_in_the_middle_costs_that_event_and_is_said(
    line: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b'{"event": "a"}\n' + line + b'\n{"event": "b"}\n')
    assert [event["event"] for event in read_ledger(path)] == ["a", "b"]
    assert capsys.readouterr().err == f"note: {path}: a damaged line is left out (line 2)\n"


def test_a_file_without_any_event_is_no_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b"x" * (MAX_LINE + 5) + b"\n" + b"garbage\n" * (2 * MAX_GARBAGE))
    with pytest.raises(InputError, match="is no ledger"):
        list(read_ledger(path))
    with pytest.raises(InputError, match="cannot be read"):
        list(read_ledger(tmp_path))


def test_a_line_longer_than_any_event_is_skipped_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b'{"event": "a"}\n' + b"x" * (3 * MAX_LINE + 5) + b'\n{"event": "b"}\n')
    assert [event["event"] for event in read_ledger(path)] == ["a", "b"]


@pytest.mark.parametrize("taken_back", [True, False])
def test_no_line_follows_one_of_which_only_a_part_was_written(
    taken_back: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """write(2) may take a part of a line without an error, where the disk is full for a moment."""
    path, real = tmp_path / "ledger.jsonl", os.write
    ledger = Ledger(path)
    ledger.append("first")
    room = iter([7])

    def full(*arguments: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def write(descriptor: int, data: bytes) -> int:
        part = next(room, None)
        return real(descriptor, bytes(data[:part])) if part else full()

    monkeypatch.setattr(os, "write", write)
    if not taken_back:
        monkeypatch.setattr(os, "ftruncate", full)
    with pytest.raises(InputError, match=r"No space left on device.*free space, then --resume"):
        ledger.append("second", text="x" * 100)
    monkeypatch.undo()  # another program's scratch files are gone
    if taken_back:
        ledger.append("third")
        ledger.sync()
    else:
        for again in (lambda: ledger.append("third"), ledger.sync):
            with pytest.raises(InputError, match="No space left"):
                again()
    ledger.close()
    whole = ["first", "third"] if taken_back else ["first"]
    assert [event["event"] for event in read_ledger(path)] == whole
    Ledger(path).append("fourth")
    assert [event["event"] for event in read_ledger(path)] == [*whole, "fourth"]


def test_writes_that_take_a_part_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data[:3])))
    Ledger(tmp_path / "ledger.jsonl").append("event", text="a text that is longer than three bytes")
    monkeypatch.undo()
    assert [event["event"] for event in read_ledger(tmp_path / "ledger.jsonl")] == ["event"]


def test_a_ledger_that_is_removed_while_it_is_written_is_noticed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    ledger = Ledger(run / "ledger.jsonl")
    ledger.append("event")
    ledger.sync()
    shutil.rmtree(run)
    with pytest.raises(InputError, match="was removed while its run went on"):
        ledger.sync()
    with pytest.raises(InputError, match="was removed"):
        ledger.append("event")
    ledger.close()
    assert not run.exists()


def test_a_run_is_begun_once(tmp_path: Path) -> None:
    Ledger(tmp_path / "ledger.jsonl", new=True).close()
    with pytest.raises(FileExistsError):
        Ledger(tmp_path / "ledger.jsonl", new=True)


@pytest.mark.parametrize("name", ["0001.x", "0001.", ".", "0001.1.2", "", "0001.-1"])
def test_a_trial_whose_replicate_is_no_number_is_left_out(name: str) -> None:
    state = fold({"event": "planned", "time": "", **PLANNED, "trial_id": each} for each in ("0001.2", name))
    assert list(state.trials) == ["0001.2"]
    assert state.left_out == 1


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


TIME = "2026-01-01T00:00:00+00:00"
LIFE: list[dict[str, Any]] = [
    {"event": "planned", "time": TIME, **PLANNED},
    {"event": "started", "time": TIME, "trial_id": "0001"},
    *({"event": "epoch", "time": TIME, **epoch(n)} for n in (1, 2, 3)),
    {"event": "completed", "time": TIME, "trial_id": "0001", "reason": "all"},
]


def test_an_ended_trial_is_woken_by_nothing_but_a_requeue() -> None:
    """Two drivers could work on one run of version 0.1.0: the second's lines come after the first's last."""
    later = [
        {"event": "started", "time": TIME, "trial_id": "0001"},
        {"event": "epoch", "time": TIME, **epoch(3, attempt=2)},
        {"event": "retried", "time": TIME, "trial_id": "0001"},
        {"event": "interrupted", "time": TIME, "trial_id": "0001", "reason": "second"},
        {"event": "failed", "time": TIME, "trial_id": "0001", "reason": "second"},
        {"event": "planned", "time": TIME, **PLANNED},
    ]
    for number in range(1, len(later) + 1):
        state = fold([*LIFE, *later[:number]])
        assert (state.trials["0001"].status, state.trials["0001"].stop_reason) == ("completed", "all")
    assert fold([*LIFE, {"event": "requeued", "trial_id": "0001"}]).trials["0001"].status == "planned"


def lines_of(events: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def test_a_growing_ledger_is_followed_wherever_a_write_is_seen(tmp_path: Path) -> None:
    """Cut at every byte: what was appended is applied once, and nothing before its line is whole."""
    path, content = tmp_path / "ledger.jsonl", lines_of([*LIFE[:3], {"event": "note"}, *LIFE[3:]]) + b"damaged\n"
    path.write_bytes(b"")
    growing = GrowingLedger(path)
    first = growing.look()
    for end in range(len(content) + 1):
        path.write_bytes(content[:end])
        assert growing.look() is first
        assert repr(first) == repr(fold(read_ledger(path)) if b"\n" in content[:end] else RunState())
    assert first.trials["0001"].status == "completed"


def test_a_look_reads_what_was_appended_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(lines_of(LIFE[:5]))
    growing, read = GrowingLedger(path), list[int]()
    growing.look()
    lines = module._lines
    monkeypatch.setattr(module, "_lines", lambda file, offset: read.append(offset) or lines(file, offset))
    before = path.stat().st_size
    path.write_bytes(lines_of(LIFE))
    assert growing.look().trials["0001"].status == "completed"
    assert read == [before]


def test_a_ledger_that_is_another_one_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(lines_of(LIFE))
    growing = GrowingLedger(path)
    old = growing.look()
    other = [LIFE[0], {**LIFE[0], "trial_id": "0002", "time": "2026-01-02T00:00:00+00:00"}, *LIFE[1:]]
    path.write_bytes(lines_of(other))
    assert growing.look() is not old
    assert repr(growing.state) == repr(fold(other))
    path.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        growing.look()


def test_an_epoch_whose_line_is_lost_leaves_a_hole_and_not_an_end() -> None:
    trial = fold([event for event in LIFE if event.get("epoch") != 2]).trials["0001"]
    assert (trial.status, trial.epoch) == ("completed", 3)
    assert trial.means == [{"val_auc": 0.1}, {"val_auc": None}, {"val_auc": 0.3}]
    far = {"event": "epoch", "time": TIME, **epoch(10**9)}
    state = fold([{**LIFE[0], "config": {"epochs": 10**6}}, far])
    assert (state.left_out, state.trials["0001"].epoch) == (1, 0)


def check(state: RunState) -> None:
    """All that reads a state can read this one."""
    tally = Tally(state, "val_auc", "max", ["activation"])
    tally.progress(10.0, since_start=True)
    tally.best()
    assert state.total >= len(state.trials)
    for trial in state.trials.values():
        assert len(trial.history.values) == len(trial.means) * trial.history.replicates * len(NUMBERS)
        assert trial.config_now
        assert isinstance(trial.attempts, int)


@given(st.data())
def test_a_ledger_that_is_cut_anywhere_folds_to_what_came_before(data: st.DataObject) -> None:
    lines = [json.dumps(event).encode() + b"\n" for event in LIFE]
    content = b"".join(lines)
    end = data.draw(st.integers(0, len(content)))
    whole = sum(len(b"".join(lines[: n + 1])) <= end for n in range(len(lines)))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.jsonl"
        path.write_bytes(content[:end])
        assert list(read_ledger(path)) == LIFE[:whole]
        Ledger(path).append("note")
        assert list(read_ledger(path))[:-1] == LIFE[:whole]
        check(fold(read_ledger(path)))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["0001", TIME, ".."]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*PLANNED, "values", "donor"]), inner),
    max_leaves=6,
)
KINDS = ("planned", "started", "epoch", "completed", "generation", "expected", "waiting", "requeued", "odd")
FIELDS = "time epoch attempt memory_mb replicates mean reason trials replaced bracket gpu_percent rung".split()
HOSTILE = st.fixed_dictionaries({"event": st.sampled_from(KINDS)}, optional=dict.fromkeys([*PLANNED, *FIELDS], JSON))


@given(st.lists(st.one_of(st.sampled_from(LIFE), HOSTILE, JSON), max_size=12), st.binary(max_size=20))
def test_a_hostile_ledger_is_read_or_is_one_line(events: list[Any], garbage: bytes) -> None:
    text = b"\n".join(json.dumps(event).encode() for event in events) + b"\n" + garbage + b"\n"
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.jsonl"
        path.write_bytes(text)
        try:
            check(fold(read_ledger(path)))
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017


@given(
    st.lists(st.sampled_from(LIFE), min_size=1),
    st.sampled_from(sorted({name for event in LIFE for name in event} - {"time"})),
    JSON,
)
def test_a_field_that_was_altered_costs_its_event_at_most(events: list[Any], name: str, value: Any) -> None:
    check(fold([LIFE[0], *(({**event, name: value} if name != "event" else event) for event in events)]))
