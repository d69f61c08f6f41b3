"""Imports flow one way, as the tables of DESIGN.md say: no circle of files or rooms, and no import upward."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import ROOT

FOLDERS: dict[str, set[str]] = {
    "trainables": set(),
    "search_spaces": {"trainables"},
    "analysis": {"trainables"},
    "deployment": {"trainables", "analysis"},
    "sweeps": {"trainables", "search_spaces", "analysis", "deployment"},
    "cluster": {"sweeps", "analysis", "search_spaces", "trainables"},
    "benchmarks": {"trainables", "search_spaces", "analysis", "deployment", "sweeps", "cluster"},
}
RAY_IN_TRAINABLES = {"trainables/worker/train_trial.py"}
REGISTRIES = {
    "trainables/models", "trainables/data/formats", "search_spaces", "analysis/measures", "sweeps/schedulers",
    "sweeps/trackers",
}  # fmt: skip
"""Rooms with a file for each entry of a table; they may hold more than a dozen."""
MOST_FILES = 12
FILES = sorted(path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
MODULES = {path.with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__"): path for path in FILES}
ROOM_TABLE = re.compile(r"^\| room of `(\w+)/` \|.*\n\| --- .*\n((?:\|.*\n)*)", re.MULTILINE)


def imported(path: Path) -> Iterator[str]:
    """Names of the modules that a file imports, those inside functions included; `from a import b` gives a.b."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_of(name: str) -> str | None:
    """The module of ours that an imported name stands in."""
    if name in MODULES:
        return name
    parent = name.rpartition(".")[0]
    return parent if parent in MODULES else None


IMPORTS = {path: {MODULES[m] for name in imported(path) if (m := module_of(name))} - {path} for path in FILES}


def room_of(path: Path) -> str:
    """The folder of a file, or the file itself where it stands directly in one of the top folders."""
    return path.parent.as_posix() if len(path.parts) > 2 else path.as_posix()


def floors() -> dict[str, list[list[str]]]:
    """For each top folder, the rows of its table in DESIGN.md: the rooms and files that each row names."""
    return {
        folder: [
            [f"{folder}/{name.removesuffix('/')}" for name in re.findall(r"`([^`]+)`", row.split("|")[1])]
            for row in rows.splitlines()
        ]
        for folder, rows in ROOM_TABLE.findall((ROOT / "DESIGN.md").read_text())
    }


FLOORS = floors()


def floor_of(path: Path) -> int | None:
    """The row of DESIGN.md that names a file's room; an exact name goes before a pattern."""
    rows = FLOORS.get(path.parts[0], [])
    room = room_of(path)
    exact = [number for number, row in enumerate(rows) if room in row]
    return next(iter(exact or [n for n, row in enumerate(rows) if any(fnmatch(room, name) for name in row)]), None)


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("path", FILES, ids=Path.as_posix)
def test_a_file_imports_only_what_its_folder_may(path: Path) -> None:
    ours = {name.split(".")[0] for name in imported(path)} & set(FOLDERS)
    assert ours <= FOLDERS[path.parts[0]] | {path.parts[0]}


@pytest.mark.parametrize("path", [path for path in FILES if path.name != "__init__.py"], ids=Path.as_posix)
def test_a_file_imports_only_rooms_that_stand_above_its_own(path: Path) -> None:
    floor = floor_of(path)
    assert floor is not None, f"DESIGN.md names no room for {path}"
    for other in IMPORTS[path]:
        if other.parts[0] == path.parts[0] and other.name != "__init__.py":
            above = floor_of(other)
            assert above is not None
            assert above <= floor, f"{path} imports {other}, which stands below it in DESIGN.md"


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circle({path.as_posix(): {other.as_posix() for other in IMPORTS[path]} for path in FILES}) == []


def test_no_rooms_import_each_other_in_a_circle() -> None:
    rooms: dict[str, set[str]] = {}
    for path in FILES:
        rooms.setdefault(room_of(path), set()).update({room_of(other) for other in IMPORTS[path]} - {room_of(path)})
    assert circle(rooms) == []


def test_every_room_of_design_exists() -> None:
    for row in (row for rows in FLOORS.values() for row in rows):
        for name in row:
            assert list(ROOT.glob(name)), f"DESIGN.md names {name}, which is not there"


def test_a_room_holds_at_most_a_dozen_files() -> None:
    rooms = {path.parent.as_posix() for path in FILES} - REGISTRIES
    files = {room: [p for p in FILES if p.parent.as_posix() == room and p.name != "__init__.py"] for room in rooms}
    assert {room: len(there) for room, there in files.items() if len(there) > MOST_FILES} == {}


def test_a_circle_and_an_import_upward_are_seen() -> None:
    assert circle({"a": {"b"}, "b": {"a"}})
    loop, errors = Path("trainables/training/loop.py"), Path("trainables/errors.py")
    assert (floor_of(errors) or 0) < (floor_of(loop) or 0)


@pytest.mark.parametrize("path", [path for path in FILES if path.parts[0] == "trainables"], ids=Path.as_posix)
def test_trainables_run_without_ray(path: Path) -> None:
    if path.as_posix() not in RAY_IN_TRAINABLES:
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
