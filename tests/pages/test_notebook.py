"""The example notebooks run from top to bottom on another run, and the readers of the tables agree."""

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

NOTEBOOKS = ROOT / "docs" / "notebooks"
FIGURES = {"complexity_of_a_run": 4, "compare_and_write_up": 2, "weights_from_anywhere": 1}
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


def test_every_notebook_is_tested_and_on_the_site() -> None:
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(FIGURES)
    assert all(f"notebooks/{name}.ipynb" in (ROOT / "mkdocs.yml").read_text() for name in FIGURES)


@pytest.mark.parametrize("name", FIGURES)
def test_the_notebook_was_run_in_order_and_is_small(name: str) -> None:
    file = NOTEBOOKS / f"{name}.ipynb"
    notebook = json.loads(file.read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == FIGURES[name]
    assert file.stat().st_size < 400_000
    assert "/home/" not in file.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_the_notebook_runs_on_another_run(name: str, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    for package in ("ipykernel", *SPLIT_EXAMPLES):
        pytest.importorskip(package)
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    first.source = first.source.replace('"../../results/activations"', repr(str(results)))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(results)}}).execute()
    said = [cell.outputs[0] for cell in notebook.cells if cell.get("outputs")]
    texts = [output.get("text") or output["data"].get("text/plain", "") for output in said]
    if name == "complexity_of_a_run":
        shown = next(cell for cell in notebook.cells if "idxmax" in cell.source).outputs[0].data["text/plain"]
        assert shown.index("relu") < shown.index("tanh")
    elif name == "compare_and_write_up":
        # relu is better by 0.1 at every seed, so the differences have no spread
        assert "relu reached" in texts[0]
        assert r"relu & 0.01 & 3 & 0.8800 $\pm$ 0.0248" in texts[2]
    else:
        assert "accuracy 1.000" in texts[0]


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
