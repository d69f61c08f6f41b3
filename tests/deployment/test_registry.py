"""The registry: what is refused, what a version carries, aliases with their history, and the card."""

from __future__ import annotations

import json
import os
import pickle
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from analysis.evaluate import app as evaluate
from analysis.runs.run_folder import RunFolder
from deployment.formats.opening import open_artefact
from deployment.predict import app as predict
from deployment.prediction.resolve_model import find_model
from deployment.register import app as register
from deployment.registration.client import shown
from deployment.registration.model_card import licence_of
from deployment.registration.opening import Registry, open_registry
from deployment.registration.registry_store import (
    SEMANTIC,
    _first_of_its_version,
    files_of,
    find_version,
    promote,
    rollback,
    versions_of,
)
from deployment.registry import app as registry
from deployment.serve import app as serve
from tests.support.trained_run import train_run
from trainables.data.datasets import load
from trainables.errors import InputError

mlflow = pytest.importorskip("mlflow")
LAX = "accuracy: 0.05\nrecall: 0.0\npositive: []\nlatency_p95: 60.0\nimbalance: 100.0\ncalibration_error: 0.99\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run with two trials: the gate of the first passed, that of the second did not."""
    folder = tmp_path_factory.mktemp("results")
    config = {"dataset": "digits", "model": "mlp", "hidden_dims": (16,), "epochs": 3, "lr": 0.01, "seeds": (0, 1)}
    made = train_run(
        folder / "activations" / "made", load("digits"), [{**config, "activation": a} for a in ("relu", "tanh")]
    )
    (folder / "lax.yaml").write_text(LAX)
    (folder / "strict.yaml").write_text(LAX.replace("accuracy: 0.05", "accuracy: 0.999"))
    for trial, gate in (("0001", "lax"), ("0002", "strict")):
        words = [str(made.path), "--trial", trial, "--gate", str(folder / f"{gate}.yaml"), "--no-figures"]
        CliRunner().invoke(evaluate, words)
    return made


def command(app: object, run: RunFolder, *words: str) -> tuple[int, str]:
    """Exit code and output; what a command refuses is its exception's text."""
    storage = str(run.path.parents[1])
    # wide: a long path of a folder of temporary files would break lines
    found = CliRunner(env={"COLUMNS": "300"}).invoke(app, [*words, "--storage", storage])  # type: ignore[arg-type]
    if isinstance(found.exception, InputError):
        assert "\n" not in str(found.exception)
        return 2, str(found.exception)
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found.exit_code, found.output


