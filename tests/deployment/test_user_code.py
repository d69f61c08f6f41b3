"""A user's own network in the commands of deployment: its code runs where it is what it was, or by --trust-code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from analysis import table
from analysis.runs.run_folder import RunFolder
from deployment.export import app as export
from deployment.predict import app as predict
from deployment.quantize import app as quantize
from deployment.register import app as register
from tests.support.own_parts import write_parts
from tests.support.trained_run import train_run
from trainables.data.datasets import load
from trainables.errors import InputError
from trainables.parts.planned import planned_config
from trainables.user_code import permission
from trainables.user_code.in_use import forget_sources, save_sources, sources_in_use
from trainables.user_code.permission import describe_sources

CONFIG = {"dataset": "digits", "model": "my_net.py:MyNet", "epochs": 1, "seeds": (0,)}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run of a network that a user brought, which has been changed since."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(permission, "_TRUSTED", [])
    write_parts(tmp_path)
    forget_sources()
    made = train_run(tmp_path / "results/activations/made", load("digits"), [planned_config(CONFIG).model_dump()])
    sources = sources_in_use()
    save_sources(made.code, sources)
    about = {"sweep": "activations", "roles": {}, "metric": "val_auc", "mode": "max", "code": describe_sources(sources)}
    made.description.write_text(json.dumps(about))
    (made.evaluation_of("0001").path).mkdir(parents=True)
    made.evaluation_of("0001").metrics.write_text(json.dumps({"figures": {}}))
    made.evaluation_of("0001").gate.write_text(json.dumps({"verdict": "pass"}))
    forget_sources()
    net = tmp_path / "my_net.py"
    net.write_text(net.read_text() + "\nopen('was_run', 'w').close()\n")
    return made


@pytest.mark.parametrize(
    ("app", "words"),
    [
        (export, []),
        (quantize, ["--mode", "dynamic"]),
        (register, ["--name", "mine", "--version", "1.0.0"]),
    ],
)
def test_changed_code_runs_in_no_command_and_the_copy_of_the_run_by_trust_alone(
    app: typer.Typer, words: list[str], run: RunFolder
) -> None:
    found = CliRunner().invoke(app, [str(run.path), "--trial", "0001", *words])
    assert isinstance(found.exception, InputError), found.output
    assert "--trust-code" in str(found.exception)
    trusted = CliRunner().invoke(app, [str(run.path), "--trial", "0001", *words, "--trust-code"])
    if app is register:
        # What this evaluation says is of no weights at all.
        assert "of other weights" in str(trusted.exception)
    else:
        assert trusted.exit_code == 0, trusted.exception
    assert not Path("was_run").exists()


def test_a_file_needs_no_code_and_its_explanation_does(run: RunFolder, tmp_path: Path) -> None:
    assert CliRunner().invoke(export, [str(run.path), "--trial", "0001", "--trust-code"]).exit_code == 0
    forget_sources()
    permission._TRUSTED.clear()
    Image.fromarray(np.asarray(load("digits").splits["test"].images[0]).squeeze()).save(tmp_path / "a.png")
    words = [str(run.path), "a.png", "--trial", "0001"]
    assert CliRunner().invoke(predict, words).exit_code in (0, 1)
    refused = CliRunner().invoke(predict, [*words, "--explain", "maps"])
    assert "--trust-code" in str(refused.exception)
    assert CliRunner().invoke(predict, [*words, "--explain", "maps", "--trust-code"]).exit_code in (0, 1)
    assert len(list(Path("maps").iterdir())) == 1
    assert not Path("was_run").exists()


def test_quantised_files_are_rows_of_a_table_of_the_run(run: RunFolder) -> None:
    common = [str(run.path), "--trial", "all", "--trust-code"]
    for mode in ("dynamic", "static"):
        assert CliRunner().invoke(quantize, [*common, "--mode", mode]).exit_code == 0
    rows = table.read_arrow(run.path, "quantization").to_pylist()
    assert [row["file"] for row in rows] == ["dynamic", "float32", "static"]
    report = json.loads(run.deployment_of("0001").quantization_report.read_text())["files"]
    found = {row["file"]: row for row in rows}
    (static,) = [each for each in report if each["name"] == "static"]
    assert found["static"]["bytes"] == static["bytes"]
    assert found["static"]["test_acc"] == static["acc"]["value"]
    assert found["dynamic"]["bytes"] == run.deployment_of("0001").model(".onnx", "model_dynamic").stat().st_size
    assert found["float32"]["agreement"] == 1
    assert found["static"]["test_auc_low"] <= found["static"]["test_auc"] <= found["static"]["test_auc_high"]
    schema = table.read_arrow(run.path, "quantization").schema
    meanings = [field.metadata[b"meaning"] for field in schema]
    assert all(meanings)
