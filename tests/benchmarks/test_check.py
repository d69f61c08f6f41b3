"""`python -m benchmarks --check` holds each benchmark's ratios against bounds; the benchmarks run elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer

from benchmarks import check
from benchmarks.__main__ import NAMES
from benchmarks.check import CHECKS, Check, Ratio, _exponent, row_of
from trainables.errors import InputError

RATIOS = (Ratio("a / b", check._share("a", "b"), 0.5, 0.25), Ratio("b / a", lambda figures: 9.0, 10.0))
OF_ONE = (Check("bootstrap", (), RATIOS, ("--draws", "1")),)


def run_with(figures: Any, monkeypatch: pytest.MonkeyPatch, out: Path) -> None:
    monkeypatch.setattr(check, "CHECKS", OF_ONE)
    monkeypatch.setattr(check, "figures_of", lambda benchmark, options: figures)
    check.check(out=out, only="", data_root=None)


def test_every_benchmark_that_has_a_rival_is_checked() -> None:
    assert {each.benchmark for each in CHECKS} == set(NAMES) - {"dashboard", "file_transfer"}
    assert all(ratio.goal is None or ratio.goal <= ratio.bound for each in CHECKS for ratio in each.ratios)


def test_the_table_has_value_bound_goal_and_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_with({"a": 3.0, "b": 10.0}, monkeypatch, tmp_path / "out")
    text = (tmp_path / "out" / "ratios.md").read_text()
    assert "| bootstrap | a / b | 0.30 | 0.50 | 0.25 | not met |" in text
    assert "| bootstrap | b / a | 9.00 | 10.00 |  |  |" in text
    found = pq.read_table(tmp_path / "out" / "ratios.parquet")
    assert found["value"].to_pylist() == [0.3, 9.0]
    assert {"processor", "cores", "torch"} <= set(json.loads(found.schema.metadata[b"machine"]))
    assert text.splitlines()[0].startswith("time: ")


def test_the_table_takes_its_place_in_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Ratios\n<!-- ratios begin -->\nold\n<!-- ratios end -->\nThe rest.\n")
    check.put_into(page, "| new |\n")
    assert page.read_text() == "# Ratios\n<!-- ratios begin -->\n| new |\n<!-- ratios end -->\nThe rest.\n"
    page.write_text("no marks")
    with pytest.raises(InputError, match="ratios begin"):
        check.put_into(page, "| new |")
    assert page.read_text() == "no marks"


def test_a_broken_bound_ends_with_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(typer.Exit) as ended:
        run_with({"a": 8.0, "b": 10.0}, monkeypatch, tmp_path)
    assert ended.value.exit_code == 1
    assert "| 0.80 | 0.50 | 0.25 | broken |" in (tmp_path / "ratios.md").read_text()


def test_a_value_that_is_not_a_number_keeps_no_bound() -> None:
    assert not row_of(OF_ONE[0], OF_ONE[0].ratios[0], float("nan"))["kept"]


def test_the_exponent_of_growth_is_the_largest_between_two_sizes() -> None:
    figures = {"10": {"plan": 1.0}, "100": {"plan": 10.0}, "1000": {"plan": 1000.0}}
    assert _exponent("plan")(figures) == pytest.approx(2.0)
