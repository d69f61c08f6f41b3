"""`python -m analysis.evaluate` on a run that was really trained: files, figures, the gate's exit code, bad input."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics
from typer.testing import CliRunner

import trainables.network.trained as trained
from analysis import table
from analysis.comparison.results import load as load_results
from analysis.evaluate import app
from analysis.evaluation.predictions import read_predictions
from analysis.page.evaluation import _documents
from analysis.page.write import write_report
from analysis.runs.run_folder import RunFolder
from analysis.trial_evaluation.select_trials import _best, choose_trials
from tests.support.made_results import make_run
from tests.support.trained_run import train_run
from tests.whole.test_resume import write_images
from trainables.data.datasets import load
from trainables.errors import InputError
from trainables.network.trained import load_data_of

FILES = {"report.txt", "metrics.json", "predictions.parquet", "confusion_matrix.png", "per_class.png", "roc.png",
         "pr.png", "calibration.png", "correct_incorrect.png"}  # fmt: skip
CONFIG = {"dataset": "digits", "model": "mlp", "hidden_dims": (16,), "epochs": 2, "lr": 0.01, "seeds": (0, 1, 2)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    place = tmp_path_factory.mktemp("results") / "activations" / "made"
    return train_run(place, load("digits"), [{**CONFIG, "activation": name} for name in ("relu", "tanh")])


@pytest.fixture
def run(made: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy, so that no test sees another's files."""
    return RunFolder(Path(shutil.copytree(made.path, tmp_path / "activations" / "made")))


def command(*words: str) -> tuple[int, str]:
    """Exit code and output; what a command refuses is its exception's text."""
    found = CliRunner().invoke(app, [*words, "--no-cost"])
    if isinstance(found.exception, InputError):
        assert "\n" not in str(found.exception)
        return 2, str(found.exception)
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found.exit_code, found.output


def test_the_best_trial_is_evaluated_and_its_files_say_what_scikit_learn_says(run: RunFolder) -> None:
    code, text = command(str(run.path))
    assert code == 0
    (folder,) = run.evaluation.iterdir()
    written = {path.name for path in folder.iterdir()}
    assert written >= FILES
    assert len([name for name in written if name.startswith("digits_test_[AUC]")]) == 4  # three seeds, the ensemble
    document = json.loads((folder / "metrics.json").read_text())
    tested = [one for one in read_predictions(folder / "predictions.parquet") if one.split == "test"]
    assert [one.model for one in tested] == ["seed_0", "seed_1", "seed_2", "ensemble"]
    for one, value in zip(tested, document["figures"]["mcc"]["by_seed"], strict=False):
        assert value == pytest.approx(metrics.matthews_corrcoef(one.labels, one.predicted), abs=1e-6)
    recalls = np.mean([metrics.recall_score(p.labels, p.predicted, average=None) for p in tested[:3]], axis=0)
    np.testing.assert_allclose([row["recall"] for row in document["classes"]], recalls, atol=1e-6)
    recorded = table.read(run.trials_table)
    mine = recorded[recorded["trial_id"] == folder.name]
    assert document["figures"]["acc"]["value"] == pytest.approx(mine["test_acc"].mean(), abs=1e-9)
    assert document["figures"]["auc"]["value"] == pytest.approx(mine["test_auc"].mean(), abs=1e-9)
    best = recorded.groupby("trial_id")["val_auc"].mean().idxmax()
    assert folder.name == best
    assert "headline figures" in text
    assert (folder / "report.txt").read_text().startswith(f"activations/made, trial {best}")


