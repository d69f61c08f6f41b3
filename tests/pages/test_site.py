"""The pages of docs for newcomers: their Python reads made-up runs, and says what the package's own reader says."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from analysis import table
from analysis.measures import MEASURES
from analysis.measures.baselines import shuffled
from analysis.measures.lmc import lmc_terms
from analysis.measures.moments import l2_norm
from tests.conftest import ROOT
from tests.support.made_results import make_run

HOW_TO = ROOT / "docs" / "how_to"


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", (HOW_TO / page).read_text(), re.M | re.S)


def make(folder: Path, better: dict[str, float]) -> None:
    make_run(
        folder,
        {"activation": ["relu", "tanh"]},
        {"lr": [0.01, 0.1]},
        lambda config, seed, epoch: better[config["activation"]] + 0.01 * seed + 0.02 * epoch - config["lr"],
        status=lambda config: "stopped" if (config["activation"], config["lr"]) == ("tanh", 0.1) else "completed",
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one sweep: a trial of each was stopped, and tanh is better by 0.05 in the second."""
    folder = tmp_path_factory.mktemp("site")
    make(folder / "results" / "smoke" / "before", {"relu": 0.8, "tanh": 0.7})
    make(folder / "results" / "smoke" / "after", {"relu": 0.8, "tanh": 0.75})
    return folder


def run_block(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run a page's block in the folder that has `results/`; return its names."""
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(compile(text, "block", "exec"), names)
    return names


def test_every_reader_of_the_page_gives_the_same_means(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("polars", "duckdb"):
        pytest.importorskip(package)
    rows = table.read(results / "results")
    rows = rows[rows["status"] == "completed"]
    expected = rows.groupby(["dataset", "activation", "lr"])["val_auc"].mean().to_dict()
    # the stopped trial is left out
    assert len(expected) == 3
    found = {}
    for text in blocks("read_the_tables.md"):
        best = run_block(text, results, monkeypatch).get("best")
        if best is not None:
            frame = best.to_df() if hasattr(best, "to_df") else best.to_pandas() if hasattr(best, "to_pandas") else best
            frame = frame.reset_index().rename(columns={"mean": "val_auc"})
            reader = type(best).__module__.split(".")[0].lstrip("_")
            found[reader] = frame.set_index(["dataset", "activation", "lr"])["val_auc"].to_dict()
    assert set(found) == {"pandas", "polars", "duckdb"}
    for means in found.values():
        assert means == pytest.approx(expected)


def test_curves_tensors_and_meanings_of_the_page(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("duckdb")
    names = [run_block(text, results, monkeypatch) for text in blocks("read_the_tables.md")]
    (means,) = (found["means"] for found in names if "means" in found)
    assert list(means.columns) == ["relu", "tanh"]
    assert means.loc[1, "relu"] - means.loc[1, "tanh"] == pytest.approx(0.075)
    (tensors,) = (found["tensors"] for found in names if "tensors" in found)
    assert {row[:2] for row in tensors.fetchall()} >= {("0.weight", "initial"), ("2.weight", "best")}
    shown = capsys.readouterr().out
    assert "Which is best?" in shown
    assert "'direction': 'higher'" in shown


def test_two_versions_are_compared_trial_by_trial(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (text,) = blocks("compare_runs_of_two_versions.md")
    both = run_block(text, results, monkeypatch)["both"]
    changes = both.groupby("activation")["change"].mean().to_dict()
    assert changes == pytest.approx({"relu": 0.0, "tanh": 0.05})
    assert len(both) == 12


def test_every_table_has_its_sentence_in_the_reference() -> None:
    text = (ROOT / "docs" / "reference.py").read_text()
    assert set(re.findall(r'^    "(\w+)": "A row', text, re.M)) == set(get_args(table.Kind))


def test_the_reference_says_how_each_measure_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mkdocs")
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    described = importlib.import_module("reference").described
    assert described("lmc", MEASURES["lmc"].function) is lmc_terms
    assert described("lmc_reference", MEASURES["lmc_reference"].function) is lmc_terms
    assert described("sample_entropy_z", MEASURES["sample_entropy_z"].function) is shuffled
    assert described("weight_norm", MEASURES["weight_norm"].function) is l2_norm
    for name, measure in MEASURES.items():
        function = described(name, measure.function)
        # sums and shares need no formula of their own; that of the stable rank stands in the first line
        plain = function.__module__ == "analysis.measures.moments" or name == "stable_rank"
        assert plain or "Formula: " in (function.__doc__ or ""), name


def test_what_a_measure_says_is_seen_without_scrolling(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mkdocs")
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    shown = re.findall(r"^```text\n(.*?)^```$", importlib.import_module("reference")._measures(), re.M | re.S)
    assert len(shown) == len(MEASURES)
    assert max(len(line) for text in shown for line in text.splitlines()) <= 80
    words = " ".join(shown[list(MEASURES).index("lmc")].split())
    assert " ".join((lmc_terms.__doc__ or "").partition(">>>")[0].split()) == words
