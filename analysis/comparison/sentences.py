"""What a comparison came to, in sentences: each follows from the figures beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from analysis.comparison.correlations import Association
from analysis.comparison.importance import Importance
from analysis.comparison.results import Results
from analysis.comparison.standings import Comparison, Difference, Noise, Standing
from analysis.comparison.statistics import Correlation

LEVEL = 0.05
NAMES = {
    "auc": "AUC", "acc": "accuracy", "loss": "loss", "val": "validation", "gap": "gap between training and test",
}  # fmt: skip


def name_of(metric: str) -> str:
    """`val_auc` as `validation AUC`, `gap_acc` as `gap between training and test accuracy`."""
    return " ".join(NAMES.get(part, part) for part in metric.split("_"))


def figure(value: float) -> str:
    """Four decimals, with a true minus sign."""
    return "-" if math.isnan(value) else f"{value:.4f}".replace("-", "−")


def chance(p: float) -> str:
    """`p = 0.032`, `p < 0.001`; `no p` where there is none."""
    if math.isnan(p):
        return "no p"
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def answers(results: Results, comparison: Comparison) -> list[str]:
    """The answer to the question: a paragraph for each block, then one over all of them."""
    found = [" ".join(_block(results, comparison, block)) for block in results.blocks]
    return [*found, *_ranks(results, comparison)]


def _block(results: Results, comparison: Comparison, block: str) -> Iterator[str]:
    standings = comparison.block(block)
    judged = [standing for standing in standings if standing.trial]
    where = f"On {block}: " if block else ""
    if not judged:
        yield f"{where}no trial was trained to its end, so that nothing can be compared."
        return
    best = judged[0]
    yield f"{where}{_best(results, best)}"
    others = [d for d in comparison.differences if d.block == block and d.metric == results.metric]
    yield from _told_apart(others, best, judged)
    yield from _test(results, judged)
    noise = next(n for n in comparison.noise if n.block == block and n.metric == results.metric)
    yield from _noise(results, noise)
    yield from _left_out(results, block, standings)


def _best(results: Results, best: Standing) -> str:
    score = best.metrics[results.metric]
    word = "highest" if results.mode == "max" else "lowest"
    interval = f"95 % interval {figure(score.low)} to {figure(score.high)}, " if score.n > 1 else ""
    setting = "".join(f", {name} {value}" for name, value in best.nuisance.items())
    seeds = f"{score.n} seed{'s' * (score.n != 1)}"
    return (
        f"{best.value or 'the one value'} has the {word} {name_of(results.metric)}, {figure(score.mean)} "
        f"({interval}{seeds}{setting})."
    )


def _told_apart(differences: Sequence[Difference], best: Standing, judged: Sequence[Standing]) -> Iterator[str]:
    if len(judged) < 2:
        return
    clear = [d for d in differences if d.p_corrected < LEVEL]
    unclear = [d for d in differences if not d.p_corrected < LEVEL]
    base = differences[0].against
    if base != best.value:
        yield f"Against {base}:"
    if clear:
        texts = [f"{d.value} ({figure(d.estimate.mean)}, {chance(d.p_corrected)})" for d in clear]
        yield f"Different beyond chance, paired by seed: {listed(texts)}."
    if unclear:
        texts = [f"{d.value} ({figure(d.estimate.mean)}, {chance(d.p_corrected)})" for d in unclear]
        yield f"Not told apart from it: {listed(texts)}."


def _test(results: Results, judged: Sequence[Standing]) -> Iterator[str]:
    leader = max(judged, key=lambda s: (not math.isnan(s.metrics["test_auc"].mean), s.metrics["test_auc"].mean))
    best = judged[0].metrics["test_auc"].mean
    if math.isnan(best):
        return
    text = f"Its test AUC, by which nothing was selected, is {figure(best)}"
    if leader is not judged[0]:
        text += f"; the highest is that of {leader.value}, {figure(leader.metrics['test_auc'].mean)}"
    yield f"{text}."


def _noise(results: Results, noise: Noise) -> Iterator[str]:
    if math.isnan(noise.deviation):
        yield "With one seed a trial, nothing is known of what chance does: run with --seeds 3 or more."
        return
    yield (
        f"Seeds alone move the {name_of(results.metric)} by {figure(noise.deviation)} (standard deviation within "
        f"{noise.trials} trials): means of {noise.n} seeds closer than {figure(noise.least)} say nothing."
    )
    if noise.n < 3:
        yield "Fewer than 3 seeds: take the intervals with caution."


def _left_out(results: Results, block: str, standings: Sequence[Standing]) -> Iterator[str]:
    if results.equal_epochs is not None:
        yield f"All trials are judged after {results.equal_epochs[block]} epochs, those stopped early included."
        return
    count = sum(standing.left_out for standing in standings)
    statuses: dict[str, int] = {}
    for standing in standings:
        for status, n in standing.statuses.items():
            statuses[status] = statuses.get(status, 0) + n * (status != "completed")
    if count:
        kinds = listed([f"{n} {status}" for status, n in statuses.items() if n])
        total = sum(standing.trials for standing in standings)
        yield f"Left out: {count} of {total} trials that were not trained to their end ({kinds})."


def _ranks(results: Results, comparison: Comparison) -> Iterator[str]:
    ranking = comparison.ranking
    if len(results.blocks) < 2 or len(ranking.ranks) < 2:
        return
    best = min(ranking.ranks, key=lambda value: ranking.ranks[value])
    text = (
        f"Over the {ranking.rows} pairs of setting and seed that have all values, {best} ranks best: "
        f"{ranking.ranks[best]:.2f} of {len(ranking.ranks)} on average"
    )
    if not math.isnan(ranking.p):
        verdict = "the values differ" if ranking.p < LEVEL else "the ranks do not tell the values apart"
        text += f"; by Friedman's test {verdict} ({chance(ranking.p)})"
    yield f"{text}."


def importance_words(importance: Importance) -> str:
    """Which field matters most in a block."""
    where = f"On {importance.block}, " if importance.block else ""
    if not importance.shares:
        return f"{where}{importance.n} trials are too few or too alike to say which hyperparameter matters."
    name, share = max(importance.shares.items(), key=lambda item: item[1])
    return (
        f"{where}{name} matters most for being among the best {importance.quantile:.0%} of {importance.n} trials: "
        f"{share:.0%} of the importance."
    ).replace("%", " %")


def association_words(found: Sequence[Association]) -> str:
    """How many associations survive, without and with what is held, and the strongest."""
    known = [association for association in found if not math.isnan(association.partial.rho)]
    if not known:
        return "There are too few trials for a correlation of complexity with performance."
    surviving = [association for association in known if association.partial_corrected < LEVEL]
    strongest = min(surviving or known, key=lambda a: (a.partial.p, -abs(a.partial.rho)))
    text = f"{_count(surviving, known)} survive the correction for many tests (Benjamini-Hochberg, 5 %)"
    if strongest.controls:
        plain = [association for association in known if association.plain_corrected < LEVEL]
        held = listed([name.replace("_", " ") for name in strongest.controls])
        text = (
            f"{_count(plain, known)} survive the correction for many tests (Benjamini-Hochberg, 5 %); with {held} held"
        )
        text += f"{', which may move both' if len(surviving) < len(plain) else ''}, {len(surviving)} do"
    rho, low, high = (f"{x:.2f}".replace("-", "−") for x in vars_of(strongest.partial))
    return (
        f"{text}. The {'clearest' if surviving else 'strongest'} is {strongest.measure} with the "
        f"{name_of(strongest.outcome)}: ρ = {rho} ({low} to {high}, n = {strongest.partial.n} trials, corrected "
        f"{chance(strongest.partial_corrected)})."
    )


def _count(some: Sequence[Association], known: Sequence[Association]) -> str:
    return f"{len(some)} of {len(known)} rank correlations between a measure and an outcome"


def vars_of(found: Correlation) -> tuple[float, float, float]:
    """The correlation and its limits."""
    return found.rho, found.low, found.high
