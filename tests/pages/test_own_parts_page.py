"""docs/own_parts.md: its files are written, its commands planned, its measure taken, its tables read by all readers."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from analysis import table
from analysis.measures import MEASURES
from analysis.weights import own_measures
from analysis.weights.measure_run import choose
from cluster.check_command import parse
from sweeps.planning.plan import make_plan
from tests.conftest import ROOT
from trainables.user_code.in_use import forget_sources
from trainables.user_code.part_names import PARTS

PAGE = (ROOT / "docs" / "own_parts.md").read_text().replace("\\\n", " ")
COMMANDS = [shlex.split(line)[2:] for line in re.findall(r"^    (python -m [a-z_.]+ .*)$", PAGE, re.M)]
RUNS = [words[1:] for words in COMMANDS if words[0] == "sweeps.run"]
CODE = dict(re.findall(r'^```python title="([^"]+)"\n(.*?)^```$', PAGE, re.M | re.S))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield the working directory: a folder with the page's files."""
    folder, before = tmp_path_factory.mktemp("page"), Path.cwd()
    for name, text in CODE.items():
        (folder / name).write_text(text)
    os.chdir(folder)
    forget_sources()
    yield folder
    os.chdir(before)


@pytest.mark.parametrize("words", RUNS, ids=" ".join)
def test_every_sweep_on_the_page_can_be_planned(words: list[str], folder: Path) -> None:
    if any("timm:" in word for word in words):
        pytest.importorskip("timm")
    _, sweep, _ = parse([*words, "--dataset", "digits"]).definition()
    plan = make_plan(sweep, None, datetime.now())
    given = [word.partition("=")[0] for word in words if "." in word.partition("=")[0]]
    for name in given:
        assert any(getattr(trial.config, name, None) is not None for trial in plan.trials)


def test_every_kind_of_part_is_planned_somewhere_on_the_page() -> None:
    text = " ".join(word for words in RUNS for word in words)
    for field in PARTS:
        assert re.search(rf"{field}=\S*my_\w+\.py:\w+", text), field


def test_the_measure_on_the_page_is_known(folder: Path) -> None:
    (words,) = (words for words in COMMANDS if words[0] == "analysis.complexity")
    before: dict[str, Any] = dict(MEASURES)
    try:
        assert choose(words[words.index("--measures") + 1]) == ["alpha", "gini"]
    finally:
        for name in set(MEASURES) - set(before):
            del MEASURES[name]
        own_measures._OWN.clear()
        table.columns.cache_clear()