def test_the_gate_fails_with_code_1_and_passes_with_0(run: RunFolder, tmp_path: Path) -> None:
    assert command(str(run.path), "--gate", "clinical", "--no-figures")[0] == 1
    easy = tmp_path / "easy.yaml"
    easy.write_text("accuracy: 0.01\n")
    code, text = command(str(run.path), "--gate", str(easy), "--no-figures")
    assert code == 0
    assert "gate: pass" in text
    assert "research use only" in text.lower()
    (path,) = run.path.glob("evaluation/*/clinical_gate.json")
    assert json.loads(path.read_text())["verdict"] == "pass"
    said = "the verdict 'fail' of its gate moves to clinical_gate_earlier.json: it is 'pass' now"
    assert said in " ".join(text.split())
    code, text = command(str(run.path), "--no-figures")
    assert code == 0
    assert "the verdict 'pass' of its gate moves to clinical_gate_earlier.json" in " ".join(text.split())
    # it is not lost, and does not stand beside figures that it was not made of
    assert not path.exists()
    earlier = path.with_name("clinical_gate_earlier.json")
    assert command(str(run.path), "--no-figures")[0] == 0
    kept = json.loads(earlier.read_text())
    assert (kept["verdict"], kept["split"], len(kept["weights"])) == ("pass", "test", 3)
    assert "its evaluation on test is replaced by that on val" in " ".join(
        command(str(run.path), "--split", "val", "--no-figures", "--no-cost")[1].split()
    )


def test_all_trials_are_compared_by_val_and_tested_in_pairs(run: RunFolder) -> None:
    code, text = command(str(run.path), "--compare", "--json")
    assert code == 0
    document = json.loads(text[text.index('{"trials"') :])
    (ranking,) = document["comparison"]
    by_val = [trial["values"]["val_auc"] for trial in ranking["trials"]]
    assert by_val == sorted(by_val, reverse=True)
    assert len(ranking["pairs"]) == 1
    assert ranking["recommended"].startswith("made/000")
    assert len(list(run.path.glob("evaluation/*/metrics.json"))) == 2
    assert len(list(run.path.glob("evaluation/*/roc.png"))) == 1  # pictures of the best alone


def test_bad_input_gets_one_line_and_leaves_no_file(run: RunFolder, tmp_path: Path) -> None:
    csv = tmp_path / "groups.csv"
    csv.write_text("index,site\n0,a\n")
    for words, said in (
        (("--trial", "0009"), "unknown trial '0009'"),
        (("--split", "tset"), "did you mean 'test'"),
        (("--groups", str(csv)), "268 of the split's 269 images are missing"),
        (("--gate", "nosuch.yaml"), "nosuch.yaml"),
        (("--gate", ""), "say --gate clinical"),
        (("--compare", "--trial", "0001"), "leave out --trial"),
    ):
        code, text = command(str(run.path), *words)
        assert (code, said in text) == (2, True), text
    assert not run.evaluation.exists()


def test_files_are_looked_at_before_the_data(run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: object) -> None:
        raise AssertionError("the data were loaded first")

    monkeypatch.setattr("analysis.trial_evaluation.trial.load_data_of", slow)
    unknown, wrong = tmp_path / "unknown.yaml", tmp_path / "wrong.csv"
    unknown.write_text("accuracy: 0.5\npositive: [nosuch]\n")
    wrong.write_text("image,site\n0,a\n")
    for words, said in (
        (("--groups", str(tmp_path / "none.csv")), "none.csv"),
        (("--groups", str(tmp_path)), "directory"),
        (("--groups", str(wrong)), "needs a column file or index"),
        (("--gate", str(unknown)), "positive names 'nosuch'"),
    ):
        code, text = command(str(run.path), *words)
        assert (code, said in text) == (2, True), text


def test_a_trial_without_weights_and_a_run_without_any(run: RunFolder) -> None:
    for path in run.path.glob("trials/*0002/seed_*/best_model.safetensors"):
        path.unlink()
    assert "kept no weights" in command(str(run.path), "--trial", "2")[1]
    assert [trial.trial_id for trial in choose_trials(run, "all")] == ["0001"]
    for path in run.path.glob("trials/*/seed_1/best_model.safetensors"):
        path.unlink()
    assert "no weights of seed 1" in command(str(run.path), "--trial", "1", "--no-figures")[1]
    shutil.rmtree(run.trials)
    assert "keeps no trained weights" in command(str(run.path))[1]


