"""python -m benchmarks.dashboard: the live page of runs of 100 and 10,000 trials, in Chromium where there is one."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Annotated, Any
from urllib.request import urlopen

import psutil
import typer

from analysis import table
from analysis.command_line import new_app, start
from analysis.runs.run_folder import RunFolder
from analysis.weights.model_columns import write_trials
from benchmarks.played_runs import play_run
from sweeps.record.ledger import Ledger
from sweeps.record.state import read_state
from sweeps.record.table_rows import epochs_table, trials_table

app = new_app()
Figures = dict[str, float]
SECOND = 1.0
# between two events of a run that goes on
EVENT = 0.25


@app.command()
def dashboard(
    trials: Annotated[str, typer.Option(help="Numbers of trials, separated by commas.")] = "100,10000",
    pages: Annotated[int, typer.Option(min=1, help="Open pages, asking once a second.")] = 20,
    seconds: Annotated[float, typer.Option(min=1, help="Time for which they ask.")] = 20.0,
    chromium: Annotated[bool, typer.Option(help="Also in the browser.")] = True,
) -> None:
    """Measure each size with a server of its own."""
    for size in map(int, trials.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            run = _played(Path(folder), size)
            found = measure(run, pages, seconds, chromium)
        print(f"{size} trials")
        for name, value in found.items():
            print(f"  {name:<58}{value:10.3f}", flush=True)


def _played(storage: Path, trials: int) -> RunFolder:
    run = play_run(storage, trials, open_trials=2)
    trials_of, metadata = read_state(run.ledger).trials.values(), run.metadata()
    write_trials(run, trials_table(run, trials_of, metadata))
    table.write_arrow(run.epochs_table, epochs_table(run, trials_of, metadata))
    return run


def measure(run: RunFolder, pages: int, seconds: float, chromium: bool) -> Figures:
    """Return seconds, MB and shares of a processor by what is measured."""
    found: Figures = {}
    began = time.monotonic()
    with _server(run.path.parent.parent) as (address, process):
        found["start, s"] = time.monotonic() - began
        api = f"{address}api/run/{run.sweep}/{run.run_id}/changes"
        found["first answer about all trials, s"] = _timed(lambda: _get(api))
        since = _get(api)
        again = f"{api}?epoch={since['epoch']}&since={since['since']}"
        found["a later answer, s"] = median(_timed(lambda: _get(again)) for _ in range(20))
        for name in ("curves", "coordinates", "timeline"):
            found[f"{name}, s"] = _timed(lambda name=name: _get(api.replace("changes", f"figure/{name}")))
        found[f"share of a processor, nobody looks, {seconds:g} s"] = _share(process, seconds)
        found[f"share of a processor, {pages} pages, {seconds:g} s"] = _asked(process, api, since, pages, seconds)
        with _growing(run):
            name = f"the same, {1 / EVENT:g} events a second, {seconds:g} s"
            found[name] = _asked(process, api, since, pages, seconds)
        binary = shutil.which("chromium") or shutil.which("chromium-browser")
        if chromium and binary:
            found |= _in_browser(binary, address, run)
        found["server, MB"] = process.memory_info().rss / 2**20
    return found


@contextmanager
def _server(storage: Path) -> Iterator[tuple[str, psutil.Process]]:
    command = [sys.executable, "-m", "sweeps.dashboard", str(storage), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as server:
        try:
            assert server.stdout
            address = re.findall(r"http://\S+", server.stdout.readline())[0]
            yield address, psutil.Process(server.pid)
        finally:
            server.terminate()


def _get(url: str) -> Any:
    with urlopen(url, timeout=120) as answer:
        return json.load(answer)


def _timed(action: Any) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


def _share(process: psutil.Process, seconds: float) -> float:
    before = sum(process.cpu_times()[:2])
    time.sleep(seconds)
    return float(sum(process.cpu_times()[:2]) - before) / seconds


def _asked(process: psutil.Process, url: str, since: Any, pages: int, seconds: float) -> float:
    """Return the share of a processor that the server takes while so many pages ask once a second what has changed."""
    over = threading.Event()

    def page() -> None:
        known = since
        while not over.is_set():
            known = _get(f"{url}?epoch={known['epoch']}&since={known['since']}")
            over.wait(SECOND)

    threads = [threading.Thread(target=page, daemon=True) for _ in range(pages)]
    for thread in threads:
        thread.start()
    share = _share(process, seconds)
    over.set()
    for thread in threads:
        thread.join()
    return share


@contextmanager
def _growing(run: RunFolder) -> Iterator[None]:
    """Let the ledger grow by events of its last trials, as a run does that goes on."""
    over = threading.Event()
    trials = list(read_state(run.ledger).trials)[-2:]
    ledger = Ledger(run.ledger)

    def write() -> None:
        while not over.wait(EVENT):
            for trial in trials:
                ledger.append("stratum", trial_id=trial, stratum="")

    thread = threading.Thread(target=write)
    thread.start()
    yield
    over.set()
    thread.join()
    ledger.close()


def _in_browser(binary: str, address: str, run: RunFolder) -> Figures:
    """Return when a page is painted and filled, and when an event is seen on it."""
    from playwright.sync_api import sync_playwright

    url = f"{address}run/{run.sweep}/{run.run_id}"
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=binary, args=["--no-sandbox"])
        # the first page starts the browser's own processes
        browser.new_page().goto(address)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(url, wait_until="commit")
        page.wait_for_selector("#trials-table tbody tr", timeout=120_000)
        table_there = page.evaluate("performance.now()") / 1000
        paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1000
        page.wait_for_selector('[data-figure="curves"] .xy', timeout=120_000)
        curves = page.evaluate("performance.now()") / 1000
        last = list(read_state(run.ledger).trials)[-1]
        words = page.inner_text("#words")
        ledger = Ledger(run.ledger)
        ledger.append("completed", trial_id=last, reason="trained all its epochs")
        ledger.close()
        began = time.monotonic()
        page.wait_for_function(
            "old => document.querySelector('#words').textContent.split(' ')[0] !== old", arg=words.split()[0]
        )
        event = time.monotonic() - began
        browser.close()
    return {
        "first paint, s": paint,
        "table of trials, s": table_there,
        "learning curves, s": curves,
        "an event on the page, s": event,
    }


if __name__ == "__main__":
    start(app)
