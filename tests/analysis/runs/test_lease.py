"""One command at a time writes into a run: on this machine, from another one, and at a URI."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from analysis.runs import lease as leases
from analysis.runs import lease_holder
from analysis.runs.lease import hold, holding, refuse_if_under_way
from analysis.runs.lease_holder import LEASE, Holder, is_under_way, seen_lease, seen_there
from analysis.runs.remote import Remote, open_remote
from analysis.runs.run_folder import RunFolder
from sweeps.record.ledger import Ledger
from sweeps.screen.runs import list_run, summarize_run
from tests.conftest import ROOT
from tests.sweeps.screen.test_runs import make_run
from trainables.errors import InputError

HOLDER = """
import sys
from pathlib import Path
from analysis.runs.lease import hold
from analysis.runs.run_folder import RunFolder
with hold(RunFolder(Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_elsewhere(run: RunFolder) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that holds the lease."""
    command = [sys.executable, "-c", HOLDER, str(run.path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def leave_lease(run: RunFolder, **changes: Any) -> Holder:
    """A lease as a holder leaves it that was killed."""
    run.path.mkdir(parents=True, exist_ok=True)
    holder = replace(lease_holder.myself(), host="node-7", word="theirs", **changes)
    (run.path / LEASE).write_text(json.dumps(asdict(holder)))
    return holder


def test_a_second_command_is_refused_by_name_and_may_begin_when_the_first_has_ended(tmp_path: Path) -> None:
    run = make_run(tmp_path, "first", ended=1)
    with held_elsewhere(run) as process:
        assert is_under_way(run)
        assert summarize_run(run)["state"] == "running"
        with pytest.raises(InputError, match="is under way: process"):
            refuse_if_under_way(run)
        with (
            pytest.raises(InputError, match=rf"is under way: process {process.pid} on \S+, alive \d+ s ago"),
            hold(run),
        ):
            raise AssertionError
        process.communicate("", timeout=60)
    assert not is_under_way(run)
    refuse_if_under_way(run)
    with hold(run):
        assert is_under_way(run)
    assert summarize_run(run)["state"] == "interrupted", "though its ledger was written a moment ago"


def test_a_killed_holder_on_this_machine_is_followed_at_once_and_that_is_said(tmp_path: Path) -> None:
    run, said = make_run(tmp_path, "first", ended=1), []
    with held_elsewhere(run) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with hold(run, said.append):
            pass
    assert len(said) == 1
    assert f"process {process.pid}" in said[0]
    assert said[0].endswith("ended without a word; its lease on the run is taken over")


def test_a_process_number_that_was_given_again_is_not_the_holder(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "s" / "r")
    leave_lease(run, born=1.0)
    assert not is_under_way(run)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"pid": "x"}', b'{"host": 1, "odd": 2}']
)
def test_what_is_no_lease_holds_nobody_up(content: bytes, tmp_path: Path) -> None:
    run = make_run(tmp_path, "first", ended=1)
    (run.path / LEASE).write_bytes(content)
    assert not is_under_way(run)
    with hold(run):
        assert is_under_way(run)


def test_a_lease_of_a_stranger_is_text(tmp_path: Path) -> None:
    run = make_run(tmp_path, "first", ended=1)
    holder = replace(lease_holder.myself(), host="\x1b[31mred\n[/x]", pid=-5, word="theirs")
    (run.path / LEASE).write_text(json.dumps(asdict(holder)))
    assert not is_under_way(run)
    assert holder.name == "process -5 on [31mred[/x]"


def test_without_locks_a_living_process_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_lock", lambda descriptor, lease: False)
    monkeypatch.setattr(leases, "SETTLE_SECONDS", 0.0)
    run = RunFolder(tmp_path / "s" / "r")
    leave_lease(run)  # of this very process
    with pytest.raises(InputError, match=r"process .* on node-7"), hold(run):
        raise AssertionError


def test_another_machine_is_believed_while_it_beats_and_followed_when_it_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_holder, "STALE_SECONDS", 2.0)
    run, said = RunFolder(tmp_path / "s" / "r"), []
    leave_lease(run, machine="another")
    assert is_under_way(run)
    ending = threading.Event()

    def beats() -> None:
        while not ending.wait(0.05):
            os.utime(run.path / LEASE)

    thread = threading.Thread(target=beats)
    thread.start()
    try:
        with pytest.raises(InputError, match=r"is under way: process .* on node-7"), hold(run, said.append):
            raise AssertionError
    finally:
        ending.set()
        thread.join()
    assert (run.path / LEASE).read_text(), "the lease that was refused is left as it was"
    with hold(run, said.append):
        pass
    assert "looking for up to" in said[0]
    assert said[-1].endswith("its lease on the run is taken over")
    said.clear()
    leave_lease(run, machine="another")
    os.utime(run.path / LEASE, (1.0, 1.0))
    with hold(run, said.append):
        pass
    assert len(said) == 1, "one that is old enough is not waited for"


def test_a_holder_that_was_followed_while_it_slept_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.0)
    run = RunFolder(tmp_path / "s" / "r")
    with hold(run) as mine:
        mine.check()
        leave_lease(run)
        with pytest.raises(InputError, match=r"was taken over by process .* on node-7"):
            mine.check()
    seen = seen_lease(run)
    assert seen
    assert seen.holder.word == "theirs", "its lease is left alone"


def test_within_a_lease_the_same_process_may_hold_it_again(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "s" / "r")

    @holding
    def write(run: RunFolder) -> bool:
        return is_under_way(run)

    with hold(run) as outer, hold(run) as inner:
        assert outer is inner
        assert write(run)
    assert not is_under_way(run)
    assert not run.path.exists(), "a start that wrote nothing leaves nothing"


def test_a_full_disk_holds_up_nobody_who_has_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sweeps.clean`, which makes room, holds the lease, too."""

    def refuse(*of: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run = make_run(tmp_path, "run", ended=2)
    monkeypatch.setattr(os, "pwrite", refuse)
    with hold(run) as lease:
        lease.read_back()
        with pytest.raises(InputError, match="is under way"), leases._locked(leases.Lease(run, "wait"), print):
            pass
    fresh = RunFolder(tmp_path / "s" / "fresh")
    with hold(fresh):
        pass
    assert not fresh.path.exists()
    monkeypatch.setattr(leases, "_lock", lambda descriptor, lease: False)
    with pytest.raises(InputError, match="No space left"), hold(run):
        pass


def test_a_folder_that_is_removed_is_no_error_at_the_end(tmp_path: Path) -> None:
    run = make_run(tmp_path, "first", ended=1)
    with hold(run):
        shutil.rmtree(run.path)
    assert not run.path.exists()


@pytest.mark.parametrize("place", ["trials/t", "trials", "ledger.jsonl", "trials/t/checkpoint", ".lease"])
def test_no_command_writes_where_a_link_leads_out_of_the_run(place: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    (victim / "checkpoint").mkdir(parents=True)
    (victim / "file").write_text("mine")
    run = RunFolder(tmp_path / "s" / "r")
    link = run.path / place
    link.parent.mkdir(parents=True)
    link.symlink_to(victim / "file" if "." in place else victim)
    with pytest.raises(InputError, match="link that leads out of the run"), hold(run):
        raise AssertionError
    assert (victim / "file").read_text() == "mine"


def test_what_writes_into_a_run_under_way_is_refused_in_one_line(tmp_path: Path) -> None:
    run = make_run(tmp_path, "first", ended=1)
    (run.trial("f0").checkpoint).mkdir(parents=True)
    run.trials_table.touch()
    commands = [
        ["sweeps.clean", str(run.path), "--yes"],
        ["sweeps.clean", str(run.path), "--run", "--yes"],
        ["analysis.complexity", str(run.path)],
        ["analysis.report", str(run.path)],
    ]
    with held_elsewhere(run):
        for words in commands:
            done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=120)
            assert (done.returncode, done.stdout) == (2, ""), words
            assert len(done.stderr.splitlines()) == 1
            assert "is under way: process" in done.stderr
    assert run.trial("f0").checkpoint.is_dir()


def test_one_damaged_run_is_a_row_among_others(tmp_path: Path) -> None:
    whole, broken, empty = (make_run(tmp_path, name, ended=4) for name in ("whole", "broken", "empty"))
    broken.description.write_text("[]")
    empty.ledger.unlink()
    assert [list_run(run)["state"][:8] for run in (whole, broken, empty)] == ["finished", "damaged:", "damaged:"]
    done = subprocess.run(
        [sys.executable, "-m", "sweeps.list", "runs", "--json", "--storage", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(row["state"][:8] for row in json.loads(done.stdout)) == ["damaged:", "damaged:", "finished"]


def test_a_run_of_a_version_without_leases_goes_by_its_ledgers_age(tmp_path: Path) -> None:
    run = make_run(tmp_path, "first", ended=1)
    assert summarize_run(run)["state"] == "running"
    old = run.ledger.read_text().replace(time.strftime("%Y-%m-%d", time.gmtime()), "2020-01-01")
    run.ledger.write_text(old)
    assert summarize_run(run)["state"] == "interrupted"
    Ledger(run.ledger).append("note")
    assert summarize_run(run)["state"] == "running"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Remote:
    """A place at a URI: a folder, reached as one."""
    remote = open_remote((tmp_path / "bucket").as_uri())
    for module in (leases, lease_holder):
        monkeypatch.setattr(module, "remote_of", lambda run: remote)
    monkeypatch.setattr(lease_holder, "STALE_SECONDS", 2.0)
    monkeypatch.setattr(leases, "REMOTE_BEAT_SECONDS", 0.05)
    return remote


def beat_there(remote: Remote, number: int, **changes: Any) -> None:
    holder = replace(lease_holder.myself(), host="node-7", word="theirs", beat=number, **changes)
    remote.write(LEASE, json.dumps(asdict(holder)).encode())


def test_a_run_at_a_uri_has_one_driver_whatever_machine_it_is_on(tmp_path: Path, kept: Remote) -> None:
    run, said = RunFolder(tmp_path / "here" / "s" / "r"), []
    with hold(run, said.append):
        there = seen_there(run)
        assert there
        assert there.alive
    assert kept.read(LEASE) is None
    beat_there(kept, 0, machine="another")
    ending = threading.Event()

    def beats() -> None:
        number = 0
        while not ending.wait(0.05):
            beat_there(kept, number := number + 1, machine="another")

    thread = threading.Thread(target=beats)
    thread.start()
    try:
        with pytest.raises(InputError, match=r"is under way: process .* on node-7"), hold(run, said.append):
            raise AssertionError
    finally:
        ending.set()
        thread.join()
    with hold(run, said.append) as mine:  # it is silent now
        assert said[-1].endswith("its lease on the run is taken over")
        beat_there(kept, 99, machine="a third")
        end = time.monotonic() + 60
        while mine.lost_to is None:
            assert time.monotonic() < end
            time.sleep(0.01)
        with pytest.raises(InputError, match=r"was taken over by process .* on node-7"):
            mine.read_back()
    left = kept.read(LEASE)
    assert left, "the lease of who took it over is left alone"
    assert b"a third" in left
