"""Scientific values side by side: each at its best nuisance setting, with intervals, differences, ranks and noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.comparison.results import Results, as_text
from analysis.comparison.statistics import Estimate, bootstrap_mean, friedman, holm, mean_ranks, paired_p
from trainables.errors import InputError, unknown_name


@dataclass(frozen=True)
class Standing:
    """A scientific value in a block: its best trial by the validation metric, and how all its trials ended.

    trial is None and n 0 where no trial of the value can be judged. seeds: each metric by seed.
    """

    block: str
    value: str
    trial: str | None
    nuisance: Mapping[str, str]
    epochs: float
    metrics: Mapping[str, Estimate]
    seeds: Mapping[str, Mapping[int, float]]
    trials: int
    statuses: Mapping[str, int]
    left_out: int
    rank: float = math.nan

    @property
    def n(self) -> int:
        return max((estimate.n for estimate in self.metrics.values()), default=0)


@dataclass(frozen=True)
class Difference:
    """Value less the one it is compared with, over seeds that both have; p_corrected over all of the same metric."""

    block: str
    value: str
    against: str
    metric: str
    estimate: Estimate
    p: float
    p_corrected: float


@dataclass(frozen=True)
class Noise:
    """What replicates that differ by their seed alone differ by.

    deviation: pooled standard deviation within trials. least: two means of `n` replicates that differ by less cannot
    be told apart (5 %, two-sided t).
    """

    block: str
    metric: str
    deviation: float
    least: float
    n: int
    trials: int


@dataclass(frozen=True)
class Ranking:
    """Average ranks over blocks and seeds: Friedman's p, Nemenyi's least difference, and the number of rows."""

    ranks: Mapping[str, float]
    p: float
    least: float
    rows: int


@dataclass(frozen=True)
class Comparison:
    """Everything that `compare` says of scientific values."""

    metrics: tuple[str, ...]
    standings: tuple[Standing, ...]
    differences: tuple[Difference, ...]
    ranking: Ranking
    noise: tuple[Noise, ...]

    def block(self, name: str) -> list[Standing]:
        return [standing for standing in self.standings if standing.block == name]


def reported(metric: str) -> tuple[str, ...]:
    """The validation metric that selects, and what is only reported."""
    return tuple(dict.fromkeys((metric, "test_auc", "test_acc")))


def compare(results: Results, against: str | None = None) -> Comparison:
    """Compare the scientific values within each block; against: a value, or the best of each block.

    Raises `InputError` for a value that is not there.
    """
    if against is not None and against not in set(results.trials["value"]):
        raise InputError(unknown_name("value", against, dict.fromkeys(results.trials["value"])))
    metrics = reported(results.metric)
    standings = [standing for block in results.blocks for standing in _stand(results, block, metrics)]
    ranking = _rank(results, standings)
    standings = [replace(standing, rank=ranking.ranks.get(standing.value, math.nan)) for standing in standings]
    differences = [d for block in results.blocks for d in _differ(standings, block, against, metrics)]
    noise = [_noise(results, block, metric) for block in results.blocks for metric in metrics]
    return Comparison(metrics, tuple(standings), tuple(_correct(differences)), ranking, tuple(noise))


def _stand(results: Results, block: str, metrics: Sequence[str]) -> list[Standing]:
    """The values of a block, best first, those without a trial to judge last."""
    part = results.trials[results.trials["block"] == block]
    found = [_standing(results, block, str(value), rows, metrics) for value, rows in part.groupby("value", sort=False)]
    sign = -1.0 if results.mode == "max" else 1.0
    worst = math.inf

    def place(standing: Standing) -> float:
        return sign * standing.metrics[results.metric].mean if standing.trial else worst

    return sorted(found, key=place)


def best_trial(results: Results, rows: pd.DataFrame) -> str | None:
    """The trial with the best mean validation metric over its replicates, none of which may be undefined."""
    finished = rows[rows["finished"]]
    means = finished.groupby("trial", sort=False)[results.metric].agg(lambda values: values.mean(skipna=False)).dropna()
    if means.empty:
        return None
    return str(means.idxmax() if results.mode == "max" else means.idxmin())


def _standing(results: Results, block: str, value: str, rows: pd.DataFrame, metrics: Sequence[str]) -> Standing:
    trial = best_trial(results, rows)
    best = rows[rows["trial"] == trial]
    by_trial = rows.drop_duplicates("trial")
    return Standing(
        block,
        value,
        trial,
        {name: as_text(best[name].iloc[0]) for name in results.nuisance} if trial else {},
        float(best["epochs_trained"].max()) if trial else math.nan,
        {name: bootstrap_mean(best[name]) for name in metrics},
        {name: dict(zip(best["seed"].astype(int), best[name].astype(float), strict=True)) for name in metrics},
        len(by_trial),
        {str(status): int(n) for status, n in by_trial["status"].value_counts().items()},
        int((~by_trial["finished"]).sum()),
    )


def _differ(standings: Sequence[Standing], block: str, against: str | None, metrics: Sequence[str]) -> list[Difference]:
    """Differences of every value of a block from one of them; p_corrected is filled in later."""
    judged = [standing for standing in standings if standing.block == block and standing.trial]
    base = next((standing for standing in judged if against in (None, standing.value)), None)
    if base is None:
        return []
    found = []
    for metric in metrics:
        for other in judged:
            if other is base:
                continue
            seeds = sorted(set(other.seeds[metric]) & set(base.seeds[metric]))
            gaps = np.array([other.seeds[metric][seed] - base.seeds[metric][seed] for seed in seeds])
            found.append(
                Difference(block, other.value, base.value, metric, bootstrap_mean(gaps), paired_p(gaps), math.nan)
            )
    return found


def _correct(differences: Sequence[Difference]) -> list[Difference]:
    """Holm's correction over all differences in the same metric, in whatever block."""
    corrected = dict.fromkeys(range(len(differences)), math.nan)
    for metric in dict.fromkeys(difference.metric for difference in differences):
        places = [i for i, difference in enumerate(differences) if difference.metric == metric]
        corrected.update(zip(places, holm([differences[i].p for i in places]), strict=True))
    return [replace(difference, p_corrected=corrected[i]) for i, difference in enumerate(differences)]


