"""Options that would have no effect, bad numbers and files that may not be had: one line, in all commands."""

from __future__ import annotations

import hashlib
import importlib
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from analysis.runs import find as find_module
from search_spaces.definition import Sweep
from sweeps.list import LISTS, LONGEST_WORD, _print_rows
from sweeps.planning.command import Command
from sweeps.planning.settings import Settings
from sweeps.run_sweep import run
from sweeps.screen.fields import REGISTRY_LISTS, fields
from tests.conftest import ROOT
from trainables.config import TrialConfig
from trainables.data.datasets import load
from trainables.data.downloads import FilePolicy, check_md5, file_policy
from trainables.errors import InputError
from trainables.registries import REGISTRIES


def invoke(module: str, *words: str) -> Any:
    """Run a command of ours in this process; bad input is raised."""
    return importlib.import_module(module).app(args=list(words), standalone_mode=False)


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ("analysis.complexity FILE --every 3", "--every"),
        ("analysis.complexity FILE --again", "--again"),
        ("analysis.complexity FILE --workers 4", "--workers"),
        ("analysis.complexity FILE --on-data", "--on-data"),
        ("analysis.complexity FILE --storage here", "--storage"),
        ("analysis.complexity latest --data-root here", "--data-root"),
        ("analysis.complexity latest --measures alpha --definition reference", "--measures"),
        ("sweeps.list models --storage here", "--storage"),
        ("sweeps.list models --data-root here", "--data-root"),
        ("sweeps.list datasets --channels 3", "--channels"),
        ("sweeps.list datasets --classes 7", "--classes"),
        ("sweeps.list datasets --image-size 64", "--image-size"),
        ("sweeps.list runs --plot a.png", "--plot"),
        ("sweeps.list --storage here", "--storage"),
        ("sweeps.show latest --json --watch", "--json"),
        ("sweeps.pull s3://bucket/a --storage s3://bucket", "--storage"),
        ("cluster.doctor --nodes 3", "--nodes"),
        ("cluster.doctor --timeout 3", "--timeout"),
        ("cluster.monitor --once --interval 2", "--interval"),
        ("cluster.submit --list --follow", "--follow"),
        ("deployment.predict model.onnx scan.png --trial 0003", "--trial"),
        ("deployment.predict model.pt2 scan.png --storage here", "--storage"),
        ("deployment.predict breast@production scan.png --trial 0003", "--trial"),
        ("deployment.predict latest scan.png --registry sqlite:///nowhere/a.db", "--registry"),
        ("deployment.serve model.onnx --registry sqlite:///nowhere/a.db", "--registry"),
        ("deployment.serve breast@1.0.0 --registry sqlite:///nowhere/a.db --storage here", "--storage"),
        ("cluster.submit --stop JOB --json", "--json"),
    ],
)
def test_an_option_without_effect_is_refused(words: str, option: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    file.touch()
    module, *rest = words.replace("FILE", str(file)).split()
    with pytest.raises(InputError, match=f"{option}.*(leave|draws)"):
        invoke(module, *rest)


OLD = ROOT / "tests" / "support" / "runs_of_0_1_0"


OF_ONE = (
    "sweeps.show",
    "sweeps.clean",
    "sweeps.track",
    "deployment.export",
    "deployment.quantize",
    "deployment.predict",
)
OF_SEVERAL = tuple(f"analysis.{name}" for name in ("compare", "report", "evaluate", "explain", "complexity", "scalars"))


@pytest.mark.parametrize(
    ("module", "place"),
    [(module, OLD / "smoke" / "finished") for module in (*OF_ONE, *OF_SEVERAL)]
    + [(module, place) for module in OF_SEVERAL for place in (OLD, OLD / "smoke")],
)
def test_a_storage_beside_the_path_of_a_run_is_refused(module: str, place: Path, tmp_path: Path) -> None:
    needed = {"analysis.report": ["--output", str(tmp_path / "page.html")], "deployment.predict": ["scan.png"]}
    more = needed.get(module, [])
    with pytest.raises(InputError, match="--storage has no effect"):
        invoke(module, str(place), "--storage", str(tmp_path), *more)
    assert not list(tmp_path.iterdir())


def test_no_folder_is_looked_through_for_a_storage_that_was_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find_module, "_any_run_inside", lambda name: pytest.fail("all of / would be looked through"))
    with pytest.raises(InputError, match="no run '/'"):
        invoke("sweeps.show", "/")


def test_a_storage_beside_the_name_of_a_run_is_where_it_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"no run 'finished' in {tmp_path}"):
        invoke("analysis.compare", "finished", "--storage", str(tmp_path))
    invoke("analysis.compare", "finished", "--storage", str(OLD))


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"name": "../x"}, "name=../x"),
        ({"name": "latest"}, "latest"),
        ({"time_budget": "soon"}, "time_budget=soon"),
        ({"max_concurrent": 0}, "max_concurrent=0"),
        ({"max_errors": float("inf")}, "max_errors=inf"),
        ({"storage": ""}, "storage=.*empty"),
        ({"trust": ("a",)}, "NAME=32 hexadecimal digits"),
        ({"nosuch": 1}, "nosuch=1"),
        ({"track_files": "weights"}, "--track-files is for --track"),
    ],
)
@pytest.mark.parametrize("model", [Settings, Command])
def test_settings_from_python_are_refused_in_one_line(
    values: dict[str, Any], complaint: str, model: type[Settings]
) -> None:
    more = {"sweep": "activations"} if model is Command else {}
    with pytest.raises(InputError, match=complaint) as raised:
        model(**more, **values)
    assert "\n" not in str(raised.value)


