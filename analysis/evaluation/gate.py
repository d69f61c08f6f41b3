"""The gate: thresholds that a network must pass, each passed, failed or not decided. Research use only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from analysis.evaluation.bootstrap import Figure, Interval, proportion_interval
from analysis.evaluation.cost import Cost
from analysis.evaluation.per_class import ClassRow
from analysis.terminal.text_files import read_yaml
from trainables.errors import InputError

CLINICAL = Path(__file__).with_name("clinical_gate.yaml")
NOTICE = "For research use only: the gate certifies nothing, and no network here is a medical device."
# Bytes of a file of thresholds.
LARGEST = 2**16
Verdict = Literal["pass", "fail", "not decided"]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Warn(BaseModel):
    """Limits from which on a gate warns."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    weak_f1: Share | None = 0.70
    confusion: Share | None = 0.10
    train_test_gap: Share | None = 0.10


class Thresholds(BaseModel):
    """The thresholds of a network; None: not judged. Their meanings stand in `clinical_gate.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    accuracy: Share | None = None
    recall: Share | None = None
    positive: Annotated[list[str], Field()] = []
    latency_p95: Positive | None = None
    imbalance: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    calibration_error: Share | None = None
    warn: Warn = Warn()


@dataclass(frozen=True)
class Criterion:
    """One threshold: its name, the measured value with its 95 % interval, the threshold, and the verdict."""

    name: str
    value: float
    interval: Interval
    relation: Literal[">=", "<=", "<"]
    threshold: float
    verdict: Verdict


@dataclass(frozen=True)
class Gate:
    """All criteria and warnings. verdict: fail where one fails, else not decided where one is not, else pass."""

    criteria: tuple[Criterion, ...]
    warnings: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """Return the verdict of all criteria."""
        verdicts = {criterion.verdict for criterion in self.criteria}
        return "fail" if "fail" in verdicts else "not decided" if "not decided" in verdicts else "pass"


def read_thresholds(name: str) -> Thresholds:
    """Read `clinical` or a YAML file of thresholds. Raises `InputError`."""
    path = CLINICAL if name == "clinical" else Path(name)
    try:
        content = read_yaml(path, f"say --gate clinical, or name a YAML file like {CLINICAL}")
        thresholds = Thresholds.model_validate({} if content is None else content)
    except ValidationError as error:
        one = error.errors(include_url=False)[0]
        where = ".".join(map(str, one["loc"])) or "the file"
        raise InputError(
            f"--gate {name}: {where}: {one['msg']}; allowed are {', '.join(Thresholds.model_fields)}"
        ) from None
    if all(
        getattr(thresholds, field) is None for field in Thresholds.model_fields if field not in ("positive", "warn")
    ):
        raise InputError(f"--gate {name} holds no threshold: set one of accuracy, recall, latency_p95, imbalance, "
                         "calibration_error")  # fmt: skip
    return thresholds


def judge(value: float, interval: Interval, relation: str, threshold: float) -> Verdict:
    """Judge a figure by its interval: not decided where the threshold lies inside, or the figure is undefined.

    >>> judge(0.9, Interval(0.84, 0.94), ">=", 0.85)
    'not decided'
    """
    if not math.isfinite(value):
        return "not decided"
    low, high = (interval.low, interval.high) if math.isfinite(interval.low) else (value, value)
    if relation == ">=":
        return "pass" if low >= threshold else "fail" if high < threshold else "not decided"
    if relation == "<":
        return "pass" if high < threshold else "fail" if low >= threshold else "not decided"
    return "pass" if high <= threshold else "fail" if low > threshold else "not decided"


def check_gate(
    thresholds: Thresholds,
    figures: dict[str, Figure],
    rows: Sequence[ClassRow],
    n: int,
    cost: Cost | None,
    train_counts: Sequence[int],
    confusion: np.ndarray | None = None,
    train_accuracy: float = math.nan,
) -> Gate:
    """Judge a trial's figures, mean over seeds. n: images of the split; train_counts: images of each class.

    Accuracy has the interval that its figure has, else Wilson's over n images, recalls Wilson's, the calibration error
    its bootstrap interval, latency that of order statistics; what is estimated without an interval is not decided. The
    imbalance is counted. Raises `InputError` for a positive class that is not there.
    """
    check_positive(thresholds, [row.name for row in rows])
    criteria: list[Criterion] = []

    def add(name: str, value: float, interval: Interval | None, relation: Any, threshold: float | None) -> None:
        if threshold is not None:
            known, interval = interval is None or math.isfinite(interval.low), interval or Interval()
            verdict = judge(value if known else math.nan, interval, relation, threshold)
            criteria.append(Criterion(name, value, interval, relation, threshold, verdict))

    accuracy, images = figures["acc"].value, figures["acc"].images
    interval = images if math.isfinite(images.low) else proportion_interval(accuracy, n)
    add("accuracy", accuracy, interval, ">=", thresholds.accuracy)
    for row in rows:
        if not thresholds.positive or row.name in thresholds.positive:
            add(f"recall of {row.name}", row.figures["recall"], row.recall_95, ">=", thresholds.recall)
    if cost is not None:
        add("latency p95 (s)", cost.latency_p95, cost.p95_interval, "<", thresholds.latency_p95)
    elif thresholds.latency_p95 is not None:
        add("latency p95 (s)", math.nan, Interval(), "<", thresholds.latency_p95)
    add("class imbalance in train", imbalance(train_counts), None, "<", thresholds.imbalance)
    add("calibration error", figures["ece"].value, figures["ece"].images, "<=", thresholds.calibration_error)
    warnings = _warnings(thresholds.warn, rows, confusion, train_accuracy - accuracy)
    return Gate(tuple(criteria), tuple(warnings))


def check_positive(thresholds: Thresholds, names: Sequence[str]) -> None:
    """Raise `InputError` for a positive class that is not among the names of the classes."""
    if unknown := [name for name in thresholds.positive if name not in names]:
        raise InputError(f"--gate: positive names {unknown[0]!r}, the classes are {', '.join(names)}")


def imbalance(counts: Sequence[int]) -> float:
    """Return the images of the largest class for one of the smallest; infinite where a class has none.

    >>> imbalance([10, 40])
    4.0
    """
    return max(counts) / min(counts) if min(counts) else math.inf


def _warnings(warn: Warn, rows: Sequence[ClassRow], confusion: np.ndarray | None, gap: float) -> list[str]:
    warnings = [
        f"weak class {row.name}: F1 {row.figures['f1']:.3f} < {warn.weak_f1:g}"
        for row in rows if warn.weak_f1 is not None and row.figures["f1"] < warn.weak_f1
    ]  # fmt: skip
    if confusion is not None and confusion.ndim == 2 and warn.confusion is not None:
        shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
        warnings += [
            f"{100 * shares[i, j]:.0f} % of {rows[i].name} are taken for {rows[j].name}"
            for i, j in np.argwhere(shares > warn.confusion) if i != j
        ]  # fmt: skip
    if warn.train_test_gap is not None and gap > warn.train_test_gap:
        warnings.append(f"accuracy is {gap:.3f} higher on train than on the split that is judged")
    return warnings


def gate_document(gate: Gate, thresholds: Thresholds) -> dict[str, Any]:
    """Return the content of `clinical_gate.json`."""
    criteria = [{**asdict(one), "interval": [one.interval.low, one.interval.high]} for one in gate.criteria]
    return {
        "notice": NOTICE,
        "verdict": gate.verdict,
        "criteria": criteria,
        "warnings": list(gate.warnings),
        "thresholds": thresholds.model_dump(),
    }
