"""The report: its numbers are those of the Parquet, its text is escaped, and a browser draws it."""

from __future__ import annotations

import base64
import gzip
import json
import math
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

from analysis.comparison.correlations import associate_models
from analysis.comparison.importance import importances
from analysis.comparison.results import Results, load
from analysis.comparison.standings import compare
from analysis.figures import comparison as figures
from analysis.figures import complexity as figures_complexity
from analysis.figures.hyperparameters import heat_map, importance, parallel_coordinates
from analysis.figures.style import for_page, new_figure, svg
from analysis.grids import Cell, Grid, columns_of, number_cell
from analysis.page.parts import Command, Definitions, Drawing, Heading, LongColumn, LongTable, Paragraph
from analysis.page.plotly_script import plotly_script
from analysis.page.render import as_json, part_html
from analysis.page.write import write_report
from analysis.report import app
from analysis.runs.run_folder import RunFolder
from tests.analysis.comparison.test_compare import LEVELS, RATES, score, status
from tests.conftest import ROOT
from tests.support.made_results import make_run
from trainables.errors import InputError

NASTY = "<script>alert('&')</script> </script> & \"quoted\""


class Page(HTMLParser):
    """What a page holds: the cells of its tables, its identifiers, and what it would fetch."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.ids: list[str] = []
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.scripts: dict[str, str] = {}
        self.script = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids += [values["id"] or ""] if "id" in values else []
        self.fetched += [values[n] or "" for n in ("src", "href", "xlink:href") if n in values and tag != "a"]
        self.script = (values.get("id") or "code") if tag == "script" else ""
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.script = ""
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self.script:
            self.scripts[self.script] = self.scripts.get(self.script, "") + data
        elif {"td", "th"} & set(self.open) and "small" not in self.open:
            self.tables[-1][-1][-1] += data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    place = tmp_path_factory.mktemp("report") / "sweep" / "run"
    grids = {"activation": list(LEVELS)}, {"lr": list(RATES)}
    return make_run(place, *grids, score, status=status, question=NASTY, notes=[NASTY])


@pytest.fixture(scope="module")
def page(run: RunFolder) -> Page:
    path = write_report([run], run.path / "report.html", run.path / "figures")
    return Page(path.read_text())


def test_every_trial_and_number_of_the_parquet_stands_in_the_page(run: RunFolder, page: Page) -> None:
    frame = pd.read_parquet(run.trials_table).sort_values("val_auc", ascending=False, kind="stable")
    columns = {c["name"]: c["values"] for c in json.loads(page.scripts["trials-data"])["columns"]}
    assert columns["trial"] == list(frame["trial_id"])
    assert columns["status"] == list(frame["status"])
    for name in ("lr", "val_auc", "test_auc", "test_acc", "lmc", "sample_entropy"):
        expected = [None if math.isnan(value) else value for value in frame[name]]
        assert columns[name] == expected, name  # to the last bit
    assert [row[0] for row in page.tables[-1][1:]] == list(frame["trial_id"])[:50]


def test_the_values_are_those_that_pandas_gets(run: RunFolder, page: Page) -> None:
    frame = pd.read_parquet(run.trials_table).query("status == 'completed'")
    means = frame.groupby(["activation", "lr"])[["val_auc", "test_auc", "test_acc"]].mean()
    best = means.loc[means.groupby("activation")["val_auc"].idxmax()].sort_values("val_auc", ascending=False)
    heads, *rows = page.tables[0]
    assert heads == ["#", "activation", "best lr", "val auc", "test auc", "test acc", "n", "epochs", "trials"]
    expected = [
        [a, f"{lr:.3g}", *(f"{value:.4f}" for value in row)]
        for (a, lr), row in zip(best.index, best.to_numpy(), strict=True)
    ]
    assert [row[1:6] for row in rows] == expected


def test_the_page_needs_nothing_but_itself(run: RunFolder, page: Page) -> None:
    html = (run.path / "report.html").read_text()
    assert all(target.startswith(("#", "data:")) for target in page.fetched)
    assert "default-src 'none'" in html
    assert not re.search(r"url\((?!#)|@import|fetch\(|XMLHttpRequest", html)
    assert len(page.ids) == len(set(page.ids))


def test_text_of_the_results_is_escaped(run: RunFolder, page: Page) -> None:
    html = (run.path / "report.html").read_text()
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;" in html
    assert unescape(re.findall("<h1>(.*?)</h1>", html)[0]) == NASTY
    assert "<b>no memory</b>" not in html  # the failure's cause
    assert "&lt;b&gt;no memory&lt;/b&gt;" in html
    plots = html.count('class="plot"')
    # the rows, Plotly's script, ours, and each figure's data
    assert html.count("<script") == html.count("</script>") == 3 + plots


def test_every_text_of_a_part_is_escaped() -> None:
    for part in (
        Paragraph(NASTY), Heading(NASTY), Command(NASTY), Definitions({NASTY: NASTY}),
        Grid("", columns_of([NASTY]), ((Cell(NASTY, NASTY),),)),
        LongTable("rows", [LongColumn(NASTY, [NASTY], text=True, status=True)]),
        Drawing("name", lambda: new_figure(1, 1, 1, 1)[0], NASTY),
    ):  # fmt: skip
        html = part_html(part)
        assert "<script>" not in html, part
        assert NASTY in unescape(html), part
        assert not re.search(r"""class="[^"]*['<>]""", html), part


def test_a_script_element_cannot_be_closed_from_inside() -> None:
    text = as_json({"a": "</script><!--", "b": None})
    assert "<" not in text
    assert json.loads(text) == {"a": "</script><!--", "b": None}


def test_every_figure_is_a_file_of_either_kind(run: RunFolder) -> None:
    names = {path.stem for path in (run.path / "figures").iterdir()}
    expected = {"values", "learning_curves", "heat_map_lr", "parallel_coordinates", "complexity_and_performance"}
    assert expected | {"correlations", "by_layer_0", "along_training", "importance"} == names
    for name in names:
        ElementTree.parse(run.path / "figures" / f"{name}.svg")
        assert (run.path / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_names_what_made_it(run: RunFolder) -> None:
    html = (run.path / "report.html").read_text()
    assert "python -m sweeps.run" in html
    assert "--epochs 4" in html
    assert "arbitrary order" in html  # the warning about flattened weights
    assert "diverged" not in html.split('id="failures"')[1].split("</section>")[0]


@pytest.mark.parametrize("theme", ["#1a1b1c", "#0072b2", "#8a8b8c"])
def test_figures_take_the_colours_of_the_page(results: Results, theme: str) -> None:
    text = svg(figures.values_with_intervals(results, compare(results)))
    themed = for_page(text, "name")
    assert theme not in themed.lower()
    assert 'id="name-figure_1"' in themed


@pytest.fixture(scope="module")
def results(run: RunFolder) -> Results:
    return load([run])


FIGURES: dict[str, Any] = {
    "values": lambda r: figures.values_with_intervals(r, compare(r)),
    "curves": lambda r: figures.learning_curves(r, "test_acc"),
    "importance": lambda r: importance(importances(r)),
    "parallel": parallel_coordinates,
    "heat map": lambda r: heat_map(r, "lr"),
    "layers": lambda r: figures_complexity.complexity_by_layer(r.frame("weights")),
    "along": figures_complexity.complexity_along_training,
    "performance": lambda r: figures_complexity.complexity_and_performance(r, outcome="gap_acc"),
    "forest": lambda r: figures_complexity.correlation_forest(associate_models(r), ("val_auc",)),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_notebook_can_call_each_figure(results: Results, name: str) -> None:
    assert isinstance(FIGURES[name](results), Figure)


def test_a_heat_map_holds_the_means(results: Results, run: RunFolder) -> None:
    axis, colours = heat_map(results, "lr").axes
    assert colours.get_ylabel() == "validation AUC"
    shown = {text.get_text() for text in axis.texts}
    frame = pd.read_parquet(run.trials_table)
    for (_, part), brackets in zip(
        frame[frame["status"].isin(["completed", "stopped"])].groupby(["activation", "lr"]), [""] * 99, strict=False
    ):
        mean = f"{part['val_auc'].mean():.3f}{brackets}"
        assert (mean if part["status"].iloc[0] == "completed" else f"({mean})") in shown


def test_bars_by_layer_hold_the_means(results: Results, run: RunFolder) -> None:
    figure = figures_complexity.complexity_by_layer(results.frame("weights"), ["lmc"])
    heights = {bar.get_x() + bar.get_width() / 2: bar.get_height() for bar in figure.axes[0].patches}
    means = pd.read_parquet(run.weights_table).query("stage == 'best'").groupby("tensor")["lmc"].mean()
    assert [heights[place] for place in sorted(heights)] == pytest.approx(list(means))


# Odd runs -------------------------------------------------------------------------------------------------------------


def odd_run(path: Path, kind: str) -> RunFolder:
    grids = {"activation": list(LEVELS)}, {"lr": list(RATES)}
    if kind == "everything failed":
        return make_run(path, *grids, score, status=lambda config: "failed")
    if kind == "everything diverged":
        return make_run(path, *grids, lambda c, s, e: math.nan, status=lambda config: "diverged")
    if kind == "one trial":
        return make_run(path, {"activation": ["relu"]}, {}, score, seeds=1, epochs=1)
    run = make_run(path, *grids, lambda c, s, e: 0.5 if kind == "all alike" else score(c, s, e))
    if kind == "trials alone":
        run.weights_table.unlink()
        run.epochs_table.unlink()
    return run


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("everything failed", "no trial was trained to its end"),
        ("everything diverged", "no trial was trained to its end"),
        ("one trial", "reached a validation AUC of"),
        ("all alike", "scored exactly the same with every seed"),
        ("trials alone", "The weights were not measured"),
    ],
)
def test_an_odd_run_has_its_report_too(tmp_path: Path, kind: str, text: str) -> None:
    run = odd_run(tmp_path / "s" / "r", kind)
    html = write_report([run], tmp_path / "report.html", None).read_text()
    assert text in html
    assert "nan" not in re.sub(r"<script.*?</script>|<style.*?</style>", "", html, flags=re.DOTALL).lower().split()


def test_the_command_writes_one_page_over_several_runs(tmp_path: Path) -> None:
    for name, dataset in (("a", "digits"), ("b", "mnist")):
        make_run(tmp_path / "s" / name, {"activation": ["relu", "gelu"]}, {}, score, fixed={"dataset": dataset})
    for wrong, said in (("both.parquet", "ends with .html"), ("s/page.html/x.html", "cannot be written")):
        (tmp_path / "s" / "page.html").touch()
        refused = CliRunner().invoke(app, [str(tmp_path / "s"), "--output", str(tmp_path / wrong)])
        assert isinstance(refused.exception, InputError)
        assert said in str(refused.exception)
    done = CliRunner().invoke(app, [str(tmp_path / "s"), "--output", str(tmp_path / "both.html"), "--against", "relu"])
    assert done.exit_code == 0, done.output
    html = (tmp_path / "both.html").read_text()
    assert "On digits:" in html
    assert "On mnist:" in html
    assert "From relu differed" in html


# Tables and the browser -----------------------------------------------------------------------------------------------


def test_a_page_that_cannot_be_written_leaves_no_figures(run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / "page.html")
    with pytest.raises(InputError, match=r"page\.html cannot be written \(is no regular file\)"):
        write_report([run], tmp_path / "out" / "page.html", tmp_path / "out" / "figures")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["page.html"]


def test_a_long_table_keeps_its_rows_beside_the_page() -> None:
    columns = [
        LongColumn("a", [float(i) for i in range(20_000)], digits=2),
        LongColumn("b", ["<x>"] * 20_000, text=True),
    ]
    html = part_html(LongTable("rows", columns))
    assert html.count("<tr>") == 51
    assert "<x>" not in html
    assert len(json.loads(Page(html).scripts["rows-data"])["columns"][0]["values"]) == 20_000


def test_a_number_of_any_size_is_short() -> None:
    assert number_cell(1.7e28).text == "1.70e+28"
    assert number_cell(-2.5e6).text == "\u22122.50e+06"
    assert number_cell(999_999.0).text == "999999.0000"
    html = part_html(LongTable("rows", [LongColumn("a", [1.7e28, 0.25, 3e-9], digits=4)]))
    assert re.findall("<td>(.*?)</td>", html) == ["1.70e+28", "0.2500", "3.0e-09"]


def test_cells_sort_by_number_and_are_escaped() -> None:
    cells = (number_cell(math.nan), number_cell(-0.5))
    html = part_html(Grid("", columns_of(["<name>", "value"], ["<name>"]), (cells,)))
    assert 'data-v=""' in html
    assert 'data-v="-0.5"' in html
    assert "&lt;name&gt;" in html


@pytest.mark.slow
def test_a_browser_draws_sorts_and_filters(run: RunFolder, page: Page) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium here to draw the page")
    frame = pd.read_parquet(run.trials_table)
    gelu = frame.query("activation == 'gelu' and status == 'completed'")
    address, problems = (run.path / "report.html").as_uri(), []
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        shown = opened.new_page()
        shown.set_default_timeout(60_000)
        shown.on("pageerror", lambda error: problems.append(str(error)))
        shown.on("request", lambda request: problems.append(request.url) if request.url != address else None)
        shown.goto(address)
        at = [text.strip() for text in shown.locator("table.long th").all_inner_texts()].index("test acc") + 1
        button, first = shown.locator(f"table.long th:nth-child({at}) button"), "table.long tbody tr:first-child"
        button.click()
        assert shown.inner_text(f"{first} td:nth-child({at})") == f"{frame['test_acc'].max():.4f}"
        button.click()
        shown.fill("input[type=search]", "GELU completed")
        assert shown.inner_text(".count") == f"rows 1 to {len(gelu)} of {len(gelu)}"
        assert shown.inner_text(f"{first} td:nth-child({at})") == f"{gelu['test_acc'].min():.4f}"
        values = shown.locator("table.sortable").first
        for _ in range(2):
            values.locator("th:nth-child(4) button").click()
        assert values.locator("tbody tr:first-child td:nth-child(2)").inner_text() == "tanh"
        plots = shown.locator(".plot")
        for number in range(plots.count()):
            plots.nth(number).scroll_into_view_if_needed()
            plots.nth(number).locator(".main-svg").first.wait_for()
        assert plots.count() == len(list((run.path / "figures").glob("*.svg")))
        shown.locator(".axis-brush").nth(3).wait_for(state="attached")
        assert len(shown.pdf()) > 10_000
        silent = opened.new_context(java_script_enabled=False).new_page()
        silent.goto(address)
        assert silent.locator("figure svg").first.is_visible()
        opened.close()
    assert problems == []


def test_a_page_without_files_draws_nothing_by_matplotlib(run: RunFolder, page: Page, tmp_path: Path) -> None:
    """A run's end writes such a page: drawing takes longer than all else of it."""
    code = """
import sys
from pathlib import Path
from analysis.page.write import write_report
from analysis.runs.run_folder import RunFolder
write_report([RunFolder(Path(sys.argv[1]))], Path(sys.argv[2]), None)
print({"matplotlib", "plotly"} & set(sys.modules))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    where = [str(run.path), str(tmp_path / "page.html")]
    command = [sys.executable, "-c", code, *where]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=300)
    assert done.stdout == "set()\n"
    html = (tmp_path / "page.html").read_text()
    assert "<svg" not in re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert html.count('class="plot"') == len(list((run.path / "figures").glob("*.svg")))
    packed = re.findall('id="plotly-packed">(.*?)<', html)
    assert [gzip.decompress(base64.b64decode(text)) for text in packed] == [plotly_script().read_bytes()]
