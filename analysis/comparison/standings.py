"""Scientific values side by side: each at its best nuisance setting, with intervals, differences, ranks and noise.

The summary at the end of a run, `sweeps.show`, `analysis.compare` and the report all select here. Loads without pandas.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, variance

from analysis.comparison.labels import distinct_texts, hashable
from analysis.comparison.results import Results
from analysis.statistics.estimates_and_tests import (
    ROUNDING,
    Estimate,
    friedman,
    holm,
    mean_interval,
    mean_ranks,
    paired_p,
)
from trainables.errors import InputError, unknown_name


@dataclass(frozen=True)
class Trial:
    """One setting with all its replicates: each metric by seed, in the order of the seeds."""

    name: str
    block: str
    value: str
    ended: str
    finished: bool
    nuisance: Mapping[str, str]
    epochs: int
    epochs_planned: int
    metrics: Mapping[str, Mapping[int, float]]

    def mean(self, metric: str) -> float:
        """Return the mean over replicates; NaN where one is undefined."""
        return fmean(self.metrics[metric].values())


@dataclass(frozen=True)
class Standing:
    """A scientific value in a block: its best trial by the validation metric, and how all its trials ended.

    trial is None and n 0 where no trial of the value can be judged. seeds: each metric by seed. left_out: trials that
    were not trained to their end; undefined: those that were, and whose validation metric is undefined. rank: of the
    mean validation metric within the block, 1 is best.
    """

    block: str
    value: str
    trial: str | None
    nuisance: Mapping[str, str]
    epochs: float
    epochs_planned: float
    metrics: Mapping[str, Estimate]
    seeds: Mapping[str, Mapping[int, float]]
    trials: int
    statuses: Mapping[str, int]
    left_out: int
    undefined: int = 0
    rank: float = math.nan

    @property
    def n(self) -> int:
        """Return the replicates of the best trial."""
        return max((estimate.n for estimate in self.metrics.values()), default=0)


@dataclass(frozen=True)
class Difference:
    """Value less the one it is compared with, over seeds that both have; p_corrected over all of the same metric.

    identical: every replicate of one scored as its counterpart.
    """

    block: str
    value: str
    against: str
    metric: str
    estimate: Estimate
    p: float
    p_corrected: float
    identical: bool = False


@dataclass(frozen=True)
class Noise:
    """The differences between replicates that differ by their seed alone.

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
    """Average ranks over blocks that have all the ranked values; Friedman's p, Nemenyi's least difference, blocks."""

    ranks: Mapping[str, float]
    p: float
    least: float
    rows: int


@dataclass(frozen=True)
class Comparison:
    """The comparison of scientific values that `compare` makes."""

    metrics: tuple[str, ...]
    standings: tuple[Standing, ...]
    differences: tuple[Difference, ...]
    ranking: Ranking
    noise: tuple[Noise, ...]

    def block(self, name: str) -> list[Standing]:
        """Return the standings of a block, best first."""
        return [standing for standing in self.standings if standing.block == name]


# Test metrics that a comparison shows.
MOST_REPORTED = 2


def reported(results: Results) -> tuple[str, ...]:
    """Return the validation metric that selects, and those that are only reported: AUC and accuracy where there are."""
    known = [name for name in results.metrics if name.startswith("test_")]
    known.sort(key=lambda name: ("test_auc", "test_acc").index(name) if name in ("test_auc", "test_acc") else 2)
    return tuple(dict.fromkeys((results.metric, *known[:MOST_REPORTED])))


def group_trials(results: Results, metrics: Iterable[str]) -> list[Trial]:
    """Return one `Trial` for each trial of the table, in its order."""
    metrics = tuple(metrics)
    names = ["trial", "block", "value", "ended", "finished", "seed", "epochs_trained", "epochs"]
    rows = results.table.select(list(dict.fromkeys((*names, *metrics)))).to_pylist()
    settings = {
        name: distinct_texts([hashable(value) for value in results.table[name].to_pylist()])
        for name in results.nuisance
    }
    groups: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        groups.setdefault(row["trial"], []).append(number)
    trials = []
    for name, numbers in groups.items():
        part = sorted((rows[number] for number in numbers), key=lambda row: row["seed"])
        first = part[0]
        trials.append(
            Trial(
                name, first["block"], first["value"], first["ended"], first["finished"],
                {field: texts[numbers[0]] for field, texts in settings.items()},
                max(row["epochs_trained"] for row in part), first["epochs"] or 0,
                {metric: {row["seed"]: _number(row[metric]) for row in part} for metric in metrics},
            )
        )  # fmt: skip
    return trials


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def best_of(trials: Iterable[Trial], metric: str, mode: str) -> Trial | None:
    """Return the finished trial with the best mean over its replicates, none of which may be undefined or infinite."""
    known = [trial for trial in trials if trial.finished and math.isfinite(trial.mean(metric))]
    sign = 1.0 if mode == "max" else -1.0
    return max(known, key=lambda trial: sign * trial.mean(metric), default=None)


def stand(results: Results, trials: Iterable[Trial]) -> list[Standing]:
    """Return the standings of every value: block by block, the best first, those without a trial to judge last."""
    groups: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials:
        groups.setdefault((trial.block, trial.value), []).append(trial)
    standings = [_standing(results, part) for part in groups.values()]
    return [standing for block in results.blocks for standing in _ranked(results, standings, block)]


