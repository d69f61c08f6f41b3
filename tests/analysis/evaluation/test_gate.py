"""The gate decides by intervals, reads thresholds from YAML, and refuses what is no file of thresholds."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from analysis.evaluation.bootstrap import Figure, Interval
from analysis.evaluation.gate import (
    Gate,
    Thresholds,
    check_gate,
    gate_document,
    imbalance,
    judge,
    read_thresholds,
)
from analysis.evaluation.per_class import ClassRow
from trainables.errors import InputError

NOWHERE = Interval()


def row(name: str, recall: float, low: float, high: float, f1: float = 0.9) -> ClassRow:
    figures = {"precision": 0.9, "recall": recall, "specificity": 0.9, "npv": 0.9, "f1": f1}
    return ClassRow(name, 100, figures, {}, 0.9, 0.9, Interval(low, high))


def figure(value: float, low: float = math.nan, high: float = math.nan) -> Figure:
    return Figure(value, Interval(low, high), NOWHERE, (value,))


def gate(accuracy: float, rows: list[ClassRow], **thresholds: object) -> Gate:
    wanted = Thresholds(**{"accuracy": 0.85, "recall": 0.8, **thresholds})  # type: ignore[arg-type]
    figures = {"acc": figure(accuracy), "ece": figure(0.05, 0.02, 0.12)}
    return check_gate(wanted, figures, rows, 1000, None, [60, 40])


@pytest.mark.parametrize(
    ("relation", "threshold", "low", "high", "verdict"),
    [
        (">=", 0.85, 0.85, 0.9, "pass"),
        (">=", 0.85, 0.7, 0.849, "fail"),
        (">=", 0.85, 0.84, 0.9, "not decided"),
        ("<", 5.0, 1.0, 4.9, "pass"),
        ("<", 5.0, 5.0, 6.0, "fail"),
        ("<", 5.0, 4.0, 5.0, "not decided"),
        ("<=", 0.1, 0.0, 0.1, "pass"),
        ("<=", 0.1, 0.11, 0.2, "fail"),
        ("<=", 0.1, 0.05, 0.2, "not decided"),
    ],
)
def test_a_threshold_inside_the_interval_is_not_decided(
    relation: str, threshold: float, low: float, high: float, verdict: str
) -> None:
    assert judge((low + high) / 2, Interval(low, high), relation, threshold) == verdict


def test_a_figure_without_an_interval_is_judged_by_itself_and_an_undefined_one_never_passes() -> None:
    assert judge(4.9, NOWHERE, "<", 5.0) == "pass"
    assert judge(math.nan, NOWHERE, "<", 5.0) == "not decided"


def test_an_estimate_without_an_interval_is_not_decided_and_accuracy_has_that_of_its_figure() -> None:
    figures = {"acc": figure(0.95, 0.84, 0.99), "ece": figure(0.05)}
    wanted = Thresholds(accuracy=0.85, calibration_error=0.1, imbalance=5.0)
    found = check_gate(wanted, figures, [], 1000, None, [60, 40])
    assert [one.verdict for one in found.criteria] == ["not decided", "pass", "not decided"]
    assert found.criteria[0].interval == figures["acc"].images


def test_one_weak_class_fails_the_gate_and_one_doubt_leaves_it_open() -> None:
    good, weak, doubtful = row("a", 0.9, 0.85, 0.95), row("b", 0.6, 0.5, 0.7), row("c", 0.82, 0.7, 0.9)
    assert gate(0.95, [good, good]).verdict == "pass"
    assert gate(0.95, [good, weak]).verdict == "fail"
    assert gate(0.95, [good, doubtful]).verdict == "not decided"
    assert gate(0.95, [good, weak], positive=["a"]).verdict == "pass"
    with pytest.raises(InputError, match="'d', the classes are a, b"):
        gate(0.95, [good, weak], positive=["d"])


def test_a_latency_that_was_not_measured_is_not_decided() -> None:
    assert gate(0.95, [row("a", 0.9, 0.85, 0.95)], latency_p95=0.5).verdict == "not decided"


def test_warnings_name_weak_classes_confusions_and_the_gap() -> None:
    rows = [row("a", 0.9, 0.85, 0.95, f1=0.6), row("b", 0.9, 0.85, 0.95)]
    figures = {"acc": figure(0.8), "ece": figure(0.05, 0.02, 0.09)}
    confusion = np.array([[80.0, 20.0], [5.0, 95.0]])
    found = check_gate(read_thresholds("clinical"), figures, rows, 200, None, [500, 100], confusion, 0.95)
    assert [text.split(":")[0] for text in found.warnings] == [
        "weak class a", "20 % of a are taken for b",
        "accuracy is 0.150 higher on train than on the split that is judged",
    ]  # fmt: skip
    verdicts = {one.name: one.verdict for one in found.criteria}
    assert verdicts["class imbalance in train"] == "fail"
    assert gate_document(found, read_thresholds("clinical"))["verdict"] == "fail"
    assert imbalance([3, 0]) == math.inf


def test_the_clinical_thresholds_are_those_that_were_asked_for() -> None:
    found = read_thresholds("clinical")
    assert (found.accuracy, found.recall, found.latency_p95, found.imbalance) == (0.85, 0.80, 0.5, 5.0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"accuracy: 1.2", "accuracy"),
        (b"acuracy: 0.8", "acuracy"),
        (b"accuracy: .nan", "accuracy"),
        (b"accuracy: '0.8'", "accuracy"),
        (b"latency_p95: .inf", "latency_p95"),
        (b"imbalance: 0.5", "imbalance"),
        (b"- 1", "the file"),
        (b"", "holds no threshold"),
        (b"{", "is not valid YAML"),
        (b"\xff", "is not UTF-8"),
        (b"accuracy: !!python/object/apply:os.getcwd []", "is not valid YAML"),
        (b"# " + b"x" * 1_100_000, "larger than"),
    ],
)
def test_what_is_no_file_of_thresholds_is_refused_in_one_line(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "gate.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said) as error:
        read_thresholds(str(path))
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match=r"nosuch\.yaml"):
        read_thresholds("nosuch.yaml")
