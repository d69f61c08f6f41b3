"""Trials side by side: ranks, tests in pairs, a Pareto front, a recommendation, and the published figures.

Val ranks and recommends; the evaluated split is only reported beside it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from analysis.evaluation.bootstrap import DRAWS, Figure, Real
from analysis.evaluation.paired import PairedTest, auc_in_draws, bootstrap_p, delong, mcnemar, paired_bootstrap
from analysis.evaluation.predictions import Predictions
from analysis.statistics.estimates_and_tests import holm
from analysis.trial_evaluation.trial import TrialEvaluation
from trainables.metrics.auc import auc

PUBLISHED = Path(__file__).with_name("medmnist_published.csv")
SOURCE = "Yang et al., MedMNIST v2, Scientific Data 10, 41 (2023), tables 3 and 4"
LEVEL = 0.05
# Another trial is faster in earnest below this share of the best trial's latency.
FASTER = 0.75
# Criteria that rank trials, and whether more is better; the first three and the calibration are those of val.
CRITERIA = {"val_acc": True, "val_auc": True, "val_f1_macro": True, "val_ece": False, "latency_p50": False,
            "disk_mb": False, "gate": True}  # fmt: skip
GATE_ORDER = {"pass": 2.0, "not decided": 1.0, "fail": 0.0}


@dataclass(frozen=True)
class RankedTrial:
    """A trial's ranks.

    values and ranks: by criterion (1 is best; equals share a rank). figures: of the evaluated split. on_front: no other
    trial is at least as good by val AUC, latency and size and better by one.
    """

    name: str
    values: Mapping[str, float]
    ranks: Mapping[str, float]
    figures: Mapping[str, Figure]
    gate: str
    on_front: bool


@dataclass(frozen=True)
class Pair:
    """Two trials' answers (of the ensembles, where there are several seeds) on the same images. p values are Holm's."""

    first: str
    second: str
    auc: PairedTest
    acc: PairedTest
    auc_p: float
    acc_p: float


@dataclass(frozen=True)
class Published:
    """A published figure beside the best trial's: whether it lies in that trial's interval over images, if any."""

    method: str
    auc: float
    acc: float
    auc_inside: bool | None
    acc_inside: bool | None


@dataclass(frozen=True)
class Ranking:
    """Trials of one dataset and split, best by val AUC first."""

    dataset: str
    split: str
    images: int
    trials: tuple[RankedTrial, ...]
    pairs: tuple[Pair, ...]
    recommended: str
    reason: str
    published: tuple[Published, ...]


def compare_evaluations(evaluations: Sequence[TrialEvaluation], draws: int = DRAWS) -> list[Ranking]:
    """Rank trials within each dataset and split, and test the best by val against each other one."""
    groups: dict[tuple[str, str], list[TrialEvaluation]] = {}
    for one in evaluations:
        groups.setdefault((one.digest, one.split), []).append(one)
    return [_rank(part, draws) for part in groups.values()]


def trial_name(one: TrialEvaluation) -> str:
    """Return `run/0003 (gelu)`: unique over runs."""
    inside = ", ".join(one.chosen.settings.values())
    return f"{one.chosen.run.run_id}/{one.chosen.trial_id}" + (f" ({inside})" if inside else "")


def _rank(evaluations: Sequence[TrialEvaluation], draws: int) -> Ranking:
    values = [_values(one) for one in evaluations]
    ranks = {name: _ranks([v[name] for v in values], higher=higher) for name, higher in CRITERIA.items()}
    front = pareto_front(np.array([[-v["val_auc"], v["latency_p50"], v["disk_mb"]] for v in values]))
    trials = [
        RankedTrial(
            trial_name(one), values[i], {name: ranks[name][i] for name in CRITERIA}, one.figures,
            one.gate.verdict if one.gate else "", bool(front[i]),
        )
        for i, one in enumerate(evaluations)
    ]  # fmt: skip
    order = sorted(range(len(evaluations)), key=lambda i: (-np.nan_to_num(values[i]["val_auc"], nan=-1), i))
    best = order[0]
    pairs = _pairs([evaluations[i] for i in order], draws)
    recommended, reason = _recommend(evaluations, trials, best, draws)
    return Ranking(
        evaluations[0].dataset, evaluations[0].split, len(evaluations[0].whole), tuple(trials[i] for i in order),
        tuple(pairs), recommended, reason, tuple(_published(evaluations[best])),
    )  # fmt: skip


def _values(one: TrialEvaluation) -> dict[str, float]:
    return {
        "val_acc": one.val_figures["acc"].value,
        "val_auc": one.val_figures["auc"].value,
        "val_f1_macro": one.val_figures["f1_macro"].value,
        "val_ece": one.val_figures["ece"].value,
        "latency_p50": one.cost.latency_p50 if one.cost else math.nan,
        "disk_mb": one.cost.disk_mb if one.cost else math.nan,
        "gate": GATE_ORDER[one.gate.verdict] if one.gate else math.nan,
    }


def _ranks(values: Sequence[float], *, higher: bool) -> list[float]:
    """Rank values: 1 is best, equals share the best of their ranks; NaN stays NaN."""
    from scipy.stats import rankdata

    known = np.array([-value if higher else value for value in values])
    return [float(v) for v in rankdata(known, method="min", nan_policy="omit")]


def pareto_front(costs: Real) -> np.ndarray:
    """Tell which rows no other row dominates: (n,) of (n, criteria), less is better. NaN counts as no criterion.

    >>> pareto_front(np.array([[1.0, 2.0], [2.0, 1.0], [2.0, 2.0]])).tolist()
    [True, True, False]
    """
    known = costs[:, np.isfinite(costs).all(axis=0)]
    no_worse = (known[:, None, :] <= known[None, :, :]).all(axis=2)
    better = (known[:, None, :] < known[None, :, :]).any(axis=2)
    return np.asarray(~(no_worse & better).any(axis=0))


def _pairs(evaluations: Sequence[TrialEvaluation], draws: int) -> list[Pair]:
    """Compare the first with each other one, corrected over all of them."""
    best, others = evaluations[0], evaluations[1:]
    areas = _auc_draws([one.whole for one in evaluations], draws)
    tests = [
        (_auc_test(best.whole, one.whole, areas[0], areas[i]), mcnemar(best.whole.correct, one.whole.correct))
        for i, one in enumerate(others, start=1)
    ]
    auc_p, acc_p = (holm([test[kind].p for test in tests]) for kind in (0, 1))
    return [
        Pair(trial_name(best), trial_name(one), *test, p_auc, p_acc)
        for one, test, p_auc, p_acc in zip(others, tests, auc_p, acc_p, strict=True)
    ]


def _auc_draws(predictions: Sequence[Predictions], draws: int) -> list[Real]:
    return auc_in_draws(predictions[0].labels, [one.scores for one in predictions], predictions[0].task, draws)


def _auc_test(first: Predictions, second: Predictions, of_first: Real, of_second: Real) -> PairedTest:
    """Apply DeLong's test for two classes, else the paired bootstrap."""
    if first.task == "binary-class":
        return delong(first.labels == 1, first.scores[:, -1], second.scores[:, -1])
    one, two = (auc(p.labels, p.scores, p.task) for p in (first, second))
    return paired_bootstrap(one, two, of_first - of_second)


