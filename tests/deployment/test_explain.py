"""`deployment.predict --explain`: maps of a run's network and of a file alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from analysis.explanation.saliency import METHODS
from analysis.runs.run_folder import RunFolder
from analysis.trial_evaluation.select_trials import choose_trials
from deployment.export import app as export
from deployment.predict import app as predict
from deployment.prediction.saliency import occlusion_maps, windows_of
from tests.support.trained_run import train_run
from trainables.data.datasets import load
from trainables.errors import InputError


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run with a small CNN, exported."""
    folder = tmp_path_factory.mktemp("results") / "activations" / "made"
    config = {"dataset": "digits", "model": "cnn", "width": 4, "depth": 1, "epochs": 1, "seeds": (0,)}
    made = train_run(folder, load("digits"), [config])
    found = CliRunner().invoke(export, [str(made.path), "--trial", "0001"])
    assert found.exit_code == 0, found.output
    return made


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number, image in enumerate(load("digits").splits["test"].images[:2]):
        Image.fromarray(image.squeeze()).save(folder / f"scan {number}.png")
    (folder / "bad.png").write_text("x")
    return folder


def rows_of(*words: str | Path) -> list[dict[str, object]]:
    found = CliRunner().invoke(predict, [*map(str, words), "--json"])
    assert isinstance(found.exception, SystemExit | None), found.exception
    return json.loads(found.output)["images"]


def test_a_runs_network_is_explained_by_its_gradients(run: RunFolder, pictures: Path, tmp_path: Path) -> None:
    rows = rows_of(run.path, pictures, "--trial", "0001", "--explain", tmp_path / "maps")
    assert [row["explanation"]["method"] for row in rows[1:]] == ["Grad-CAM"] * 2  # type: ignore[index]
    assert "explanation" not in rows[0]
    files = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert files == ["0000_scan_0.png", "0001_scan_1.png"]
    with Image.open(tmp_path / "maps" / files[0]) as picture:
        assert min(picture.size) > 200


def test_a_file_alone_is_explained_by_occlusion(run: RunFolder, pictures: Path, tmp_path: Path) -> None:
    model = run.deployment_of("0001").model(".onnx")
    rows = rows_of(model, pictures, "--explain", tmp_path / "maps")
    assert rows[1]["explanation"]["method"].startswith("occlusion")  # type: ignore[index]


def test_maps_are_those_of_the_explanation(run: RunFolder, tmp_path: Path) -> None:
    from deployment.formats.opening import open_artefact
    from deployment.prediction.saliency import explain

    (chosen,) = choose_trials(run, "0001")
    artefact = open_artefact(run.deployment_of("0001").model(".onnx"))
    pixels = load("digits").splits["test"].images[:3]
    scores = artefact.predict(pixels)
    _, maps = explain(artefact, chosen, pixels, scores)
    inputs, classes = torch.from_numpy(artefact.metadata.as_input(pixels)), torch.from_numpy(scores.argmax(axis=1))
    expected = METHODS["gradcam"].function(chosen.load().model.eval(), inputs, classes)
    np.testing.assert_allclose(maps, expected, atol=1e-6)


def test_occlusion_finds_the_only_place_that_counts() -> None:
    """The class's probability is the brightness of one corner: the map is highest there, and zero far away."""
    pixels = np.full((1, 28, 28, 1), 50, np.uint8)
    pixels[0, :4, :4] = 250

    def predict(images: np.ndarray) -> np.ndarray:
        corner = images[:, :4, :4].mean(axis=(1, 2, 3)) / 255
        return np.stack([1 - corner, corner], axis=1)

    (found,) = occlusion_maps(predict, pixels, np.array([1]))
    assert found.argmax() == 0
    assert found[0, 0] == pytest.approx((250 - round(pixels.mean())) / 255)
    assert np.abs(found[8:, 8:]).max() == 0


@pytest.mark.parametrize("sides", [(28, 28), (5, 9), (1, 28), (8, 8, 8)])
def test_windows_cover_an_image(sides: tuple[int, ...]) -> None:
    seen = np.zeros(sides)
    for window in windows_of(sides):
        seen[window] += 1
    assert seen.min() >= 1


def test_trust_without_an_explanation_is_refused(run: RunFolder) -> None:
    found = CliRunner().invoke(predict, [str(run.path), "a.png", "--trust-code"])
    assert isinstance(found.exception, InputError)
    assert "has no effect" in str(found.exception)