def test_a_run_from_python_retries_nothing_and_says_so() -> None:
    sweep = Sweep(question="?", scientific={"activation": "relu"}, fixed={"dataset": "digits", "model": "mlp"})
    with pytest.raises(InputError, match="retry_failed goes on with a run"):
        run(sweep, settings=Settings(retry_failed=True, time_budget=1))


def test_every_field_says_what_it_may_be() -> None:
    rows = fields()
    assert [row["field"] for row in rows] == list(TrialConfig.model_fields)
    assert all(row["values"] and row["default"] and row["what"] for row in rows)
    shown = {row["field"]: row["values"] for row in rows}
    assert shown["epochs"] == "whole number, at least 1, at most 1,000,000"
    assert shown["sampling"] == "shuffle balanced"
    assert shown["clip_norm"] == "number, above 0, or none"
    assert shown["loss"] == "see sweeps.list losses, or your own: FILE.py:NAME"
    assert set(REGISTRY_LISTS.values()) == set(REGISTRIES)


@pytest.mark.parametrize("name", [*REGISTRY_LISTS, "fields", "augmentations", "schedulers", "searchers", "metrics"])
def test_every_entry_of_a_list_says_what_it_is(name: str) -> None:
    for row in LISTS[name]():
        assert row.get("what"), row


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_list_breaks_no_word_and_says_which_columns_it_leaves_out(width: int) -> None:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    for name in (*REGISTRY_LISTS, "fields", "datasets", "sweeps", "measures", "metrics"):
        rows = LISTS[name]()
        console.file = io.StringIO()
        _print_rows(console, rows)
        text = console.file.getvalue()
        assert max(map(len, text.splitlines())) <= width or "left out" in text.splitlines()[-1]
        left_out = text.partition("left out for want of width: ")[2].partition(";")[0].split(", ")
        words = " ".join(value for row in rows for column, value in row.items() if column not in left_out).split()
        assert {word for word in words if len(word) <= LONGEST_WORD} <= set(text.split()), name


@pytest.mark.parametrize("sweep", ["activations", "activations_on_pneumonia_2026"])
def test_the_list_of_runs_breaks_no_name_and_no_value_at_80_columns(sweep: str) -> None:
    row = {"sweep": sweep, "run": "20261127-103501-smart-cloud-twice", "state": "interrupted", "trials": "48/48",
           "best": "val_auc 0.9998", "age": "6 h", "size": "23 MB"}  # fmt: skip
    console = Console(file=io.StringIO(), width=80, color_system=None)
    _print_rows(console, [row, {**row, "run": "first", "state": "damaged: the ledger cannot be read"}])
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    # Rich shares out the room that is left in its own way in each version
    assert lines[1].split()[:2] == [sweep, row["run"]]
    assert max(map(len, lines)) <= 80
    left_out = lines[-1].partition("left out for want of width: ")[2].partition(";")[0].split(", ")
    for column in set(row) - set(left_out) - {"state"}:
        assert row[column] in lines[1]


def test_a_file_that_is_trusted_is_taken_by_its_name_and_digest(tmp_path: Path) -> None:
    file = tmp_path / "breastmnist.npz"
    file.write_bytes(b"another")
    digest = hashlib.md5(b"another").hexdigest()
    with pytest.raises(InputError, match=f"--trust {file.name}={digest}"):
        check_md5(file, "0" * 32)
    with file_policy(FilePolicy(trusted=(f"{file.name}={digest}",))):
        assert check_md5(file, "0" * 32) == digest
    with pytest.raises(InputError, match="published file"), file_policy(FilePolicy(trusted=(f"other.npz={digest}",))):
        check_md5(file, "0" * 32)
    for published, trusted in ((digest, f"{file.name}={digest}"), (digest, f"other.npz={digest}")):
        with (
            pytest.raises(InputError, match=f"--trust {trusted} has no effect"),
            file_policy(FilePolicy(trusted=(trusted,))),
        ):
            check_md5(file, published)
    with pytest.raises(InputError):
        check_md5(file, "0" * 32)


def test_a_trusted_file_is_no_published_one_in_the_cache(data_root: Path, tmp_path: Path) -> None:
    published, packed_anew = data_root / "medmnist" / "breastmnist.npz", tmp_path / "breastmnist.npz"
    with zipfile.ZipFile(published) as old, zipfile.ZipFile(packed_anew, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    digest = hashlib.md5((tmp_path / "breastmnist.npz").read_bytes()).hexdigest()
    with pytest.raises(InputError, match="--trust"):
        load("breastmnist", None, tmp_path)
    with file_policy(FilePolicy(trusted=(f"breastmnist.npz={digest}",))):
        trusted = load("breastmnist", None, tmp_path)
    assert trusted.digest == load("breastmnist", None, data_root).digest
    with pytest.raises(InputError, match="--trust"):
        load("breastmnist", None, tmp_path)


@pytest.mark.parametrize("dataset", ["bloodmnist", "fashionmnist"])
def test_a_dry_run_downloads_nothing(dataset: str, tmp_path: Path) -> None:
    with file_policy(FilePolicy(download=False)), pytest.raises(InputError, match="--dry-run downloads nothing"):
        load(dataset, None, tmp_path)
    assert not list(tmp_path.iterdir())
