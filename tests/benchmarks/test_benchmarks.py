"""Every benchmark runs both ways, `python -m benchmarks NAME` and `python -m benchmarks.NAME`, at its smallest size."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime

import pytest

from benchmarks.__main__ import NAMES
from benchmarks.growth import COMMANDS
from benchmarks.rivals.grids import GRIDS
from search_spaces.activations import SWEEP
from sweeps.planning.plan import make_plan
from tests.conftest import ROOT
from trainables.config import make_config

DEADLINE = 900
SMALLEST = {
    "bootstrap": ["--images", "200", "--draws", "10", "--beside", "1"],
    "dashboard": ["--trials", "6", "--pages", "2", "--seconds", "1", "--no-chromium"],
    "data": ["--repeats", "1", "--workers", "2", "--images", "2600"],
    "epoch": ["--epochs", "1", "--images", "16"],
    "fused": ["--images", "64", "--batch", "32", "--repeats", "1", "--cases", "1"],
    "file_transfer": ["--sizes", "0.1", "--repeats", "1"],
    "growth": ["--trials", "6", "--epochs", "2", "--seeds", "1", "--no-commands"],
    "orchestration": ["--grid", "smallest", "--only", "floor+optuna"],
    "sample_entropy": ["--sizes", "50", "--beside-up-to", "0"],
}
READS_DATA = ("data", "epoch")
QUICK = ("bootstrap", "fused", "growth", "sample_entropy")
HELPERS = ("__init__", "__main__", "check", "played_runs")


def test_each_has_a_name_and_a_smallest_size() -> None:
    files = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - set(HELPERS)
    assert files == set(NAMES) == set(SMALLEST)


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SMALLEST]
)
def test_it_runs_both_ways(name: str, request: pytest.FixtureRequest) -> None:
    options = [*SMALLEST[name]]
    if name in READS_DATA:
        options += ["--data-root", str(request.getfixturevalue("data_root"))]
    for words in (["benchmarks", name], [f"benchmarks.{name}"]):
        done = run([*words, *options])
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout


@pytest.mark.slow
def test_the_figures_of_growth_are_there_for_each_size_and_command() -> None:
    done = run(["benchmarks.growth", "--trials", "6,8", "--epochs", "2", "--seeds", "2", "--json"])
    assert done.returncode == 0, done.stderr[-2000:]
    for figures in json.loads(done.stdout).values():
        assert set(COMMANDS) < set(figures)
        assert all(value > 0 for value in figures.values())


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--weights", "64,1e3"], {"all", "lmc", "peak, MB"}),
        pytest.param(["--rows", "30,60", "--epochs", "2"], {"compare", "report, MB"}, marks=pytest.mark.slow),
    ],
    ids=["weights", "rows"],
)
def test_growth_by_weights_and_by_rows(options: list[str], names: set[str]) -> None:
    done = run(["benchmarks", "growth", *options, "--json"])
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert len(found) == 2
    assert all(names <= set(figures) for figures in found.values())


def test_a_name_that_is_none_of_them_is_one_line() -> None:
    done = run(["benchmarks", "nosuch"])
    assert (done.returncode, done.stdout) == (2, "")
    assert "unknown benchmark 'nosuch'" in done.stderr


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE)


def test_the_quick_grid_is_the_quick_start() -> None:
    grid = GRIDS["quick"]
    planned = make_plan(SWEEP, None, datetime(2026, 1, 1)).trials
    own = [make_config({**values, "seeds": range(grid.seeds)}) for values in grid.values()]
    assert sorted(trial.config.model_dump_json() for trial in planned) == sorted(c.model_dump_json() for c in own)
    assert grid.epochs == SWEEP.fixed["epochs"]
