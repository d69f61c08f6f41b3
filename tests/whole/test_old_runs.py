"""Run folders that each released version wrote are read by every command of today, and resumed."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from analysis import table
from analysis.runs.find import runs_in
from analysis.runs.run_folder import RunFolder
from analysis.table.definitions import complexity_columns
from sweeps.planning.reuse import find_finished
from sweeps.record.ledger import read_ledger
from sweeps.record.state import read_state
from sweeps.record.table_rows import epochs_table, trials_table
from tests.conftest import ROOT
from trainables.config import TrialConfig

KEPT = sorted((ROOT / "tests" / "support").glob("runs_of_*"))
"""Kept runs of each version: `smoke/finished`, 2 trials; `smoke/interrupted`, of 6 trials of 2 seeds some ended and one
was cut off; since 0.2.0 `parabola/function`, a training function. `python -m tests.support.keep_runs` writes them."""
OLD = ROOT / "tests" / "support" / "runs_of_0_1_0"
ENDED = ("completed", "stopped", "diverged", "failed")


@pytest.fixture(params=KEPT, ids=lambda folder: folder.name.removeprefix("runs_of_"))
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The results folder of a version."""
    return Path(shutil.copytree(request.param, tmp_path / "results"))


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OLD, tmp_path / "results"))


def said(*words: str, code: int = 0) -> str:
    """Standard output of a command."""
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def answered(command: str, *words: str) -> str:
    """Output of a command in this process."""
    done = CliRunner().invoke(importlib.import_module(command).app, words, env={"COLUMNS": "200"})
    assert done.exit_code == 0, f"{command}: {done.output} {done.exception!r}"
    return done.output


def written(run: RunFolder, kind: str) -> pa.Table:
    """A table as its version wrote it, without our reader."""
    return pq.read_table(run.path / f"{kind}.parquet")


def best_value(run: RunFolder) -> float:
    """The best mean of a completed trial, by what its version wrote."""
    about = json.loads(run.description.read_text())
    rows = written(run, "trials").to_pandas()
    means = rows[rows["status"] == "completed"].groupby("trial_id")[about["metric"]].mean()
    return float(means.min() if about["mode"] == "min" else means.max())


def test_each_released_version_has_kept_runs() -> None:
    released = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert {folder.name for folder in KEPT} >= {f"runs_of_{version.replace('.', '_')}" for version in released}
    for folder in KEPT:
        written_by = {kept_version(run) for run in runs_in(folder)}
        assert written_by == {folder.name.removeprefix("runs_of_").replace("_", ".")}


@pytest.mark.parametrize("kind", ["trials", "epochs"])
def test_tables_drawn_from_the_ledger_today_are_those_of_then(kept: Path, kind: str) -> None:
    """Every value that the version wrote and today's table has: none is lost or changed."""
    make = {"trials": trials_table, "epochs": epochs_table}[kind]
    for run in runs_in(kept):
        before = written(run, kind)
        today = make(run, read_state(run.ledger).trials.values(), run.metadata())
        # weights are measured after this table is drawn
        shared = [n for n in today.column_names if n in before.column_names and n not in complexity_columns()]
        assert "val_loss" in shared
        for name in shared:
            was, now = before.column(name).to_pylist(), today.column(name).to_pylist()
            same = now == pytest.approx(was, nan_ok=True) if _numbers(was) else now == was
            assert same, f"{run.run_id} {name}: {was} became {now}"


def test_fields_that_came_later_have_their_default(kept: Path) -> None:
    """A trial of a version that did not have the field was trained as one is that leaves it out today."""
    run = RunFolder(kept / "smoke" / "finished")
    today = trials_table(run, read_state(run.ledger).trials.values(), run.metadata())
    config = next(iter(read_state(run.ledger).trials.values())).config
    later = [name for name in TrialConfig.model_fields if name not in config]
    assert later or kept_version(run) != "0.1.0"
    for name in later:
        default = TrialConfig.model_fields[name].get_default(call_default_factory=True)
        assert set(today.column(name).to_pylist()) == {default}, name


def kept_version(run: RunFolder) -> str:
    versions = run.metadata()["provenance"]["versions"]
    # 0.1.0 was distributed as `sweeps`
    return str(versions.get("medsweeps") or versions["sweeps"])


def _numbers(values: list[Any]) -> bool:
    return all(isinstance(value, float) for value in values)


def test_runs_are_listed_and_shown(kept: Path) -> None:
    listed = json.loads(answered("sweeps.list", "runs", "--storage", str(kept), "--json"))
    assert {(row["sweep"], row["run"]) for row in listed} == {(run.sweep, run.run_id) for run in runs_in(kept)}
    for run in runs_in(kept):
        trials = read_state(run.ledger).trials.values()
        shown = answered("sweeps.show", str(run.path))
        assert f"{sum(trial.status in ENDED for trial in trials)}/{len(trials)} trials ended" in shown
        assert f"{best_value(run):.4f}" in shown


