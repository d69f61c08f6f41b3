"""The live page beside a run: a process of its own that says where it is, and ends with the run and not before."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.request import Request, urlopen

import psutil
import pytest

from sweeps.dashboard import beside_run
from sweeps.dashboard.beside_run import dashboard_beside
from sweeps.planning.settings import Settings
from tests.sweeps.dashboard.shown_runs import played

pytest.importorskip("starlette")
DEADLINE = 120.0


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def the_server() -> psutil.Process:
    """Return the page's process; earlier tests of this process may have children of their own."""
    (server,) = [each for each in psutil.Process().children() if "sweeps.dashboard" in each.cmdline()]
    return server


def has_ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def programs_of(server: psutil.Process) -> list[psutil.Process]:
    """Return what the page has started to compute; a process that is being started still has its parent's settings."""
    found = []
    for child in server.children():
        with suppress(psutil.Error):
            # it watches for the end of this one
            if child.environ().get(beside_run.WITH_PARENT) == str(server.pid):
                found.append(child)
    return found


def test_it_shows_the_run_and_ends_with_it(tmp_path: Path) -> None:
    run = played(tmp_path, 6, open_trials=2)
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    said: list[str] = []
    with dashboard_beside(run, said.append):
        server = the_server()
        wait_for(lambda: said)
        (address,) = re.findall(r"^http://127\.0\.0\.1:\d+/", said[0])
        assert said[0] == f"{address}run/{run.sweep}/{run.run_id}"
        with urlopen(Request(f"{address}api/run/{run.sweep}/{run.run_id}/changes")) as answer:
            assert json.load(answer)["head"]["planned"] == 6
    assert not server.is_running()
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def test_to_kill_it_is_nothing_to_the_run(tmp_path: Path) -> None:
    run = played(tmp_path, 6)
    said: list[str] = []
    with dashboard_beside(run, said.append):
        server = the_server()
        wait_for(lambda: said)
        server.kill()
        wait_for(lambda: has_ended(server))
    assert said == [said[0]]


def test_what_a_killed_server_computes_ends_with_it(tmp_path: Path) -> None:
    run = played(tmp_path, 6)
    said: list[str] = []
    with dashboard_beside(run, said.append):
        server = the_server()
        wait_for(lambda: said)
        address = said[0].partition("run/")[0]
        urlopen(f"{address}api/run/{run.sweep}/{run.run_id}/sections").close()
        wait_for(lambda: programs_of(server))
        (program,) = programs_of(server)
        server.kill()
        wait_for(lambda: has_ended(program))


def test_a_package_that_is_missing_is_said_before_the_run_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside_run, "NEEDED", ("plotly", "nosuchpackage"))
    with pytest.raises(ValueError, match=r"needs nosuchpackage: pip install 'medsweeps\[dashboard\]'"):
        Settings(dashboard=True)
    assert not Settings(dashboard=False).dashboard
