"""The README: its links live and its commands parse."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest

from tests.conftest import ROOT

TEXT = (ROOT / "README.md").read_text().replace("\\\n", " ")
COMMANDS = [line.strip().split("#")[0] for line in TEXT.splitlines() if line.startswith("    python -m ")]


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)\)", TEXT))))
def test_links_to_files_live(target: str) -> None:
    assert target.startswith("https://") or (ROOT / target).exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_options_of_commands_exist(command: str) -> None:
    _, _, module, *words = shlex.split(command)
    shown = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for word in words:
        if word.startswith("--"):
            assert word in shown.stdout, word


def test_the_readme_names_the_two_lines_of_set_up() -> None:
    assert "pip install -e . && python -m sweeps.run activations" in TEXT
    assert 'pip install -e ".[dev]" && pytest' in TEXT
    assert len(COMMANDS) >= 6
