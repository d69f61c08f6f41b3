"""`python -m analysis.explain` on a run that was really trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from analysis.explain import app
from analysis.runs.run_folder import RunFolder
from tests.support.trained_run import train_run
from trainables.data.datasets import load
from trainables.errors import InputError

CONFIG = {"dataset": "digits", "model": "cnn", "width": 4, "depth": 2, "epochs": 1, "lr": 0.02, "seeds": (0, 1)}
PICTURES = {"saliency_gradcam.png", "faithfulness.png", "embedding_pca.png", "nearest_training_images.png",
            "first_filters.png", "feature_maps.png", "explain.json"}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return train_run(tmp_path_factory.mktemp("results") / "activations" / "made", load("digits"), [CONFIG])


def test_every_picture_carries_its_verdict_and_the_document_the_figures(run: RunFolder) -> None:
    found = CliRunner().invoke(app, [str(run.path), "--samples", "1"])
    assert found.exit_code == 0, found.exception
    (folder,) = run.path.glob("evaluation/0001/explain")
    assert {path.name for path in folder.iterdir()} >= PICTURES
    document = json.loads((folder / "explain.json").read_text())
    assert document["verdict"].split(":")[0] in ("no explanation", "stands the tests")
    assert f"verdict: {document['verdict']}"[:60] in found.output.replace("\n", " ")
    assert document["layer"].endswith("(ReLU, 4×4 positions)")
    assert 0 <= document["faithfulness"]["deletion"] <= 1
    assert len({one["number"] for one in document["shown"]}) == len(document["shown"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--method", "gradcan"], "did you mean 'gradcam'"),
        (["--method", "attention"], "no attention with a class token"),
        (["--class", "eleven"], "unknown class"),
        (["--split", "tset"], "did you mean 'test'"),
        (["--trial", "all"], "one trial is explained at a time"),
    ],
)
def test_bad_input_gets_one_line(run: RunFolder, words: list[str], said: str) -> None:
    found = CliRunner().invoke(app, [str(run.path), *words])
    assert isinstance(found.exception, InputError)
    assert said in str(found.exception)
    assert "\n" not in str(found.exception)
    assert Path(run.path).is_dir()
