"""Imports flow one way: the table of DESIGN.md, enforced by reading every import of every file."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

FOLDERS = {
    "trainables": set(),
    "search_spaces": {"trainables"},
    "analysis": {"trainables"},
    "deployment": {"trainables", "analysis"},
    "sweeps": {"trainables", "search_spaces", "analysis", "deployment"},
    "cluster": {"sweeps", "analysis", "trainables"},
    "benchmarks": {"trainables", "search_spaces", "analysis", "deployment", "sweeps", "cluster"},
}
RAY_IN_TRAINABLES = {"trainables/image_classifier.py"}
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_imports_only_what_its_folder_may(path: Path) -> None:
    folder = path.relative_to(ROOT).parts[0]
    ours = {name.split(".")[0] for name in imported(path)} & set(FOLDERS)
    assert ours <= FOLDERS[folder] | {folder}


@pytest.mark.parametrize("path", [p for p in FILES if p.is_relative_to(ROOT / "trainables")], ids=lambda p: p.name)
def test_trainables_run_without_ray(path: Path) -> None:
    if path.relative_to(ROOT).as_posix() not in RAY_IN_TRAINABLES:
        assert not {name for name in imported(path) if name.split(".")[0] == "ray"}


def test_trainables_package_is_empty() -> None:
    assert (ROOT / "trainables" / "__init__.py").read_text() == ""


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("trainables.config", {"torch", "ray"}),
        ("analysis.table", {"torch", "ray", "numba", "scipy"}),
        ("sweeps.run", {"torch", "ray", "pandas", "pyarrow", "numpy"}),
        ("sweeps.list", {"torch", "ray", "pandas", "pyarrow", "numpy"}),
        ("sweeps.show", {"torch", "ray", "pandas", "pyarrow", "numpy"}),
    ],
)
def test_light_modules_stay_light(module: str, heavy: set[str]) -> None:
    code = f"import sys, {module}; print(*sorted({heavy!r} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert shown.stdout.strip() == ""
