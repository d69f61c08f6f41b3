"""docs/extending.md is applied to a copy of the tree, as a contributor would, and what it adds works."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "extending.md").read_text()
PACKAGES = ("trainables", "search_spaces", "analysis", "deployment", "sweeps", "cluster")
BLOCK = re.compile(r'^```(python|diff) title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def apply(text: str, hunk: list[str], path: str) -> str:
    """A file's text with one hunk of a diff in it. What is not marked with + must stand there just once."""
    before = "".join(line[1:] for line in hunk if not line.startswith("+"))
    after = "".join(line[1:] for line in hunk if not line.startswith("-"))
    assert text.count(before) == 1, f"{path} has these lines {text.count(before)} times:\n{before}"
    return text.replace(before, after)


def hunks(text: str) -> Iterator[list[str]]:
    for part in re.split(r"^@@\n", text, flags=re.MULTILINE):
        yield part.splitlines(keepends=True)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages with all that the page adds."""
    tree = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "DESIGN.md", tree)
    for kind, name, text in BLOCK.findall(PAGE):
        path = tree / name
        if kind == "python":
            assert not path.exists(), f"{name} is there already"
            path.write_text(text)
            continue
        changed = path.read_text()
        for hunk in hunks(text):
            changed = apply(changed, hunk, name)
        path.write_text(changed)
    return tree


def call(tree: Path, *words: str) -> str:
    done = subprocess.run([sys.executable, "-m", *words], cwd=tree, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_kind_of_edit_is_on_the_page() -> None:
    assert len(BLOCK.findall(PAGE)) == PAGE.count('title="') >= 12


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("sweeps.list activations", "squareplus"),
        ("sweeps.list measures", "gini"),
        ("sweeps.list schedulers", "threshold"),
        ("sweeps.list datasets --check blobs", "right"),
        ("sweeps.run batch_sizes --dry-run", "4 trials"),
        ("sweeps.run activations --scheduler threshold:floor=0.9 --dry-run", "threshold"),
        ("sweeps.count --storage results", ""),
    ],
)
def test_what_was_added_is_known(tree: Path, words: str, said: str) -> None:
    assert said in call(tree, *words.split())


@pytest.mark.slow
def test_what_was_added_runs_together(tree: Path) -> None:
    words = (
        "sweeps.run smoke --dataset blobs --set model=separable --set activation=squareplus,squareplus:b=1 --epochs 3 "
        "--scheduler threshold:floor=0.1 --no-report --storage results --name added"
    )
    call(tree, *words.split())
    call(tree, "analysis.complexity", "results/smoke/added", "--measures", "gini")
    trials = pq.read_table(tree / "results" / "smoke" / "added" / "trials.parquet").to_pylist()
    assert sorted(row["activation"] for row in trials) == ["squareplus", "squareplus:b=1"]
    for row in trials:
        assert row["epochs_after_best"] == row["epochs_trained"] - row["best_epoch"]
        assert 0 < row["gini"] < 1
    assert call(tree, "sweeps.count", "--storage", "results") == "smoke 1\n"
