"""AUC and ACC against `medmnist.evaluator` and scikit-learn, on all four tasks and on the real labels."""

from __future__ import annotations

from pathlib import Path

import medmnist
import numpy as np
import pytest
from medmnist.evaluator import getACC, getAUC
from medmnist.info import INFO
from sklearn.metrics import accuracy_score, roc_auc_score

from tests.support.generated_data import write_medmnist
from trainables.data.arrays import MULTI_LABEL, Task
from trainables.data.datasets import load
from trainables.metrics.auc import accuracy, auc

CLASSES: dict[Task, int] = {"binary-class": 2, "multi-class": 9, "ordinal-regression": 5, MULTI_LABEL: 14}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEPS_CACHE", str(tmp_path / "cache"))


def _case(task: Task, seed: int, n: int = 300, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores that know something of each other; with ties, scores of one decimal."""
    rng, n_classes = np.random.default_rng(seed), CLASSES[task]
    labels = rng.integers(0, 2, (n, n_classes)) if task == MULTI_LABEL else rng.integers(0, n_classes, n)
    positive = labels if task == MULTI_LABEL else np.eye(n_classes)[labels]
    logits = rng.normal(size=(n, n_classes)) + 1.5 * positive
    scores = 1 / (1 + np.exp(-logits)) if task == MULTI_LABEL else np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return labels, (scores.round(1) if ties else scores)


def _scikit_learn(labels: np.ndarray, scores: np.ndarray, task: Task) -> tuple[float, float]:
    if task == "binary-class":
        return roc_auc_score(labels, scores[:, 1]), accuracy_score(labels, scores[:, 1] > 0.5)
    if task == MULTI_LABEL:
        return roc_auc_score(labels, scores, average="macro"), float(((scores > 0.5) == labels).mean())
    positive = np.eye(scores.shape[1])[labels]
    return roc_auc_score(positive, scores, average="macro"), accuracy_score(labels, scores.argmax(1))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("task", CLASSES)
def test_quality_equals_medmnist_and_scikit_learn(task: Task, seed: int, ties: bool) -> None:
    labels, scores = _case(task, seed, ties=ties)
    found = (auc(labels, scores, task), accuracy(labels, scores, task))
    theirs = labels if task == MULTI_LABEL else labels[:, None]
    assert found == pytest.approx((getAUC(theirs, scores, task), getACC(theirs, scores, task)), abs=1e-12)
    assert found == pytest.approx(_scikit_learn(labels, scores, task), abs=1e-12)
    assert 0.5 < found[0] < 1


@pytest.mark.parametrize("name", ["retinamnist", "breastmnist", "pneumoniamnist"])
def test_quality_equals_the_evaluator_on_real_labels(name: str, data_root: Path) -> None:
    data = load(name, data_root=data_root)
    rng = np.random.default_rng(0)
    for split, part in data:
        scores = rng.random((len(part), data.info.n_classes)) + np.eye(data.info.n_classes)[part.labels] * 0.4
        scores /= scores.sum(axis=1, keepdims=True)
        theirs = medmnist.Evaluator(name, split, root=str(data_root / "medmnist")).evaluate(scores)
        found = (auc(part.labels, scores, data.info.task), accuracy(part.labels, scores, data.info.task))
        assert found == pytest.approx(tuple(theirs), abs=1e-12)


def test_quality_equals_the_evaluator_on_a_multi_label_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_medmnist(tmp_path, "chestmnist", 28, monkeypatch)
    data = load("chestmnist", data_root=tmp_path)
    assert data.info.task == INFO["chestmnist"]["task"] == MULTI_LABEL
    for split, part in data:
        scores = np.random.default_rng(1).random(part.labels.shape)
        theirs = medmnist.Evaluator("chestmnist", split, root=str(tmp_path)).evaluate(scores)
        assert auc(part.labels, scores, MULTI_LABEL) == pytest.approx(theirs.AUC, abs=1e-12)
        assert accuracy(part.labels, scores, MULTI_LABEL) == pytest.approx(theirs.ACC, abs=1e-12)


@pytest.mark.parametrize("task", CLASSES)
def test_undefined_is_nan(task: Task) -> None:
    labels, scores = _case(task, 0)
    missing = labels.copy()
    if task == MULTI_LABEL:
        missing[:, 3] = 0
    else:
        missing[missing == 1] = 0
    assert np.isnan(auc(missing, scores, task)), "a class that is absent"
    broken = scores.copy()
    broken[0, 0] = np.nan
    assert np.isnan(auc(labels, broken, task))
    assert np.isnan(accuracy(labels, broken, task))
