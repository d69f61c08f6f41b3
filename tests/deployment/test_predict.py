"""`python -m deployment.predict`: the same answers as the network's, images of many kinds, what is unlike training."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from deployment.export import write_exports
from deployment.formats.opening import open_artefact
from deployment.model.image_statistics import image_statistics, training_deciles, unlike_training
from deployment.predict import app
from deployment.prediction.answers import model_name
from deployment.prediction.audit_log import START, append, check
from deployment.trial_network.network import DeployedNetwork
from tests.support.deployed import drawn_network, made_data
from trainables.data.arrays import MULTI_LABEL
from trainables.errors import InputError

SIDE = 12


@pytest.fixture(scope="module")
def network() -> DeployedNetwork:
    return drawn_network(made_data((SIDE, SIDE, 3), "multi-class", 3), {"model": "cnn", "width": 4})


@pytest.fixture(scope="module")
def model(network: DeployedNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    write_exports(network, folder, ["onnx", "torchexport"])
    return folder / "model.onnx"


def command(*words: str | Path) -> tuple[int, str]:
    """Exit code and output; what the command refuses is its exception's text."""
    found = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(found.exception, InputError):
        assert "\n" not in str(found.exception)
        return 2, str(found.exception)
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found.exit_code, found.output


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_answers_are_the_networks_own(suffix: str, network: DeployedNetwork, model: Path, tmp_path: Path) -> None:
    images = network.data.splits["test"].images[:5]
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{number}.{'png' if number % 2 else 'tiff'}")
    code, text = command(model.with_suffix(suffix), tmp_path, "--json")
    rows = json.loads(text)["images"]
    assert [Path(row["image"]).stem for row in rows] == ["0", "1", "2", "3", "4"]
    found = np.array([[*row["probabilities"].values()] for row in rows])
    np.testing.assert_allclose(found, network.test.scores[:5], atol=1e-5)
    assert [row["answer"] for row in rows] == [[network.metadata.class_names[n]] for n in network.test.predicted[:5]]
    np.testing.assert_allclose([row["uncertainty"] for row in rows], network.test.uncertainty[:5], atol=1e-5)
    for row, scores in zip(rows, found, strict=True):
        inside = {name for name, score in zip(network.metadata.class_names, scores, strict=True) if score >= 0.2}
        assert set(row["prediction_set"]) == inside
    assert code == int(any(row["unlike_training"] for row in rows))


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_a_model_is_named_by_what_was_opened_and_not_by_what_stands_there_now(
    suffix: str, model: Path, tmp_path: Path
) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(model.with_suffix(suffix).read_bytes())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    artefact = open_artefact(path)
    path.write_bytes(b"another")
    assert model_name(artefact).endswith(f"file {digest[:16]}")
    # a run that is removed while it predicts
    path.unlink()
    assert model_name(artefact).endswith(f"file {digest[:16]}")


def test_a_class_with_a_comma_in_its_name_is_one_class_of_a_set(network: DeployedNetwork, tmp_path: Path) -> None:
    names = ("a, b", "c", "d")
    named = replace(network, metadata=network.metadata.model_copy(update={"class_names": names}))
    write_exports(named, tmp_path, ["onnx"])
    np.savez(tmp_path / "some.npz", images=network.data.splits["test"].images[:5])
    _, text = command(tmp_path / "model.onnx", tmp_path / "some.npz")
    assert "a, b; c" in text


