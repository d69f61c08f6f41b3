"""The pages of models and of complexity: links live, commands parse, names and examples are the code's."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from functools import cache

import pytest

from tests.conftest import ROOT
from trainables.layers.activations import ACTIVATIONS
from trainables.models import MODELS
from trainables.network.model_size import ModelSize, model_sizes
from trainables.network.stochastic_layers import STOCHASTIC_LAYERS
from trainables.training.optimizers import OPTIMIZERS
from trainables.training.schedules import SCHEDULES

PAGES = {
    name: (ROOT / "docs" / name).read_text()
    for name in ("models.md", "complexity.md", "evaluation.md", "data.md", "deployment.md", "tracking.md")
}
COMMANDS = sorted(
    {
        line.split("#")[0].strip().replace("…", "x")
        for text in PAGES.values()
        for line in re.findall(r"^    (python -m [a-z_.]+.*)$", text, re.M)
    }
)
LINKS = [(page, link) for page, text in PAGES.items() for link in re.findall(r"\]\(([^)#]+)\)", text)]


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_links_live(page: str, link: str) -> None:
    assert link.startswith("https://") or (ROOT / "docs" / link).exists()


@cache
def shown_help(module: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_options_of_commands_exist(command: str) -> None:
    _, _, module, *words = shlex.split(command)
    for word in words:
        if word.startswith("--"):
            assert word in shown_help(module), word


def test_every_model_has_its_line_with_its_size() -> None:
    pytest.importorskip("timm")
    small, large = model_sizes(28, 1, 10), model_sizes(224, 3, 1000)
    for name, module in MODELS.items():
        (line,) = re.findall(rf"^\| `{name}` \|.*$", PAGES["models.md"], re.M)
        sizes = [small[name], large[name]] if hasattr(module, "imagenet") and "_3d" not in name else [small[name]]
        for size in sizes:
            assert isinstance(size, ModelSize)
            assert f" {size.parameters:,} | {size.macs / 1e6:,.1f} |" in line


@pytest.mark.parametrize("table", [ACTIVATIONS, STOCHASTIC_LAYERS, OPTIMIZERS, SCHEDULES])
def test_every_name_stands_on_the_page(table: dict[str, object]) -> None:
    named = set(re.findall(r"`([a-z0-9_]+)`", PAGES["models.md"]))
    missing = {name for name in table if name not in named and not name.endswith("_100")} - {"none"}
    assert not missing


def test_the_number_of_activations_is_said() -> None:
    assert f"`python -m sweeps.list activations` has {len(ACTIVATIONS)}." in PAGES["models.md"]