def test_versions_are_registered_promoted_and_rolled_back(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []
    create = mlflow.MlflowClient.create_model_version

    def noted(client: object, *words: object, **named: object) -> object:
        asked.append(named)
        return create(client, *words, **named)

    monkeypatch.setattr(mlflow.MlflowClient, "create_model_version", noted)
    path, storage = str(run.path), str(run.path.parents[1])
    common = ["--name", "digits"]
    code, said = command(register, run, path, "--trial", "0001", *common, "--version", "1.0.0", "--alias", "production",
                         "--tag", "site=A", "--description", "Reads digits.")  # fmt: skip
    assert code == 0, said
    assert "gate: pass; production" in said
    opened = open_registry(None, storage)
    first = find_version(opened, "digits", "production")
    assert first.tags.items() >= {"site": "A", "trial": "0001", "run": "activations/made", "gate": "pass"}.items()

    # Without it a server of MLflow refuses the version.
    assert asked[0]["model_id"]
    # The files are the network: the same probabilities as the run's own, with signature, example and card.
    folder = files_of(opened, first)
    data = load("digits")
    own = np.array(predictions(run, "0001"))
    for name in ("model.onnx", "model.pt2"):
        artefact = open_artefact(next(folder.rglob(name)))
        np.testing.assert_allclose(artefact.predict(data.splits["test"].images), own, atol=1e-4)
    model = mlflow.models.Model.load(str(folder))
    assert set(model.flavors) == {"onnx", "python_function"}
    assert model.signature is not None
    assert model.saved_input_example_info is not None
    code, card = command(registry, run, "show", "digits", "1.0.0")
    assert "# digits 1.0.0" in card
    assert "Research only" in card
    metrics = json.loads((run.evaluation_of("0001").metrics).read_text())
    assert f"| accuracy | {metrics['figures']['acc']['value']:.3f} |" in card
    assert metrics["dataset_digest"] in card

    # The second trial's gate failed: it gets in by force alone, and never into production.
    second = [path, "--trial", "0002", *common, "--version", "1.1.0"]
    assert command(register, run, *second)[1].startswith("trial 0002: the gate says 'fail'")
    assert "goes into production" in command(register, run, *second, "--force", "--alias", "production")[1]
    assert command(register, run, *second, "--force", "--alias", "staging")[0] == 0
    assert find_version(opened, "digits", "staging").tags["forced"] == "true"
    assert "by --force" in command(registry, run, "show", "digits", "staging")[1]
    assert "only if its gate passes" in command(registry, run, "promote", "digits", "1.1.0")[1]
    with monkeypatch.context() as patch:
        # before the data are loaded and the network is exported
        patch.setattr("deployment.trial_network.network.deployed_network", None)
        assert "registered already" in command(register, run, *second, "--force")[1]

    # Production moves on, and back.
    third = [path, "--trial", "0001", "--seed", "1", *common, "--version", "2.0.0", "--alias", "production"]
    assert command(register, run, *third)[0] == 0
    assert find_version(opened, "digits", "production").version == "2.0.0"
    assert command(registry, run, "rollback", "digits") == (0, "production of digits is 1.0.0 again\n")
    assert "nothing to go back to" in command(registry, run, "rollback", "digits")[1]
    assert command(registry, run, "promote", "digits", "2.0.0") == (0, "production of digits is 2.0.0 now\n")
    listed = command(registry, run, "list")[1]
    assert [version in listed for version in ("1.0.0", "1.1.0", "2.0.0")] == [True] * 3


@pytest.fixture
def drawn(tmp_path: Path) -> Registry:
    """A registry with three versions of a model, whose gates passed."""
    opened = open_registry(None, str(tmp_path), create=True)
    opened.client.create_registered_model("m")
    for version in ("1.0.0", "1.1.0", "2.0.0"):
        opened.client.create_model_version("m", tmp_path.as_uri(), tags={"version": version, "gate": "pass"})
    return opened


def test_of_two_commands_that_register_one_version_the_second_takes_it_back(drawn: Registry, tmp_path: Path) -> None:
    twice = drawn.client.create_model_version("m", tmp_path.as_uri(), tags={"version": "1.1.0"})
    with pytest.raises(InputError, match="registered by another command just now"):
        _first_of_its_version(drawn, "m", str(twice.version))
    assert _first_of_its_version(drawn, "m", "2").version == "1.1.0"
    assert [one.number for one in versions_of(drawn, "m")] == ["1", "2", "3"]


def test_a_model_whose_first_version_was_not_made_is_said(drawn: Registry, tmp_path: Path) -> None:
    """Its maker was killed once MLflow had the model's name."""
    drawn.client.create_registered_model("bare")
    found = CliRunner().invoke(registry, ["show", "bare", "--storage", str(tmp_path)])
    assert isinstance(found.exception, InputError)
    assert str(found.exception) == "bare has no version: known: none"
    with pytest.raises(InputError, match=r"bare has no '1.0.0': known: none"):
        promote(drawn, "bare", "1.0.0", "staging")
    assert find_version(drawn, "m", None).version == "2.0.0"
    with pytest.raises(InputError, match="m has no ''"):
        find_version(drawn, "m", "")


def test_a_registered_name_without_its_version_is_told_how_to_name_it(drawn: Registry, tmp_path: Path) -> None:
    with pytest.raises(InputError) as found:
        find_model("m", str(tmp_path))
    told = "there are no runs yet; a registered model is named NAME@VERSION or NAME@ALIAS, known: m"
    assert str(found.value) == f"no run 'm' in {tmp_path}/: {told}"


def test_an_alias_that_others_set_or_a_kill_left_half_done_is_followed(drawn: Registry) -> None:
    promote(drawn, "m", "1.0.0", "production")
    # by MLflow's page, or by a command that was killed before it wrote the history
    drawn.client.set_registered_model_alias("m", "production", "3")
    assert rollback(drawn, "m", "production").version == "1.0.0"
    promote(drawn, "m", "1.1.0", "production")
    drawn.client.delete_registered_model_alias("m", "production")
    assert promote(drawn, "m", "1.1.0", "production").aliases == ("production",)
    assert rollback(drawn, "m", "production").version == "1.0.0"
    for version in ("1.1.0", "2.0.0"):
        promote(drawn, "m", version, "production")
    drawn.client.delete_model_version("m", "2")
    assert rollback(drawn, "m", "production").version == "1.0.0"


def test_a_registry_that_refuses_is_one_line_without_its_password(
    drawn: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shown("postgresql://me:hunter2@host/db?x=1") == "postgresql://me@host/db?x=1"
    assert shown("sqlite:////tmp/a.db") == "sqlite:////tmp/a.db"

    def refuse(*of: object, **named: object) -> None:
        raise mlflow.exceptions.MlflowException("no route\nto host")

    monkeypatch.setattr(mlflow.MlflowClient, "search_registered_models", refuse)
    with pytest.raises(InputError, match=r"the registry sqlite.* refuses \(no route\)"):
        versions_of(drawn, "m")


class Canary:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


HOSTILE = """flavors:
  python_function:
    loader_module: canary_of_an_artefact
    code: code
    python_model: python_model.pkl
    data: model.pkl
  onnx: {onnx_version: 1.0.0, data: model.onnx}
  sklearn: {pickled_model: model.pkl, serialization_format: pickle}
"""


def test_no_flavour_of_a_version_is_loaded_whatever_its_files_are(tmp_path: Path) -> None:
    """A version that somebody else registered: what its MLmodel names would run, and the ONNX file is another's."""
    opened, canary = open_registry(None, str(tmp_path), create=True), tmp_path / "canary"
    folder = tmp_path / "registry" / "artifacts" / "evil"
    (folder / "code").mkdir(parents=True)
    (folder / "MLmodel").write_text(HOSTILE)
    code = f"import os\nos.mkdir({str(canary)!r})\ndef _load_pyfunc(path): pass\n"
    (folder / "code" / "canary_of_an_artefact.py").write_text(code)
    for name in ("python_model.pkl", "model.pkl", "model.onnx", "model.pt2"):
        (folder / name).write_bytes(pickle.dumps(Canary(canary)))
    (folder / "extra_files").mkdir()
    (folder / "extra_files" / "MODEL_CARD.md").write_text("# \x1b[31mred\n{{ 7 * 7 }}\n")
    opened.client.create_registered_model("evil")
    tags = {"version": "1.0.0", "gate": "pass"}
    opened.client.create_model_version("evil", folder.as_uri(), tags=tags)
    opened.client.set_registered_model_alias("evil", "production", "1")
    where = ["--storage", str(tmp_path)]

    assert CliRunner().invoke(registry, ["list", *where]).exit_code == 0
    shown = CliRunner().invoke(registry, ["show", "evil", "production", *where])
    assert shown.output == "# \\x1b[31mred\n{{ 7 * 7 }}\n"
    for app, words in ((predict, ["evil@production", "a.png"]), (serve, ["evil@production", "--port", "0"])):
        found = CliRunner().invoke(app, [*words, *where])
        assert isinstance(found.exception, InputError)
        assert "is no ONNX file that can be run" in str(found.exception)
    assert not canary.exists()
    # The danger is real: MLflow's own loader makes the folder.
    with suppress(Exception):
        mlflow.pyfunc.load_model(str(folder))
    assert canary.exists()


def predictions(run: RunFolder, trial: str) -> list[list[float]]:
    from analysis.evaluation.predictions import read_predictions

    found = read_predictions(run.evaluation_of(trial).predictions)
    return next(one for one in found if one.split == "test" and one.model == "seed_0").scores.tolist()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--name", "a/b", "--version", "1.0.0"], "take letters"),
        (["--name", "digits", "--version", "1.0"], "no semantic version"),
        (["--name", "digits", "--version", "01.0.0"], "no semantic version"),
        (["--name", "digits", "--version", "1.0.0", "--alias", "prod"], "staging or production"),
        (["--name", "digits", "--version", "1.0.0", "--tag", "site"], "KEY=VALUE"),
        (["--name", "digits", "--version", "1.0.0", "--trial", "0009"], "unknown trial"),
    ],
)
def test_bad_input_gets_one_line_before_anything_is_written(words: list[str], said: str, run: RunFolder) -> None:
    assert said in command(register, run, str(run.path), *words)[1]