def test_arrays_and_other_sizes_and_modes_are_read(network: DeployedNetwork, model: Path, tmp_path: Path) -> None:
    images = network.data.splits["test"].images[:3]
    np.savez(tmp_path / "some.npz", images=images)
    Image.fromarray(images[0]).resize((30, 20)).save(tmp_path / "wide.jpg")
    Image.fromarray(images[0, ..., 0]).save(tmp_path / "grey.png")
    Image.fromarray(images[0, ..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    _, text = command(model, tmp_path / "some.npz", tmp_path / "wide.jpg", tmp_path / "grey.png", tmp_path / "deep.png",
                      "--json")  # fmt: skip
    rows = json.loads(text)["images"]
    assert not any(row["fault"] for row in rows)
    assert len(rows) == 6
    found = [[*row["probabilities"].values()] for row in rows[:3]]
    np.testing.assert_allclose(found, network.test.scores[:3], atol=1e-5)


def test_what_cannot_be_read_is_named_and_the_rest_is_answered(
    model: Path, network: DeployedNetwork, tmp_path: Path
) -> None:
    Image.fromarray(network.data.splits["train"].images[0]).save(tmp_path / "good.png")
    whole = (tmp_path / "good.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "none.png").symlink_to(tmp_path / "nowhere")
    np.savez(tmp_path / "other.npz", pictures=np.zeros((2, SIDE, SIDE, 3), np.uint8))
    np.savez(tmp_path / "shape.npz", images=np.zeros((2, 5, 5, 3), np.uint8))
    np.savez(tmp_path / "pickle.npz", images=np.array([{}], dtype=object))
    names = ["good.png", "cut.png", "text.png", "none.png", "other.npz", "shape.npz", "pickle.npz", "absent.png"]
    code, text = command(model, *(tmp_path / name for name in names), "--json")
    rows = {Path(row["image"]).name: row for row in json.loads(text)["images"]}
    assert code == 1
    assert [name for name in names if rows[name]["fault"]] == names[1:]
    assert rows["good.png"]["answer"]
    assert not rows["good.png"]["unlike_training"]
    assert rows["cut.png"]["probabilities"] is None
    assert "no array 'images'" in rows["other.npz"]["fault"]
    assert "takes uint8 images" in rows["shape.npz"]["fault"]


def test_an_image_unlike_all_of_training_is_said_with_the_reason(model: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((SIDE, SIDE, 3), 255, np.uint8)).save(tmp_path / "white.png")
    Image.fromarray(np.full((3, 3, 3), 120, np.uint8)).save(tmp_path / "tiny.png")
    code, text = command(model, tmp_path / "white.png", tmp_path / "tiny.png", "--json")
    assert code == 1
    white, tiny = (row["unlike_training"] for row in json.loads(text)["images"])
    assert any(reason.startswith("brightness 255.0 is outside of ") for reason in white)
    assert "it has 9 pixels and was enlarged to 144" in tiny
    assert "unlike the training" in " ".join(command(model, tmp_path / "tiny.png")[1].split())


def test_statistics_are_plain_and_training_lies_in_its_own_ranges(network: DeployedNetwork) -> None:
    images = network.data.splits["train"].images
    found = image_statistics(images)
    np.testing.assert_allclose(found["brightness"][3], images[3].mean())
    np.testing.assert_allclose(found["contrast"][3], images[3].std())
    steps = np.abs(images[3, :, 1:].astype(int) - images[3, :, :-1]).mean()
    np.testing.assert_allclose(found["roughness"][3], steps)
    np.testing.assert_allclose(training_deciles(images)["contrast"], np.quantile(found["contrast"], np.arange(11) / 10))
    ranges = network.metadata.training_ranges
    assert not any(unlike_training(image, ranges) for image in images)


def test_volumes_and_labels_are_predicted(tmp_path: Path) -> None:
    volumes = drawn_network(made_data((6, 6, 6, 1), MULTI_LABEL, 3), {"model": "cnn3d", "width": 2, "depth": 1}, "raw")
    write_exports(volumes, tmp_path, ["onnx"])
    np.savez(tmp_path / "v.npz", images=volumes.data.splits["test"].images[:4])
    _, text = command(tmp_path / "model.onnx", tmp_path / "v.npz", "--json")
    rows = json.loads(text)["images"]
    named = [[name for name, there in zip(volumes.metadata.class_names, row, strict=True) if there]
             for row in volumes.test.predicted[:4]]  # fmt: skip
    assert [row["answer"] for row in rows] == named


def test_the_csv_holds_every_answer_and_no_formula(model: Path, network: DeployedNetwork, tmp_path: Path) -> None:
    name = tmp_path / "=1+1.png"
    Image.fromarray(network.data.splits["train"].images[0]).save(name)
    command(model, name, tmp_path / "absent.png", "--csv", tmp_path / "out.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert len(rows) == 2
    assert sum(float(rows[0][f"probability of class {n}"]) for n in range(3)) == pytest.approx(1, abs=1e-5)
    assert rows[1]["fault"] == "No such file or directory"
    assert not any(value.startswith(("=", "+", "@")) for row in rows for value in row.values())


def test_the_log_is_chained_and_every_change_shows(model: Path, network: DeployedNetwork, tmp_path: Path) -> None:
    image, log = tmp_path / "a.png", tmp_path / "audit.jsonl"
    Image.fromarray(network.data.splits["train"].images[0]).save(image)
    for _ in range(3):
        command(model, image, "--audit", log)
    lines = log.read_text().splitlines()
    assert [json.loads(line)["previous"] for line in lines] == [
        START,
        *(json.loads(line)["hash"] for line in lines[:2]),
    ]
    assert check(log) == json.loads(lines[-1])["hash"]
    assert json.loads(lines[0])["answer"]
    for change in (
        lines[:1] + lines[2:],
        [lines[1], lines[0], lines[2]],
        [lines[0].replace("class", "klass", 1), *lines[1:]],
    ):
        log.write_text("\n".join(change) + "\n")
        with pytest.raises(InputError, match="was changed at line"):
            check(log)
        assert "was changed" in command(model, image, "--audit", log)[1]
        assert log.read_text() == "\n".join(change) + "\n"
    log.write_text("\n".join(lines))
    with pytest.raises(InputError, match="line 3"):
        append(log, [{"x": 1}])


@pytest.mark.parametrize(
    ("words", "said"),
    [(["absent.onnx", "a.png"], "cannot be read"), (["a.torchscript.pt", "a.png"], "no model file"),
     (["none@production", "a.png"], "there is no registry"), (["none", "a.png"], "no run 'none'"),
     (["none", "a.png"], "yet; a registered model is named NAME@VERSION or NAME@ALIAS"),
     (["none", "a.png", "--registry", "sqlite:///x.db"], "is named NAME@VERSION")],
)  # fmt: skip
def test_a_model_that_is_not_there_gets_one_line(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, text = command(*words)
    assert code == 2
    assert said in text


def test_an_array_without_an_image_is_no_answer(network: DeployedNetwork, model: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "none.npz", images=network.data.splits["test"].images[:0])
    code, text = command(model, tmp_path / "none.npz", "--json")
    (row,) = json.loads(text)["images"]
    assert (code, row["fault"]) == (1, "its array 'images' holds no image")


@pytest.mark.parametrize("option", ["--csv", "--explain", "--audit"])
@pytest.mark.parametrize("place", ["folder", "file/below", "pipe"])
def test_a_place_that_cannot_be_written_is_said_before_anything_is_logged(
    option: str, place: str, network: DeployedNetwork, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("kept")
    os.mkfifo(tmp_path / "pipe")
    if (option, place) == ("--explain", "folder"):
        place = "file"
    np.savez(tmp_path / "one.npz", images=network.data.splits["test"].images[:1])
    log = [] if option == "--audit" else ["--audit", tmp_path / "log"]
    code, text = command(model, tmp_path / "one.npz", *log, option, tmp_path / place)
    assert code == 2
    assert f"{place} cannot be written" in text
    assert not (tmp_path / "log").exists()
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc here")
def test_answers_take_the_place_of_nothing_that_is_read_or_logged(model: Path, tmp_path: Path) -> None:
    scan = tmp_path / "scan.png"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(scan)
    (tmp_path / "link.png").symlink_to("scan.png")
    before = scan.read_bytes()
    for place in (scan, tmp_path / "link.png", model, tmp_path / "new" / "log"):
        code, said = command(model, scan, "--csv", place, "--audit", tmp_path / "new" / "log")
        assert (code, "would take" in said) == (2, True), said
    assert scan.read_bytes() == before
    assert not (tmp_path / "new").exists()


def test_a_place_where_no_file_can_be_made_is_not_waited_for() -> None:
    # where a new file is not found, a lock waits until there is one
    with pytest.raises(InputError, match="/proc/log cannot be written"):
        append(Path("/proc/log"), [{"image": "a"}])


def test_a_folder_without_images_gets_one_line(model: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    assert "holds no image file" in command(model, tmp_path)[1]
