"""Every page of docs: links live, commands have the options they are given; names and examples are the code's."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from functools import cache

import pytest

from sweeps.__main__ import COMMANDS as SHORT_NAMES
from tests.conftest import ROOT
from trainables.layers.activations import ACTIVATIONS
from trainables.models import MODELS
from trainables.network.model_size import ModelSize, model_sizes
from trainables.network.stochastic_layers import STOCHASTIC_LAYERS
from trainables.training.optimizers import OPTIMIZERS
from trainables.training.schedules import SCHEDULES

DOCS = ROOT / "docs"
PAGES = {str(path.relative_to(DOCS)): path.read_text() for path in sorted(DOCS.rglob("*.md"))}
# A page that adds to the package has commands that are not there yet; tests/pages/test_extending.py runs them.
ADDING = "extending.md"
COMMAND = re.compile(r"^ +((?:python -m|sweeps) [a-z_.]+.*)$|`((?:python -m|sweeps) [a-z_.]+[^`]*)`", re.M)
COMMANDS = sorted(
    {
        " ".join((line or inline).split("#")[0].replace("…", "x").split())
        for page, text in PAGES.items()
        if page != ADDING
        for line, inline in COMMAND.findall(text.replace("\\\n", " "))
    }
)
LINKS = [(page, link) for page, text in PAGES.items() for link in re.findall(r"\]\(([^)\s]+)\)", text)]


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and mkdocs make them."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_links_live(page: str, link: str) -> None:
    if link.startswith("https://"):
        return
    path, _, anchor = link.partition("#")
    target = ((DOCS / page).parent / path if path else DOCS / page).resolve()
    if target.parent == DOCS / "reference":
        # the site makes these pages of the code, and its build looks for their anchors
        assert f" reference/{target.name}\n" in (ROOT / "mkdocs.yml").read_text()
        return
    assert target.exists()
    assert not anchor or anchor in anchors(target.read_text())


@cache
def shown_help(*words: str) -> str:
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", *words, "--help"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout


def known(module: str, words: list[str]) -> str:
    """Return the help in which a command's options stand: a job's are also those of the sweep that it runs."""
    if module == "benchmarks":
        return shown_help(module, words[0]) if words else ""
    return shown_help(module) + (shown_help("sweeps.run") if module in {"cluster.submit", "cluster.start"} else "")


@pytest.mark.parametrize("command", COMMANDS)
def test_options_of_commands_exist(command: str) -> None:
    program, *words = shlex.split(command)
    module, *words = words[1:] if program == "python" else [SHORT_NAMES[words[0]], *words[1:]]
    for word in words:
        if word.startswith("--"):
            option = re.escape(word.partition("=")[0])
            assert re.search(rf"(?<![\w-]){option}(?![\w-])", known(module, words)), word


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