def _standing(results: Results, trials: Sequence[Trial]) -> Standing:
    metrics = tuple(trials[0].metrics)
    best = best_of(trials, results.metric, results.mode)
    return Standing(
        trials[0].block,
        trials[0].value,
        best.name if best else None,
        best.nuisance if best else {},
        best.epochs if best else math.nan,
        best.epochs_planned if best else math.nan,
        {name: mean_interval(best.metrics[name].values() if best else ()) for name in metrics},
        {name: best.metrics[name] if best else {} for name in metrics},
        len(trials),
        dict(Counter(trial.ended for trial in trials)),
        sum(not trial.finished for trial in trials),
        sum(trial.finished and not math.isfinite(trial.mean(results.metric)) for trial in trials),
    )


def _ranked(results: Results, standings: Sequence[Standing], block: str) -> list[Standing]:
    own = [standing for standing in standings if standing.block == block]
    means = [standing.metrics[results.metric].mean for standing in own if standing.trial]
    better = (lambda a, b: a > b) if results.mode == "max" else (lambda a, b: a < b)

    def rank(standing: Standing) -> float:
        mean = standing.metrics[results.metric].mean
        # Equal means share the middle of their ranks.
        return sum(better(other, mean) for other in means) + (1 + means.count(mean)) / 2.0

    ranked = [replace(standing, rank=rank(standing)) if standing.trial else standing for standing in own]
    return sorted(ranked, key=lambda standing: standing.rank if standing.trial else math.inf)


def compare(results: Results, against: str | None = None, also: Iterable[str] = ()) -> Comparison:
    """Compare the scientific values within each block.

    against: a value, or the best of each block. also: columns whose means the standings have besides. Raises
    `InputError` for a value that is not there.
    """
    if against is not None and against not in results.values:
        raise InputError(unknown_name("value", against, results.values))
    metrics = reported(results)
    trials = group_trials(results, (*metrics, *also))
    standings = stand(results, trials)
    differences = [d for block in results.blocks for d in _differ(standings, block, against, metrics)]
    noise = [_noise(trials, block, metric) for block in results.blocks for metric in metrics]
    ranking = _rank_over_blocks(results, standings)
    return Comparison(metrics, tuple(standings), tuple(_correct(differences)), ranking, tuple(noise))


def _differ(standings: Sequence[Standing], block: str, against: str | None, metrics: Sequence[str]) -> list[Difference]:
    """Return the differences of every value of a block from one of them; p_corrected is filled in later."""
    judged = [standing for standing in standings if standing.block == block and standing.trial]
    base = next((standing for standing in judged if against in (None, standing.value)), None)
    if base is None:
        return []
    return [_difference(other, base, metric) for metric in metrics for other in judged if other is not base]


def _difference(value: Standing, base: Standing, metric: str) -> Difference:
    own, others = value.seeds[metric], base.seeds[metric]
    gaps = [own[seed] - others[seed] for seed in sorted(set(own) & set(others))]
    return Difference(
        value.block, value.value, base.value, metric, mean_interval(gaps), paired_p(gaps), math.nan,
        bool(gaps) and not any(gaps),
    )  # fmt: skip


def _correct(differences: Sequence[Difference]) -> list[Difference]:
    """Apply Holm's correction over all differences in the same metric, in whatever block."""
    corrected = dict.fromkeys(range(len(differences)), math.nan)
    for metric in dict.fromkeys(difference.metric for difference in differences):
        numbers = [i for i, difference in enumerate(differences) if difference.metric == metric]
        corrected.update(zip(numbers, holm([differences[i].p for i in numbers]), strict=True))
    return [replace(difference, p_corrected=corrected[i]) for i, difference in enumerate(differences)]


def _rank_over_blocks(results: Results, standings: Sequence[Standing]) -> Ranking:
    """Return the average ranks of the values that every block has, by the mean over seeds at the best setting."""
    scores: dict[str, dict[str, float]] = {}
    for standing in standings:
        if standing.trial:
            scores.setdefault(standing.block, {})[standing.value] = standing.metrics[results.metric].mean
    values = [value for value in results.values if all(value in row for row in scores.values())]
    if len(scores) < 2 or len(values) < 2:
        return Ranking({}, math.nan, math.nan, len(scores))
    table = [[row[value] for value in values] for row in scores.values()]
    ranks = mean_ranks(table, higher=results.mode == "max")
    p, least = friedman(table)
    return Ranking(dict(zip(values, map(float, ranks), strict=True)), p, least, len(table))


def _noise(trials: Sequence[Trial], block: str, metric: str) -> Noise:
    from scipy.special import stdtrit

    chosen = [trial for trial in trials if trial.block == block and trial.finished]
    groups = [[value for value in trial.metrics[metric].values() if math.isfinite(value)] for trial in chosen]
    n = max(map(len, groups), default=0)
    freedom = sum(max(len(group) - 1, 0) for group in groups)
    squares = sum(variance(group) * (len(group) - 1) for group in groups if len(group) > 1)
    deviation = math.sqrt(squares / freedom) if freedom else 0.0
    if deviation <= ROUNDING:
        # Seeds that do not differ say nothing of chance.
        return Noise(block, metric, math.nan, math.nan, n, len(groups))
    return Noise(
        block, metric, deviation, float(stdtrit(freedom, 0.975)) * deviation * math.sqrt(2.0 / n), n, len(groups)
    )