def test_no_registry_is_made_for_what_cannot_be_exported(run: RunFolder, tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'new' / 'r.db'}"
    words = ["--name", "digits", "--version", "1.0.0", "--seed", "7", "--registry", address, "--trial", "0001"]
    assert command(register, run, str(run.path), *words)[0] == 2
    assert not list(tmp_path.iterdir())


def test_an_evaluation_of_other_data_does_not_count(run: RunFolder) -> None:
    path = run.evaluation_of("0001").metrics
    kept = path.read_text()
    words = [str(run.path), "--trial", "0001", "--name", "other", "--version", "1.0.0"]
    try:
        path.write_text(json.dumps(json.loads(kept) | {"dataset_digest": "0"}))
        assert "of other data" in command(register, run, *words)[1]
        path.write_text("{")
        assert "is damaged" in command(register, run, *words)[1]
        path.unlink()
        assert "was not evaluated yet" in command(register, run, *words)[1]
    finally:
        path.write_text(kept)


def test_no_registry_and_no_model_are_said(tmp_path: Path) -> None:
    found = CliRunner().invoke(registry, ["list", "--storage", str(tmp_path)])
    assert "there is no registry" in str(found.exception)
    assert not list(tmp_path.iterdir())
    open_registry(None, str(tmp_path), create=True)
    assert CliRunner().invoke(registry, ["list", "--storage", str(tmp_path)]).exit_code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--registry", "nonsense"], "write http://127.0.0.1:5000, sqlite:///FILE.db"),
        (["--registry", ""], "write http://"),
        (["--registry", "file:///etc"], "write http://"),
        (["--registry", "sqlite://"], "write http://"),
        (["--registry", "sqlite:///:memory:"], "write http://"),
        (["--registry", "http://[::1"], "cannot be opened|refuses"),
        (["--registry", "sqlite:///no/such/folder/x.db"], "there is no registry in"),
        (["--storage", "s3://bucket/results"], "give --registry URI"),
        (["--storage", "what?"], "without a question mark"),
    ],
)
def test_an_address_that_is_none_is_said_and_nothing_is_made(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(registry, ["list", *words])
    assert isinstance(found.exception, InputError)
    assert re.search(said, str(found.exception))
    assert not list(tmp_path.iterdir())


def test_the_maker_of_a_database_may_be_killed_and_two_may_make_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow makes the tables in many steps; a file with half of them can be opened by nobody."""
    file = tmp_path / "registry" / "mlflow.db"
    make, seen = mlflow.MlflowClient.__init__, []

    def killed(client: object, tracking_uri: str, **named: object) -> None:
        make(client, tracking_uri, **named)
        seen.append(file.exists())
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, "__init__", killed)
        with pytest.raises(KeyboardInterrupt):
            open_registry(None, str(tmp_path), create=True)
    assert seen == [False]
    # by a SIGKILL nothing is cleared away
    for left in (f".{file.name}.1.1", f".{file.name}.1.1-journal"):
        (file.parent / left).write_bytes(b"half")
    # an empty file is no registry either
    file.write_bytes(b"")
    with pytest.raises(InputError, match="there is no registry"):
        open_registry(None, str(tmp_path))
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: open_registry(None, str(tmp_path), create=True), range(2)))
    assert [one.client.search_registered_models() for one in both] == [[], []]
    assert {path.name for path in file.parent.iterdir()} <= {file.name, f"{file.name}.lock"}


def test_files_of_a_database_stand_beside_it(tmp_path: Path) -> None:
    opened = open_registry(f"sqlite:///{tmp_path / 'own.db'}", "results", create=True)
    assert opened.artifacts == tmp_path / "artifacts"


@pytest.mark.parametrize(("version", "is_one"), [("1.0.0-rc.1+5", True), ("1.0.0-01", False), ("v1.0.0", False)])
def test_semantic_versions_are_those_of_the_specification(version: str, is_one: bool) -> None:
    assert bool(SEMANTIC.fullmatch(version)) is is_one


def test_the_licence_is_medmnists_own() -> None:
    assert licence_of("breastmnist") == "CC BY 4.0"
    assert "state it" in licence_of("folder:scans")
