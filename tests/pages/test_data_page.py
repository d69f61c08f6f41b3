"""docs/data.md: its names of datasets are read, on files made as it describes them; its table has every option."""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.support.generated_data import write_images
from tests.support.medical_files import write_series
from trainables.data.dataset_names import TableOptions
from trainables.data.datasets import HOW_TO_NAME, load

PAGE = (ROOT / "docs" / "data.md").read_text().replace("\\\n", " ")
COMMANDS = [shlex.split(line) for line in re.findall(r"^    (python -m [a-z_.]+ .*)$", PAGE, re.M)]
NAMES = [words[words.index(option) + 1] for words in COMMANDS for option in ("--dataset", "--check") if option in words]
CODE = dict(re.findall(r'^```python title="([^"]+)"\n(.*?)^```$', PAGE, re.M | re.S))


def write(path: Path, header: str, rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all files that the page names."""
    folder, rng = tmp_path_factory.mktemp("page"), np.random.default_rng(0)
    for name, text in CODE.items():
        (folder / name).write_text(text)
    write_images(folder / "PATH", {"ill": 30, "well": 30})
    for path in (folder / "PATH").rglob("*.png"):
        path.rename(path.with_name(f"patient{path.name[-6:-4]}_{path.name}"))
    write_images(folder / "images", {"ill": 30, "well": 30})
    images = sorted(path.relative_to(folder / "images").as_posix() for path in (folder / "images").rglob("*.png"))
    folds = ["train", "train", "train", "val", "test"]
    rows = [(path, path.split("/")[0], folds[n // 3 % 5], f"p{n // 3}") for n, path in enumerate(images)]
    write(folder / "train.csv", "path,dx,fold,patient_id", rows)
    findings = [(f"images/{path}", n % 2, n // 2 % 2) for n, path in enumerate(images)]
    texts = ["|".join(np.array(["edema", "mass"])[[bool(a), bool(b)]]) for _, a, b in findings]
    write(
        folder / "findings.csv", "path,edema,mass,findings", [(*row, t) for row, t in zip(findings, texts, strict=True)]
    )
    volumes = rng.integers(-500, 500, (20, 4, 5, 5)).astype(np.int16)
    for number, values in enumerate(volumes):
        write_series(folder / f"ct{number}", values, SeriesInstanceUID=f"1.2.{number + 1}")
    write(folder / "ct.csv", "path,dx", [(f"ct{n}", "ab"[n % 2]) for n in range(20)])
    slices = [(f"ct{n}/{p.name}", "ab"[n % 2], n) for n in range(20) for p in sorted((folder / f"ct{n}").iterdir())]
    write(folder / "slices.csv", "path,dx,scan", slices)
    labels = np.array(["none", "mild", "severe"] * 20)
    np.savez(folder / "ct.npz", images=rng.integers(-500, 500, (60, 6, 6, 6)).astype(np.int16), labels=labels)
    np.savez(folder / "scans.npz", images=rng.integers(0, 256, (60, 8, 8), np.uint8), labels=labels)
    return folder


@pytest.mark.parametrize("name", sorted(set(NAMES)))
def test_every_name_on_the_page_is_read(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    data = load(name, 8)
    assert set(data.splits) == {"train", "val", "test"}
    assert data.info.shape[0] == 8


def test_every_kind_of_name_has_an_example() -> None:
    kinds = {name.partition(":")[0] for name in NAMES}
    assert kinds == {"folder", "npz", "csv", "my_data.py"}
    for how in HOW_TO_NAME:
        assert f"`{how}`" in PAGE


def test_every_option_of_a_table_is_on_the_page() -> None:
    for field in fields(TableOptions):
        if field.name not in ("path", "skip_unreadable"):
            assert f"`{field.name}=" in PAGE, field.name