def _rank(results: Results, standings: Sequence[Standing]) -> Ranking:
    """Ranks by the validation metric at the best setting, one row for each block and seed."""
    scores: dict[tuple[str, int], dict[str, float]] = {}
    for standing in standings:
        for seed, score in standing.seeds[results.metric].items():
            scores.setdefault((standing.block, seed), {})[standing.value] = score
    values = list(dict.fromkeys(standing.value for standing in standings if standing.trial))
    table = [[row.get(value, math.nan) for value in values] for row in scores.values()]
    complete = [row for row in table if not any(map(math.isnan, row))]
    if not complete:
        return Ranking({}, math.nan, math.nan, 0)
    ranks = mean_ranks(complete, higher=results.mode == "max")
    p, least = friedman(complete)
    return Ranking(dict(zip(values, map(float, ranks), strict=True)), p, least, len(complete))


def _noise(results: Results, block: str, metric: str) -> Noise:
    from scipy import stats

    part = results.trials[(results.trials["block"] == block) & results.trials["finished"]]
    groups = part.groupby("trial")[metric]
    counts, variances = groups.count(), groups.var(ddof=1)
    freedom = float((counts - 1).clip(lower=0).sum())
    n = int(counts.max()) if len(counts) else 0
    if freedom == 0:
        return Noise(block, metric, math.nan, math.nan, n, len(counts))
    deviation = math.sqrt(float((variances * (counts - 1)).sum()) / freedom)
    least = float(stats.t.ppf(0.975, freedom)) * deviation * math.sqrt(2.0 / n)
    return Noise(block, metric, deviation, least, n, len(counts))


def as_document(found: Any) -> Any:
    """Dataclasses, mappings and numbers as what JSON can hold; numbers that are not finite become null."""
    from dataclasses import fields, is_dataclass

    if is_dataclass(found) and not isinstance(found, type):
        return {field.name: as_document(getattr(found, field.name)) for field in fields(found)}
    if isinstance(found, Mapping):
        return {str(name): as_document(value) for name, value in found.items()}
    if isinstance(found, list | tuple):
        return [as_document(value) for value in found]
    if isinstance(found, float | np.floating):
        return float(found) if math.isfinite(found) else None
    return int(found) if isinstance(found, np.integer) else found
