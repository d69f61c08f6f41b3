"""`sweeps COMMAND`: the same commands as `python -m`, and completion in a shell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sweeps.__main__ import COMMANDS
from tests.conftest import ROOT


def sweeps(*words: str, **environment: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "sweeps", *words], cwd=ROOT, env={**os.environ, "COLUMNS": "100", **environment},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_every_program_of_the_rooms_is_a_command() -> None:
    rooms = ("sweeps", "analysis", "deployment", "cluster")
    paths = [path for room in rooms for pattern in ("*.py", "*/__main__.py") for path in (ROOT / room).glob(pattern)]
    files = [path.relative_to(ROOT) for path in paths if "start(app" in path.read_text()]
    names = {".".join(path.with_suffix("").parts).removesuffix(".__main__") for path in files} - {
        "analysis.command_line"
    }
    assert set(COMMANDS.values()) == names
    assert all(module.endswith(f".{name}") for name, module in COMMANDS.items())


def test_a_command_runs_as_by_its_module() -> None:
    code, out, errors = sweeps("run", "activations", "--dry-run", "--set", "activation=relu", "--fix", "lr=0.01")
    assert (code, errors) == (0, "")
    assert "1 trial" in out
    code, out, errors = sweeps("show", "nothing", "--storage", "nowhere")
    assert (code, out) == (2, "")
    assert errors.startswith("error: no run 'nothing'")


def test_without_a_command_it_shows_all_and_a_wrong_one_is_one_line() -> None:
    code, out, _ = sweeps()
    assert code == 0
    assert all(f" {name} " in out for name in COMMANDS)
    assert sweeps("nope") == (2, "", "error: No such command 'nope'; --help lists all options\n")


@pytest.mark.parametrize(
    ("words", "number", "expected"),
    [
        ("sweeps sh", 1, {"show"}),
        ("sweeps run act", 2, {"activations"}),
        ("sweeps run activations --sched", 3, {"--scheduler"}),
    ],
)
def test_a_shell_completes_commands_sweeps_and_options(words: str, number: int, expected: set[str]) -> None:
    asked = {"_SWEEPS_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(number)}
    assert set(sweeps(**asked)[1].split()) == expected


def test_completion_imports_nothing_heavy() -> None:
    program = (
        "import os, sys;"
        "os.environ.update(_SWEEPS_COMPLETE='complete_bash', COMP_WORDS='sweeps run act', COMP_CWORD='2');"
        "sys.argv = ['sweeps']; import atexit; from sweeps import __main__;"
        "atexit.register(lambda: print(sorted({'torch', 'ray', 'pandas'} & set(sys.modules))));"
        "__main__.main()"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=Path(ROOT), capture_output=True, text=True, timeout=120)
    assert done.stdout.split("\n")[:2] == ["activations", "[]"]
