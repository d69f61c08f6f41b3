"""A sweep of a user's own parts, trained by two workers whose folder lacks the files, read, evaluated and resumed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest
from ray import tune
from rich.console import Console
from typer.testing import CliRunner

from analysis import table
from analysis.comparison.results import load
from analysis.evaluate import app
from analysis.runs.run_folder import RunFolder
from search_spaces.definition import Resources, Sweep
from sweeps.planning.begin import create_run, resume_run
from sweeps.planning.plan import make_plan
from sweeps.planning.reuse import find_finished, reasons_not_reused
from sweeps.planning.settings import Settings
from sweeps.running.execution import execute
from tests.support.made_results import make_run
from tests.support.own_parts import write_parts
from trainables.user_code import permission
from trainables.user_code.in_use import forget_sources

pytestmark = pytest.mark.slow
SWEEP = Sweep(
    "Does width matter?",
    {"model.width": tune.grid_search([4, 8])},
    fixed={
        "dataset": "digits", "model": "my_net.py:MyNet", "activation": "my_parts.py:Squareplus", "epochs": 2,
        "optimizer": "my_parts.py:SignSGD", "optimizer.eps": 1e-6, "schedule": "my_parts.py:triangle",
        "loss": "my_parts.py:PolyLoss", "augmentation": "my_parts.py:roll", "stochastic": "my_parts.py:Noise",
    },
    seeds=(0,),
    scheduler="fifo",
    resources=Resources(cpus=1),
)  # fmt: skip


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield the working directory, a folder with the user's files."""
    folder, before = tmp_path_factory.mktemp("lab"), Path.cwd()
    os.chdir(folder)
    write_parts(folder)
    yield folder
    os.chdir(before)


@pytest.fixture(scope="module")
def finished(lab: Path) -> RunFolder:
    """Return the run; the files are gone when its workers start, and are back when it has ended."""
    forget_sources()
    settings, now = Settings(storage="results", name="own", report=False, quiet=True), datetime.now()
    plan = make_plan(SWEEP, None, now)
    folder = create_run(SWEEP, "own", plan, settings, now)
    for name in ("my_net.py", "my_parts.py"):
        (lab / name).unlink()
    with open(os.devnull, "w") as nowhere:
        outcome = execute(SWEEP, plan, folder, settings, Console(file=nowhere))
    write_parts(lab)
    assert outcome.problems == ()
    return folder


def test_both_trials_are_trained_and_measured(finished: RunFolder) -> None:
    rows = table.read(finished.trials_table)
    assert rows["status"].tolist() == ["completed", "completed"]
    assert rows["model.width"].tolist() == [4, 8]
    assert rows["optimizer.eps"].tolist() == [1e-6, 1e-6]
    assert rows["lr"].tolist() == [0.01, 0.01]
    assert rows["lmc"].notna().all()


def test_the_run_keeps_the_code(finished: RunFolder) -> None:
    about = finished.read_description()
    kept = about["code"]["my_net.py:MyNet"]
    text = (finished.code / kept["digest"] / "my_net.py").read_text()
    assert text == Path("my_net.py").read_text()
    assert about["roles"]["scientific"] == {"model.width": [4, 8]}


def test_every_reader_has_the_column_beside_a_run_that_lacks_it(finished: RunFolder, lab: Path) -> None:
    other = make_run(lab / "results/other/run", {"activation": ["relu", "tanh"]}, {"lr": [0.1]}, lambda *_: 0.5)
    files = [str(finished.trials_table), str(other.trials_table)]
    ours = table.read(lab / "results")
    frames = {
        "pandas": pd.concat([pd.read_parquet(file) for file in files]),
        "polars": pl.concat([pl.read_parquet(file) for file in files], how="diagonal_relaxed").to_pandas(),
        "duckdb": duckdb.sql(f"SELECT * FROM read_parquet({files}, union_by_name = true)").df(),
        "ours": ours,
    }
    for name, frame in frames.items():
        assert sorted(frame["model.width"].dropna()) == [4, 8], name
        assert len(frame) == len(ours), name
    together = load([finished, other])
    assert "model.width" in together.fields


def test_compared_values_are_those_of_the_argument(finished: RunFolder) -> None:
    results = load([finished])
    assert results.scientific == ("model.width",)
    assert results.values == ["4", "8"]


def evaluate(*words: str) -> Any:
    return CliRunner().invoke(app, ["own", "--draws", "100", "--no-cost", "--no-figures", *words])


def test_its_code_runs_where_it_is_what_it_was_or_is_trusted(
    finished: RunFolder, lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(permission, "_TRUSTED", [])
    forget_sources()
    assert evaluate().exit_code == 0
    (lab / "my_net.py").unlink()
    forget_sources()
    refused = evaluate()
    assert "--trust-code" in str(refused.exception)
    assert evaluate("--trust-code").exit_code == 0
    write_parts(lab)


def test_a_resume_names_the_file_that_changed(finished: RunFolder, lab: Path) -> None:
    net = lab / "my_net.py"
    net.write_text(net.read_text() + "\n# another line\n")
    forget_sources()
    resumed = resume_run(finished, SWEEP, make_plan(SWEEP, None, datetime.now()))
    assert resumed.finished == 2
    assert any("my_net.py" in note and "my_parts.py" not in note for note in resumed.notes)
    kept = json.loads(finished.description.read_text())["code"]["my_net.py:MyNet"]["digest"]
    assert (finished.code / kept / "my_net.py").read_text() == net.read_text()
    assert len(list(finished.code.glob("*/my_net.py"))) == 2


def test_a_resume_finds_its_trials_by_another_path_of_the_file(finished: RunFolder, lab: Path) -> None:
    write_parts(lab)
    forget_sources()
    fixed = {**SWEEP.fixed, "model": str(lab / "my_net.py:MyNet")}
    moved = replace(SWEEP, fixed=fixed)
    resumed = resume_run(finished, moved, make_plan(moved, None, datetime.now()))
    assert (resumed.finished, resumed.added) == (2, 0)
    assert resumed.notes == (f"model my_net.py:MyNet is now {fixed['model']}, with the same content",)
    assert all(state.config["model"] == fixed["model"] for state in resumed.state.trials.values())


def test_reuse_says_which_file_has_changed(finished: RunFolder, lab: Path) -> None:
    net = lab / "my_net.py"
    net.write_text(net.read_text() + "\n# a third text\n")
    forget_sources()
    planned = make_plan(SWEEP, None, datetime.now()).trials
    assert find_finished(planned, Path("results")) == {}
    (reason,) = reasons_not_reused(planned, Path("results"))
    assert "2 trials not reused" in reason
    assert "the training code (my_net.py) has changed since" in reason
    write_parts(lab)