def test_data_that_changed_since_is_refused(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = replace(load("digits"), digest="0000")
    monkeypatch.setattr(trained, "load", lambda *_: changed)
    code, text = command(str(run.path))
    assert code == 2
    assert "is not the data that" in text


def test_a_weights_file_that_is_damaged_or_of_another_model(run: RunFolder) -> None:
    best = choose_trials(run, "best")[0].weights[0]
    content = best.read_bytes()
    best.write_bytes(content[:100])
    assert command(str(run.path))[0] == 2
    best.write_bytes(content.replace(b"[8, 8, 1]", b"[8, 9, 1]"))
    assert "does not fit its model" in command(str(run.path))[1]


def test_another_split_can_be_evaluated_and_says_what_it_means(run: RunFolder) -> None:
    code, text = command(str(run.path), "--split", "val", "--no-figures")
    assert code == 0
    assert "val chose the epoch" in text
    assert {one.split for one in read_predictions(next(run.path.glob("evaluation/*/predictions.parquet")))} == {"val"}


def test_the_report_has_a_section_of_what_was_evaluated(run: RunFolder, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_report([run], page, None)
    assert 'id="evaluation"' not in page.read_text()
    assert command(str(run.path), "--no-figures")[0] == 0
    (path,) = run.evaluation.glob("*/metrics.json")
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "settings": {"activation": "<script>"}}))
    write_report([run], page, None)
    html = page.read_text()
    section = html[html.index('id="evaluation"') :]
    assert f"{document['figures']['acc']['value']:.4f}" in section
    assert section.count('class="plot"') >= 5
    assert "activation &lt;script&gt;" in section
    path.write_text("[" * 100_000)
    write_report([run], page, None)
    assert 'id="evaluation"' not in page.read_text()


@pytest.mark.parametrize(
    "change",
    [
        {"settings": ["a"]}, {"images": "many"}, {"figures": {"acc": [1]}}, {"figures": {"acc": {"value": "good"}}},
        {"figures": {"acc": {"value": 0.5, "images_95": [0.1]}}}, {"val": {"auc": "x"}}, {"gate": {}}, {"split": None},
    ],
)  # fmt: skip
def test_a_document_that_somebody_changed_is_left_out_of_the_page(tmp_path: Path, change: dict[str, object]) -> None:
    folder = RunFolder(tmp_path).evaluation_of("0001")
    folder.path.mkdir(parents=True)
    whole = {"run": "s/a", "trial": "0001", "split": "test", "images": 3, "figures": {"acc": {"value": 0.5}}}
    folder.metrics.write_text(json.dumps(whole))
    assert len(list(_documents(RunFolder(tmp_path)))) == 1
    folder.metrics.write_text(json.dumps({**whole, **change}))
    assert not list(_documents(RunFolder(tmp_path)))


def test_trials_of_several_datasets_have_no_best(tmp_path: Path) -> None:
    """The easier dataset's scores are higher; that makes its network no better."""
    level = {"digits": 0.99, "retinamnist": 0.7}
    run = make_run(
        tmp_path / "s" / "a", {"dataset": list(level), "activation": ["relu", "tanh"]}, {},
        lambda config, seed, epoch: level[config["dataset"]] - 0.1 * (config["activation"] == "tanh"),
    )  # fmt: skip
    with pytest.raises(InputError, match=r"0000 on digits and 0002 on retinamnist are the best") as error:
        _best(load_results([run]))
    assert "\n" not in str(error.value)


def test_data_that_a_resume_has_found_elsewhere_are_found_there(tmp_path: Path) -> None:
    """A resume with the new place of a folder notes it in the ledger and the tables; the weights keep the old one."""
    write_images(tmp_path / "here", 0)
    before, after = f"folder:{tmp_path / 'here'}", f"folder:{tmp_path / 'there'}"
    config = {"dataset": before, "image_size": 8, "model": "mlp", "hidden_dims": (4,), "epochs": 1, "seeds": (0,)}
    run = train_run(tmp_path / "s" / "run", load(before, 8), [config])
    (tmp_path / "here").rename(tmp_path / "there")
    rows = table.read_arrow(run.trials_table)
    with pytest.raises(InputError, match="here"):
        load_data_of(choose_trials(run, "0001")[0].load())
    place = rows.column_names.index("dataset")
    table.write_arrow(run.trials_table, rows.set_column(place, rows.schema.field(place), [[after]]))
    assert command(str(run.path), "--no-figures", "--no-cost")[0] == 0
    trained = choose_trials(run, "0001")[0].load()
    assert trained.config.dataset == after
    shutil.rmtree(tmp_path / "there")
    write_images(tmp_path / "there", 1)
    with pytest.raises(InputError, match="is not the data that"):
        load_data_of(trained)
