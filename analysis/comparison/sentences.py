"""Sentences that say the results of a comparison: each follows from the figures beside it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from analysis.comparison.cautions import alike
from analysis.comparison.labels import join_words
from analysis.comparison.results import Results
from analysis.comparison.standings import Comparison, Difference, Noise, Standing
from analysis.grids import format_number
from analysis.statistics.estimates_and_tests import FEWEST, FEWEST_DATASETS, MOST_SEEDS, Estimate, seeds_to_tell_apart

if TYPE_CHECKING:
    from analysis.comparison.correlations import Association
    from analysis.comparison.importance import Importance

LEVEL = 0.05
# A mean AUC or accuracy from which on three decimals read 1.000.
SATURATED = 0.9995
# Numbers of a grid from which on a best one at its end says something.
NAMES = {
    "auc": "AUC", "acc": "accuracy", "loss": "loss", "val": "validation", "gap": "gap between training and test",
}  # fmt: skip


def name_of(metric: str) -> str:
    """Write `val_auc` as `validation AUC`, `gap_acc` as `gap between training and test accuracy`."""
    return " ".join(NAMES.get(part, part) for part in metric.split("_"))


def format_p(p: float) -> str:
    """Write a p-value as `p = 0.032`, `p < 0.001`; `no p` where there is none."""
    if math.isnan(p):
        return "no p"
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def format_estimate(estimate: Estimate) -> str:
    """Write an estimate as `0.9712 ± 0.0031`; the mean alone where there is no interval."""
    half = "" if math.isnan(estimate.half_width) else f" ± {estimate.half_width:.4f}"
    return format_number(estimate.mean) + half


def answers(results: Results, comparison: Comparison) -> list[str]:
    """Answer the question: a paragraph for each block, then one over all of them."""
    paragraphs = [" ".join(_block(results, comparison, block)) for block in results.blocks]
    return [*paragraphs, *_ranks(results, comparison)]


def verdict(results: Results, comparison: Comparison, block: str) -> str:
    """Say in one sentence that no values of a block can be told apart; empty where some can."""
    judged = [standing for standing in comparison.block(block) if standing.trial]
    differences = [d for d in comparison.differences if (d.block, d.metric) == (block, results.metric)]
    if len(judged) < 2 or any(d.p_corrected < LEVEL for d in differences):
        return _saturation(results, judged)
    base = differences[0].against
    seeds = max((d.estimate.n for d in differences), default=0)
    if seeds < FEWEST:
        reason = f"with {seeds} seed{'s' * (seeds != 1)} nothing is known of chance: run with --seeds {FEWEST} or more"
    else:
        several = f"none of {len(differences)} differences from {base} is"
        which = f"the difference of {differences[0].value} from {base} is not" if len(differences) == 1 else several
        reason = f"{which} beyond what seeds do by chance"
        reason += f" ({_range(differences)})"
    return f"Nothing is told apart: {reason}. {_saturation(results, judged)}".strip()


def told_apart(results: Results, comparison: Comparison, block: str) -> str:
    """Say in one sentence which values of a block differ from the one that they are compared with; "" for none."""
    differences = [d for d in comparison.differences if (d.block, d.metric) == (block, results.metric)]
    clear = [d for d in differences if d.p_corrected < LEVEL]
    if not clear:
        return ""
    names = join_words([f"{d.value} ({format_p(d.p_corrected)})" for d in clear])
    return f"Told apart from {clear[0].against}: {names}; paired t tests over seeds, Holm-corrected."


def _saturation(results: Results, judged: Sequence[Standing]) -> str:
    """Say that two values or more are at the top of what an AUC or accuracy can be."""
    top = [s for s in judged if s.metrics[results.metric].mean >= SATURATED]
    if results.metric.endswith("loss") or len(top) < 2:
        return ""
    who = f"all {len(top)} values" if len(top) == len(judged) else f"{len(top)} of {len(judged)} values"
    return (
        f"The {name_of(results.metric)} is saturated ({who} reach {SATURATED} or more), so that it ranks noise: ask "
        "with harder data, fewer images (--set data_fraction=0.1) or --metric val_loss."
    )


def _block(results: Results, comparison: Comparison, block: str) -> Iterator[str]:
    standings = comparison.block(block)
    judged = [standing for standing in standings if standing.trial]
    where = f"On {block}: " if block else ""
    if not judged:
        known = f" with a defined {name_of(results.metric)}" if any(s.undefined for s in standings) else ""
        yield f"{where}no trial was trained to its end{known}, so that nothing can be compared."
        yield from _left_out(results, block, standings)
        return
    best = judged[0]
    differences = [d for d in comparison.differences if d.block == block and d.metric == results.metric]
    yield f"{where}{_best(results, best, len(judged))}"
    yield from _told_apart(differences, best)
    yield from alike(results, comparison, block)
    if sentence := verdict(results, comparison, block):
        yield sentence
    yield from _more_seeds(results, differences, judged)
    yield from _test(judged)
    noise = next(n for n in comparison.noise if n.block == block and n.metric == results.metric)
    yield from _noise(results, noise)
    yield from _left_out(results, block, standings)


def _best(results: Results, best: Standing, judged: int) -> str:
    score = best.metrics[results.metric]
    word = "highest" if results.mode == "max" else "lowest"
    interval = "" if math.isnan(score.half_width) else " and 95 % interval"
    seeds = f"mean{interval} over {score.n} seeds" if score.n > 1 else "one seed"
    setting = "".join(f", {name} {value}" for name, value in best.nuisance.items())
    of = f", the {word} of {judged} values" if judged > 1 else ""
    name = best.value or "the one setting"
    return f"{name} reached a {name_of(results.metric)} of {format_estimate(score)} ({seeds}{setting}){of}."


def _told_apart(differences: Sequence[Difference], best: Standing) -> Iterator[str]:
    if not differences:
        return
    base = "it" if differences[0].against == best.value else differences[0].against
    clear = [d for d in differences if d.p_corrected < LEVEL]
    unclear = [d for d in differences if not d.p_corrected < LEVEL and not d.identical]
    if clear:
        texts = [f"{d.value} by {_gap(d)}" for d in clear]
        yield f"From {base} differed {join_words(texts)} (paired t tests over seeds, Holm-corrected)."
    if clear and unclear:
        verb = "was" if len(unclear) == 1 else "were"
        yield f"{join_words([d.value for d in unclear])} {verb} not distinguishable from {base} ({_range(unclear)})."


def _range(differences: Sequence[Difference]) -> str:
    """Write one difference as `−0.0012, p = 0.4`, several by their largest size and least p."""
    if len(differences) == 1:
        return _gap(differences[0])
    largest = max((abs(d.estimate.mean) for d in differences if not math.isnan(d.estimate.mean)), default=math.nan)
    known = [d.p_corrected for d in differences if not math.isnan(d.p_corrected)]
    least = f", {format_p(min(known)).replace('=', '≥')}" if known else ""
    return f"at most {format_number(largest)}{least}"


def _gap(difference: Difference) -> str:
    sign = "+" if difference.estimate.mean > 0 else ""
    return f"{sign}{format_estimate(difference.estimate)}, {format_p(difference.p_corrected)}"


def _more_seeds(results: Results, differences: Sequence[Difference], judged: Sequence[Standing]) -> Iterator[str]:
    """Say how many seeds would tell the nearest value apart from the one it is compared with."""
    seeds = {standing.value: standing.seeds[results.metric] for standing in judged}
    for d in differences:
        own, base = seeds[d.value], seeds[d.against]
        needed = seeds_to_tell_apart([own[seed] - base[seed] for seed in own if seed in base])
        if not d.p_corrected < LEVEL and needed is not None:
            count = f"more than {MOST_SEEDS}" if needed >= MOST_SEEDS else f"about {needed}"
            yield f"To tell {d.value} from {d.against} by such a difference would take {count} seeds (power 80 %)."
            return


def _test(judged: Sequence[Standing]) -> Iterator[str]:
    metric = next((name for name in judged[0].metrics if name.startswith("test_")), None)
    if metric is None or math.isnan((best := judged[0].metrics[metric]).mean):
        return
    sign = -1 if metric.endswith("loss") else 1
    known = [standing for standing in judged if not math.isnan(standing.metrics[metric].mean)]
    leader = max(known, key=lambda standing: sign * standing.metrics[metric].mean)
    text = f"Its {name_of(metric)}, by which nothing was selected, is {format_estimate(best)}"
    if sign * leader.metrics[metric].mean > sign * best.mean:
        word = "lowest" if sign < 0 else "highest"
        text += f"; the {word} is that of {leader.value}, {format_estimate(leader.metrics[metric])}"
    yield f"{text}."


def _noise(results: Results, noise: Noise) -> Iterator[str]:
    if not math.isnan(noise.deviation):
        yield (
            f"Seeds alone move the {name_of(results.metric)} by {format_number(noise.deviation)} (standard deviation "
            f"within {noise.trials} trials): two means of {noise.n} seeds that are closer than "
            f"{format_number(noise.least)} cannot be told apart."
        )


def _left_out(results: Results, block: str, standings: Sequence[Standing]) -> Iterator[str]:
    if results.equal_epochs is not None:
        yield f"All trials are judged after {results.equal_epochs[block]} epochs, those stopped early included."
        return
    count = sum(standing.left_out for standing in standings)
    judged = any(standing.trial for standing in standings)
    statuses: Counter[str] = Counter()
    for standing in standings:
        statuses.update({status: n for status, n in standing.statuses.items() if status != "completed"})
    if count:
        kinds = (
            join_words([f"{n} {status}" for status, n in statuses.items()]) if statuses else "replicates are missing"
        )
        total = sum(standing.trials for standing in standings)
        yield f"Left out: {count} of {total} trials, in which a replicate was not trained to its end ({kinds})."
    if undefined := sum(standing.undefined for standing in standings):
        values = [standing.value for standing in standings if standing.undefined and not standing.trial and judged]
        names = f", all of {join_words(values)} among them" if values else ""
        yield f"The {name_of(results.metric)} of {undefined} trials is undefined with some seed: left out{names}."


def _ranks(results: Results, comparison: Comparison) -> Iterator[str]:
    ranking = comparison.ranking
    if len(ranking.ranks) < 2:
        return
    best = min(ranking.ranks.values())
    names = join_words([value for value, rank in ranking.ranks.items() if rank == best])
    text = (
        f"Over {ranking.rows} datasets or settings that have all of {len(ranking.ranks)} values, {names} "
        f"rank{'s' * (list(ranking.ranks.values()).count(best) == 1)} best: {best:.2f} on average"
    )
    if not math.isnan(ranking.p):
        end = "the values differ" if ranking.p < LEVEL else "the ranks do not tell the values apart"
        text += f"; by Friedman's test {end} ({format_p(ranking.p)})"
    elif ranking.rows < FEWEST_DATASETS:
        text += f"; fewer than {FEWEST_DATASETS} are too few for Friedman's test"
    yield f"{text}."


def importance_words(importance: Importance) -> str:
    """Name the field that matters most in a block, and the trials that say so."""
    where = f"On {importance.block}, " if importance.block else ""
    when = f"each judged after {importance.epochs} epochs" if importance.epochs is not None else ""
    rest = f"{importance.left_out} more have no value to judge" if importance.left_out else ""
    over = f"{importance.n} trials" + f" ({'; '.join(filter(None, (when, rest)))})" * bool(when or rest)
    if not importance.shares:
        return f"{where}{over} are too few or too alike to say which hyperparameter matters."
    shares = sorted(importance.shares.items(), key=lambda item: item[1], reverse=True)
    others = "".join(f", {name} {share:.0%}" for name, share in shares[1:3])
    return (
        f"{where}{shares[0][0]} matters most for being among the best {importance.quantile:.0%} of {over}: "
        f"{shares[0][1]:.0%} of the importance{others}."
    ).replace("%", " %")


def association_words(associations: Sequence[Association]) -> str:
    """Say how many associations survive, without and with fields held, and name the strongest."""
    known = [association for association in associations if not math.isnan(association.plain.rho)]
    if not known:
        return "There are too few finished trials (6 or more) for a correlation of complexity with performance."
    one = known[0]
    most = max(association.plain.n for association in known)
    over = f"Over the {most} finished trials, "
    if not (one.blocked or one.adjusted):
        return f"{over}{_count(known, plain=True)}{_clearest(known, plain=True)}"
    held = [f"compared within equal {join_words(one.blocked)}"] * bool(one.blocked)
    held += [f"linearly adjusted for the rank of {join_words(one.adjusted)}"] * bool(one.adjusted)
    text = " and ".join(held).replace("_", " ")
    partial = [association for association in known if not math.isnan(association.partial.rho)]
    if not partial:
        return f"{over}{_count(known, plain=True)}; too few are left to be {text}{_clearest(known, plain=True)}"
    still = _surviving(partial, plain=False)
    return f"{over}{_count(known, plain=True)}; {text}, {still} do{_clearest(partial, plain=False)}"


def _surviving(known: Sequence[Association], *, plain: bool) -> int:
    return sum((a.plain_corrected if plain else a.partial_corrected) < LEVEL for a in known)


def _count(known: Sequence[Association], *, plain: bool) -> str:
    return (
        f"{_surviving(known, plain=plain)} of {len(known)} rank correlations between a measure and an outcome survive "
        "the correction for many tests (Benjamini-Hochberg, 5 %)"
    )


def _clearest(known: Sequence[Association], *, plain: bool) -> str:
    def p(association: Association) -> tuple[float, float]:
        one = association.plain if plain else association.partial
        return one.p, -abs(one.rho)

    best = min(known, key=p)
    one, corrected = (best.plain, best.plain_corrected) if plain else (best.partial, best.partial_corrected)
    interval = "" if math.isnan(one.low) else f"{format_number(one.low, 2)} to {format_number(one.high, 2)}, "
    return (
        f". The {'clearest' if corrected < LEVEL else 'strongest'} is {best.measure} with the {name_of(best.outcome)}: "
        f"ρ = {format_number(one.rho, 2)} ({interval}n = {one.n} trials, corrected {format_p(corrected)})."
    )