def _recommend(
    evaluations: Sequence[TrialEvaluation], trials: Sequence[RankedTrial], best: int, draws: int
) -> tuple[str, str]:
    """Take the fastest trial that val does not tell from the best, those that pass the gate first."""
    gates = [trial.gate for trial in trials]
    areas = _auc_draws([one.val_predictions[-1] for one in evaluations], draws)
    alike = [bootstrap_p(areas[best] - areas[i]) > LEVEL or i == best for i in range(len(evaluations))]
    speed = np.array([trial.values["latency_p50"] for trial in trials])
    candidates = [best, *(i for i in range(len(evaluations)) if alike[i] and speed[i] < FASTER * speed[best])]
    passing = [i for i in candidates if gates[i] == "pass"]
    chosen = min(
        passing or candidates, key=lambda i: (np.nan_to_num(trials[i].values["latency_p50"], nan=0.0), i != best)
    )
    values, top = trials[chosen].values, trials[best].values
    said = f"val AUC {values['val_auc']:.4f}"
    if chosen == best:
        reason = f"{said}, the best, and no trial that val does not tell from it is much faster"
        if not math.isfinite(values["latency_p50"]):
            reason = f"{said}, the best; speed was not measured"
    else:
        reason = (
            f"{said}, which val does not tell apart from the best ({top['val_auc']:.4f}), at "
            f"{1e3 * values['latency_p50']:.1f} ms an image for {1e3 * top['latency_p50']:.1f}"
        )
    verdict = f"; gate: {gates[chosen]}" if gates[chosen] else ""
    return trials[chosen].name, reason + verdict


@cache
def published_figures() -> tuple[dict[str, str], ...]:
    """Read the published MedMNIST figures: dataset, method, auc, acc."""
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def _published(best: TrialEvaluation) -> list[Published]:
    if best.split != "test":
        return []

    def inside(name: str, figure: float) -> bool | None:
        interval = best.figures[name].images
        return figure in interval if math.isfinite(interval.low) else None

    rows = [row for row in published_figures() if row["dataset"] == best.dataset]
    return [
        Published(
            row["method"],
            float(row["auc"]),
            float(row["acc"]),
            inside("auc", float(row["auc"])),
            inside("acc", float(row["acc"])),
        )
        for row in rows
    ]
