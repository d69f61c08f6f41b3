"""Predictions: what training recorded, what a table holds, and what MedMNIST's own evaluator reads back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from medmnist.evaluator import Evaluator

from analysis import table
from analysis.evaluation.predictions import (
    Predictions,
    ensemble,
    medmnist_name,
    predict_split,
    prediction_rows,
    read_predictions,
    write_medmnist_csv,
)
from tests.support.trained_run import train_run
from trainables.data.arrays import MULTI_LABEL
from trainables.data.datasets import load
from trainables.errors import InputError
from trainables.metrics.auc import accuracy, auc
from trainables.network.trained import load_data_of, load_trained

SMALL = {"model": "cnn", "width": 4, "depth": 2, "epochs": 2, "lr": 0.01, "seeds": (0, 1)}


@pytest.mark.parametrize("name", ["breastmnist", "retinamnist", "adrenalmnist3d"])
def test_medmnist_reads_back_the_figures_of_a_real_set(name: str, data_root: Path, tmp_path: Path) -> None:
    """Two classes, ordinal, and volumes: `parse_and_evaluate` gives what training recorded, to the last digit."""
    model = {"model": "one_conv3d", "width": 2, "depth": None} if name.endswith("3d") else {}
    data = load(name, data_root=data_root)
    run = train_run(tmp_path / "s" / "r", data, [{**SMALL, "dataset": name, "epochs": 1, "seeds": (3,), **model}])
    row = table.read_arrow(run.trials_table).to_pylist()[0]
    trained = load_trained(next(run.path.glob("trials/*/seed_3/best_model.safetensors")))
    found = predict_split(trained, load_data_of(trained, data_root), "test")
    assert row["test_auc"] == pytest.approx(auc(found.labels, found.scores, found.task), abs=1e-12)
    assert row["test_acc"] == pytest.approx(accuracy(found.labels, found.scores, found.task), abs=1e-12)

    class Here(Evaluator):
        def __init__(self, flag: str, split: str, size: int | None = None) -> None:
            super().__init__(flag, split, size, root=str(data_root / "medmnist"))

    path = write_medmnist_csv(tmp_path, found, name, None, "r-0001-seed_3")
    read = Here.parse_and_evaluate(str(path))
    assert path.name == Here(name, "test").get_standard_evaluation_filename(read, "r-0001-seed-3")
    assert pytest.approx(row["test_auc"], abs=1e-12) == read.AUC
    assert pytest.approx(row["test_acc"], abs=1e-12) == read.ACC


def multi_label() -> Predictions:
    rng = np.random.default_rng(0)
    scores = rng.random((30, 3)).astype(np.float32).astype(np.float64)
    return Predictions("seed_0", "test", MULTI_LABEL, ("a", "b", "c"), rng.integers(0, 2, (30, 3)), scores)


def test_predictions_come_back_from_their_table(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    files = tuple(f"{n}.png" for n in range(5))
    single = Predictions(
        "seed_1", "val", "multi-class", ("x", "y"), np.array([0, 1, 1, 0, 1]), rng.random((5, 2)), files
    )
    for number, one in enumerate((multi_label(), single)):
        path = tmp_path / str(number) / "predictions.parquet"
        path.parent.mkdir()
        about = {"task": one.task, "class_names": list(one.class_names)}
        table.write(path, "predictions", ({"trial_id": "0001", **row} for row in prediction_rows(one)), about)
        (back,) = read_predictions(path)
        assert (back.model, back.split, back.task, back.class_names, back.files) == (
            one.model, one.split, one.task, one.class_names, one.files,
        )  # fmt: skip
        np.testing.assert_array_equal(back.labels, one.labels)
        np.testing.assert_array_equal(back.scores, one.scores)


def test_a_multi_label_answer_is_right_where_all_labels_are() -> None:
    found = multi_label()
    np.testing.assert_array_equal(found.correct, ((found.scores > 0.5) == (found.labels == 1)).all(axis=1))
    entropy = -(found.scores * np.log(found.scores) + (1 - found.scores) * np.log(1 - found.scores)).sum(axis=1)
    np.testing.assert_allclose(found.uncertainty, entropy, atol=1e-12)


def test_an_ensemble_is_the_mean_of_probabilities() -> None:
    one = multi_label()
    other = Predictions(one.model, one.split, one.task, one.class_names, one.labels, 1 - one.scores)
    np.testing.assert_allclose(ensemble([one, other]).scores, 0.5)


def test_names_hold_nothing_that_leads_out_of_the_folder() -> None:
    name = medmnist_name(multi_label(), "folder:/data/../my set?unreadable=skip", 64, "../x/0001")
    assert "/" not in name
    assert name.startswith("my-set_64_test_[AUC]")


def test_what_is_no_table_of_predictions_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    rows = ({"trial_id": "0001", **row} for row in prediction_rows(multi_label()))
    table.write(path, "predictions", rows, {})
    with pytest.raises(InputError, match="evaluate the trial again"):
        read_predictions(path)
