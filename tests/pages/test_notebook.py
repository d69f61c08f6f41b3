"""The example notebook runs from top to bottom on a run, and its three readers agree."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from analysis import table
from tests.conftest import ROOT
from tests.support.made_results import make_run

NOTEBOOK = ROOT / "docs" / "notebooks" / "complexity_of_a_run.ipynb"
SPLIT_EXAMPLES = ("polars", "duckdb")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, whose scores depend on the activation, the rate and the seed."""
    folder = tmp_path_factory.mktemp("results")
    better = {"relu": 0.8, "tanh": 0.7}
    for name in ("first", "second"):
        make_run(
            folder / "activations" / name,
            {"activation": ["relu", "tanh"]},
            {"lr": [0.01, 0.1]},
            lambda config, seed, epoch: better[config["activation"]] + 0.01 * seed + 0.02 * epoch - config["lr"],
        )
    return folder


def sources(notebook: dict[str, Any]) -> list[str]:
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_was_run_in_order_and_is_small() -> None:
    notebook = json.loads(NOTEBOOK.read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 4
    assert NOTEBOOK.stat().st_size < 400_000
    assert "/home/" not in NOTEBOOK.read_text()


@pytest.mark.slow
def test_the_notebook_runs_on_another_run(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    for package in ("ipykernel", *SPLIT_EXAMPLES):
        pytest.importorskip(package)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert 'RESULTS = "../../results/activations"' in first.source
    first.source = f"RESULTS = {str(results)!r}"
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(results)}}).execute()
    shown = next(cell for cell in notebook.cells if "idxmax" in cell.source).outputs[0].data["text/plain"]
    assert shown.index("relu") < shown.index("tanh")


def test_polars_and_duckdb_read_what_pandas_reads(results: Path) -> None:
    """The examples of docs/complexity.md, on two runs as one."""
    polars, duckdb = (pytest.importorskip(name) for name in SPLIT_EXAMPLES)
    expected = table.read(results).groupby("activation")["test_auc"].mean().to_dict()

    runs = polars.scan_parquet(f"{results}/**/trials.parquet", missing_columns="insert", extra_columns="ignore")
    found = runs.group_by("dataset", "activation").agg(polars.col("test_auc").mean()).collect()
    assert dict(zip(found["activation"], found["test_auc"], strict=True)) == pytest.approx(expected)

    rows = duckdb.sql(
        f"""select tensor, stage, median(sample_entropy) from read_parquet('{results}/**/weights.parquet',
            union_by_name=true) where len(shape) > 1 group by all order by all"""
    ).fetchall()
    weights = table.read(results, "weights")
    weights = weights[weights["shape"].map(len) > 1]
    medians = weights.groupby(["tensor", "stage"])["sample_entropy"].median().to_dict()
    assert {(tensor, stage): value for tensor, stage, value in rows} == pytest.approx(medians)
    assert all(math.isfinite(value) for value in medians.values())
