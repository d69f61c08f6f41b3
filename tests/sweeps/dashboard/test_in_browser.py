"""The live page in a browser: brushing, sorting, going down to a trial, comparing, and hostile names."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis.runs.run_folder import RunFolder
from sweeps.record.ledger import Ledger
from tests.conftest import ROOT
from tests.sweeps.dashboard.shown_runs import CODE, HOSTILE, hostile, played

pytest.importorskip("starlette")
playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    played(folder, 60, "first")
    played(folder, 40, "second", open_trials=2)
    hostile(folder)
    return folder


@pytest.fixture(scope="module")
def address(results: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "sweeps.dashboard", str(results), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=results, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout
        try:
            yield re.findall(r"http://\S+", server.stdout.readline())[0]
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    found, errors = context.new_page(), []
    found.set_default_timeout(60_000)
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.on("requestfinished", lambda request: errors.append(request.url) if "127.0.0.1" not in request.url else None)
    yield found
    context.close()
    assert errors == []


def column(page: Any, number: int) -> list[str]:
    return [text.strip() for text in page.locator(f"#trials-table tbody td:nth-child({number})").all_inner_texts()]


def numbers(page: Any, number: int) -> list[float]:
    return [float(text) for text in column(page, number)]


def heads(page: Any) -> list[str]:
    return [text.strip() for text in page.locator("#trials-table th").all_inner_texts()]


def texts(page: Any, selector: str) -> list[str]:
    """Wait until there is such an element, and return the texts of all of them."""
    page.wait_for_selector(selector, state="attached")
    return list(page.locator(selector).all_text_contents())


def open_run(page: Any, address: str, name: str) -> None:
    page.goto(f"{address}run/growth/{name}", wait_until="commit")
    page.wait_for_selector("#trials-table tbody tr")


def test_a_click_on_a_head_sorts_and_a_word_filters(page: Any, address: str) -> None:
    open_run(page, address, "first")
    place = heads(page).index("val auc") + 1
    button = page.locator(f"#trials-table th:nth-child({place}) button")
    button.click()
    shown = numbers(page, place)
    assert shown == sorted(shown, reverse=True)
    assert len(shown) == 50
    button.click()
    assert numbers(page, place) == sorted(numbers(page, place))
    page.fill("#trials-tools input", "tanh completed")
    assert set(column(page, 2)) == {"tanh"}
    assert page.inner_text("#trials-tools .count") == "rows 1 to 12 of 12"


def test_a_brush_on_an_axis_filters_the_table(page: Any, address: str, results: Path) -> None:
    open_run(page, address, "first")
    # what comes later, and stands above the axes, would move them while the mouse is down
    page.wait_for_selector('[data-figure="curves"] .xy')
    page.wait_for_function("document.querySelector('#computed').textContent.startsWith('as of')")
    plot = page.locator('[data-figure="coordinates"]')
    plot.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('[data-figure=coordinates]').listens")
    assert page.inner_text("#trials-tools .count") == "rows 1 to 50 of 60"
    # the upper half of the last axis, which is the metric's
    axis = page.locator('[data-figure="coordinates"] .axis-brush .background').last
    # it waits until the axis stands still
    axis.hover()
    box = axis.bounding_box()
    middle = box["x"] + box["width"] / 2
    page.mouse.move(middle, box["y"] + box["height"] * 0.5)
    page.mouse.down()
    page.mouse.move(middle, box["y"] + box["height"] * 0.3, steps=5)
    page.mouse.move(middle, box["y"] + 2, steps=5)
    page.mouse.up()
    page.wait_for_selector("#unbrush:not([hidden])")
    low, high = page.evaluate(
        """() => { const axes = document.querySelector('[data-figure="coordinates"]').data[0].dimensions;
        return axes[axes.length - 1].constraintrange; }"""
    )
    shown = numbers(page, heads(page).index("val auc") + 1)
    events = map(json.loads, (results / "growth" / "first" / "ledger.jsonl").read_text().splitlines())
    bests: dict[str, float] = {}
    for event in events:
        if event["event"] == "epoch":
            bests[event["trial_id"]] = max(bests.get(event["trial_id"], 0.0), event["mean"]["val_auc"])
    within = [value for value in bests.values() if low <= value <= high]
    assert 0 < len(within) < 60
    assert sorted(shown) == pytest.approx(sorted(within), abs=1e-4)
    page.click("#unbrush")
    page.wait_for_selector("#unbrush", state="hidden")
    assert page.inner_text("#trials-tools .count") == "rows 1 to 50 of 60"


def test_a_trial_is_one_click_away_and_shows_what_it_is(page: Any, address: str) -> None:
    open_run(page, address, "first")
    page.click("#trials-table tbody tr:nth-child(3) a")
    page.wait_for_url("**/trial/growth/first/0003")
    assert page.inner_text("h1") == "Trial 0003"
    assert page.inner_text("dl.first dd").strip() == "tanh"
    assert "sweeps.run" in page.inner_text("#settings pre")
    page.wait_for_selector('[data-figure="curves"] .xy')
    page.locator('[data-figure="gradients"]').scroll_into_view_if_needed()
    page.wait_for_selector('[data-figure="gradients"] .xy')
    assert "features.0.weight" in texts(page, '[data-figure="gradients"] .legendtext')


def test_an_event_of_the_ledger_is_on_the_page_by_itself(page: Any, address: str, results: Path) -> None:
    open_run(page, address, "second")
    status = heads(page).index("status") + 1
    assert column(page, status)[-1] == "running"
    ledger = Ledger(results / "growth" / "second" / "ledger.jsonl")
    ledger.append("completed", trial_id="0040", reason="trained all 4 epochs")
    ledger.close()
    page.wait_for_function("document.querySelector('#words').textContent.startsWith('39/40 ')")
    assert column(page, status)[-1] == "completed"


@pytest.mark.slow
def test_two_runs_are_compared(page: Any, address: str) -> None:
    page.goto(address, wait_until="commit")
    page.wait_for_selector("#runs [data-cell=trials]:not(:empty)")
    assert page.is_disabled("#compare button")
    for name in ("first", "second"):
        page.check(f'#compare input[value="growth/{name}"]')
    page.click("#compare button")
    page.wait_for_selector("#report-values table")
    assert page.inner_text("h1") == "2 runs side by side"
    values = page.locator("#report-values table").first.locator("td:nth-child(2)").all_inner_texts()
    assert {text.strip() for text in values} == {"relu", "gelu", "tanh", "elu", "silu"}


@pytest.mark.slow
def test_hostile_names_are_shown_as_text_and_run_nothing(page: Any, address: str, results: Path) -> None:
    run = RunFolder(next(path for path in (results / "growth").iterdir() if path.name.endswith("-10")))
    page.on("dialog", lambda dialog: pytest.fail("a script ran"))
    open_run(page, address, run.run_id)
    shown = HOSTILE.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
    assert shown in page.inner_text("h1")
    assert shown in column(page, 1)
    assert shown in column(page, 2)
    page.wait_for_selector("#stops-table tbody tr")
    assert shown in page.inner_text("#stopped")
    for name in ("curves", "coordinates", "timeline"):
        page.locator(f'[data-figure="{name}"]').scroll_into_view_if_needed()
        page.wait_for_selector(f'[data-figure="{name}"] svg')
    assert shown in texts(page, '[data-figure="curves"] .legendtext')
    assert shown in texts(page, '[data-figure="coordinates"] .axis text')
    page.wait_for_selector("#report-provenance")
    assert page.locator("main img, main b, main script:not([type])").count() == 0
    assert page.evaluate("window.hacked") is None
    assert CODE in shown