def test_runs_are_compared_and_reported_with_figures(kept: Path) -> None:
    for run in runs_in(kept):
        best = f"{best_value(run):.4f}"
        assert best in answered("analysis.compare", str(run.path))
        answered("analysis.report", str(run.path))
        assert best in (run.path / "report.html").read_text()
        assert any((run.path / "figures").glob("*.svg"))


def test_weights_are_measured_again_and_evaluated(kept: Path) -> None:
    run = RunFolder(kept / "smoke" / "finished")
    before = written(run, "weights").to_pandas().set_index(["trial_id", "seed", "stage", "tensor"])
    answered("analysis.complexity", str(run.path), "--again", "--workers", "1")
    after = table.read(run.path, "weights").set_index(["trial_id", "seed", "stage", "tensor"]).loc[before.index]
    for measure in ("lmc", "sample_entropy", "weight_norm"):
        assert list(after[measure]) == pytest.approx(list(before[measure]), nan_ok=True), measure
    answered("analysis.evaluate", str(run.path), "--no-figures")
    (found,) = run.path.glob("evaluation/*/metrics.json")
    assert json.loads(found.read_text())


def test_the_live_page_reads_them(kept: Path) -> None:
    pytest.importorskip("starlette")
    from starlette.testclient import TestClient

    from sweeps.dashboard.app import Page, make_app
    from sweeps.dashboard.results import Results

    with TestClient(make_app(Page(Results(kept))), base_url="http://localhost:8088") as browser:
        assert len(browser.get("/api/runs").json()) == len(list(runs_in(kept)))
        for run in runs_in(kept):
            assert browser.get(f"/run/{run.sweep}/{run.run_id}").status_code == 200
            changes = browser.get(f"/api/run/{run.sweep}/{run.run_id}/changes?epoch=0&since=0").json()
            trials = read_state(run.ledger).trials
            (ids,) = [one["values"] for one in changes["trials"]["columns"] if one["name"] == "trial"]
            assert sorted(ids) == sorted(trials)
            for trial in trials:
                assert browser.get(f"/trial/{run.sweep}/{run.run_id}/{trial}").status_code == 200


def test_a_finished_run_is_resumed_reused_and_repeated_without_new_trials(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan of then is planned alike now; nothing is started."""
    for run in runs_in(kept):
        if run.run_id == "interrupted":
            continue
        about = run.metadata()
        # a training function's file lies where the command is given
        for file in run.path.glob("code/*/*.py"):
            shutil.copy(file, kept.parent)
        monkeypatch.chdir(kept.parent)
        place, all_of = ("--storage", str(kept), "--dry-run"), about["trials"]
        resumed = answered("sweeps.run", str(run.path), *place, "--resume", str(run.path))
        assert f"{all_of} of {all_of} have ended" in resumed
        assert f"{all_of} trials" in answered("sweeps.run", str(run.path), *place)
        # trials of equal keys, as --reuse looks for them
        trials = list(read_state(run.ledger).trials.values())
        assert set(find_finished(trials, kept)) == {trial.key for trial in trials}


def test_showing_a_run_imports_nothing_that_takes_long(storage: Path) -> None:
    heavy = {"torch", "ray", "pandas", "sklearn", "matplotlib"}
    show = "from sweeps.show import app; app(['finished', '--storage', sys.argv[1]], standalone_mode=False)"
    code = f"import sys; {show}; print({heavy} & set(sys.modules))"
    shown = subprocess.run(
        [sys.executable, "-c", code, str(storage)], cwd=ROOT, capture_output=True, text=True, timeout=500, check=True
    ).stdout
    assert "0.9261" in shown
    assert shown.splitlines()[-1] == "set()"


def test_old_tables_read_as_one(storage: Path) -> None:
    trials = table.read(storage)
    assert sorted(trials["run_id"].unique()) == ["finished", "interrupted"]
    assert len(trials) == 2 + 3 * 2 or len(trials) == 2 + 6 * 2


@pytest.mark.slow
def test_an_old_run_is_resumed_and_its_ended_trials_are_kept(storage: Path) -> None:
    run = storage / "smoke" / "interrupted"
    before = list(read_ledger(RunFolder(run).ledger))
    said(
        "sweeps.run", "smoke", "--set", "model=mlp", "--set", "hidden_dims=8", "--set", "activation=relu,tanh,gelu",
        "--set", "lr=0.01,0.001", "--epochs", "8", "--seeds", "2", "--scheduler", "asha", "--max-concurrent", "2",
        "--no-report", "--storage", str(storage), "--resume", str(run),
    )  # fmt: skip
    events = list(read_ledger(RunFolder(run).ledger))
    assert events[: len(before)] == before
    ended = [e["trial_id"] for e in events if e["event"] in ("completed", "stopped", "diverged", "failed")]
    assert sorted(ended) == ["0001", "0002", "0003", "0004", "0005", "0006"]
    first_after = next(e["epoch"] for e in events[len(before) :] if e["event"] == "epoch" and e["trial_id"] == "0003")
    assert first_after in (2, 3), "trial 0003 went on from its checkpoint of epoch 2"
