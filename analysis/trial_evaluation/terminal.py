"""An evaluation on a terminal and in `report.txt`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from analysis.evaluation.bootstrap import Figure, Interval
from analysis.evaluation.calibration import COVERAGE, Calibration
from analysis.evaluation.cost import Cost
from analysis.evaluation.gate import NOTICE, Gate
from analysis.evaluation.groups import Gap
from analysis.evaluation.predictions import Predictions
from analysis.grids import print_grid
from analysis.terminal.plain_text import visible
from analysis.trial_evaluation.ranking import SOURCE, Ranking
from analysis.trial_evaluation.tables import (
    MOST_CLASSES,
    STYLES,
    calibration_grid,
    classes_grid,
    confusion_grid,
    figures_grid,
    gate_grid,
    groups_grid,
    number,
    operating_grid,
    pairs_grid,
    published_grid,
    ranks_grid,
    reported_grid,
    span,
)
from analysis.trial_evaluation.trial import TrialEvaluation
from trainables.data.arrays import MULTI_LABEL


def say(console: Console, text: str, style: str = "") -> None:
    """Print plain text, wrapped at words; control characters are made visible."""
    console.print(Text(visible(text), style=style), highlight=False)


def print_evaluation(console: Console, evaluation: TrialEvaluation) -> None:
    """Print everything that is known of a trial, the gate last."""
    for line in headings(evaluation):
        say(console, line)
    print_grid(console, figures_grid(evaluation))
    print_grid(console, classes_grid(evaluation.classes, evaluation.averages))
    if evaluation.confusion.ndim == 2 and len(evaluation.whole.class_names) <= MOST_CLASSES:
        print_grid(console, confusion_grid(evaluation))
    print_grid(console, operating_grid(evaluation.operating[evaluation.whole.model], evaluation.whole.model))
    print_grid(console, calibration_grid(evaluation.calibration))
    for line in calibration_lines(evaluation.calibration[evaluation.whole.model], evaluation.whole):
        say(console, line)
    if evaluation.groups:
        print_grid(console, groups_grid(evaluation.groups))
        for gap in evaluation.gaps:
            say(console, gap_line(gap))
    if evaluation.cost:
        say(console, cost_line(evaluation.cost))
    if evaluation.gate:
        print_gate(console, evaluation.gate)


def headings(evaluation: TrialEvaluation) -> list[str]:
    """Return the run, trial and split in lines, and the notes."""
    seeds = len(evaluation.chosen.weights)
    return [
        f"{evaluation.chosen.run.sweep}/{evaluation.chosen.run.run_id}, trial {evaluation.chosen.label}",
        f"{evaluation.dataset}, {evaluation.split}: {len(evaluation.whole)} images, "
        f"{len(evaluation.whole.class_names)} classes; "
        f"{seeds} seed{'s' * (seeds > 1)}, the best weights of each",
        *(f"note: {note}" for note in evaluation.notes),
    ]


def calibration_lines(calibration: Calibration, predictions: Predictions) -> list[str]:
    """Write prediction sets and selective prediction in sentences."""
    model, sets = predictions.model, calibration.conformal
    wanted, held = f"{100 * COVERAGE:.0f} %", f"{100 * sets.coverage:.1f} %"
    promise = f"the true class in {wanted}: they do in {held}, with {sets.mean_size:.2f} classes"
    if predictions.task == MULTI_LABEL:
        promise = f"{wanted} of an image's labels: they hold {held}, with {sets.mean_size:.2f} labels"
    shares = (
        f"{number(accuracy)} of the surest {100 * share:.0f} %" for share, accuracy in calibration.selective.items()
    )
    return [
        f"prediction sets ({model}) made on val to hold {promise} on average",
        f"accuracy ({model}): {', '.join(shares)}",
    ]


def gap_line(gap: Gap) -> str:
    """Write the gap of a column in a sentence."""
    unclear = "" if gap.interval.low > 0 else "; not clearly apart from 0"
    return (
        f"gap by {gap.column}: {gap.best} {gap.difference:.3f} more accurate than {gap.worst} "
        f"(95 % {span(gap.interval)}{unclear})"
    )


def cost_line(cost: Cost) -> str:
    """Write the cost of a prediction in a line."""
    batches = ", ".join(f"{rate:.0f} images/s in batches of {n}" for n, rate in cost.throughput.items())
    p50, p95 = (f"{1e3 * seconds:.1f}" for seconds in (cost.latency_p50, cost.latency_p95))
    around = span(Interval(1e3 * cost.p95_interval.low, 1e3 * cost.p95_interval.high), 1)
    return (
        f"cost on {cost.device}{' (one thread)' * (cost.device == 'cpu')}: one image {p50} ms (p50), {p95} ms (p95, "
        f"95 % {around}); {batches}; {cost.memory_mb:.1f} MiB of tensors, {cost.macs / 1e6:.1f} million "
        f"multiply-adds, {cost.parameters:,} parameters, {cost.disk_mb:.2f} MiB on disk"
    )


def print_gate(console: Console, gate: Gate) -> None:
    """Print each criterion with its verdict, the warnings, and the verdict of all."""
    print_grid(console, gate_grid(gate))
    for warning in gate.warnings:
        say(console, f"warning: {warning}")
    say(console, f"gate: {gate.verdict}", f"bold {STYLES[gate.verdict]}")
    say(console, NOTICE)


def figure_text(figure: Figure, digits: int = 4) -> str:
    """Write a figure with its interval over images: `0.8526 (0.795 to 0.904)`."""
    return f"{number(figure.value, digits)} ({span(figure.images)})"


def figures_line(evaluation: TrialEvaluation) -> str:
    """Write a trial in one line."""
    verdict = f", gate: {evaluation.gate.verdict}" if evaluation.gate else ""
    return (
        f"trial {evaluation.chosen.label}: {evaluation.split} accuracy {figure_text(evaluation.figures['acc'])}, "
        f"AUC {figure_text(evaluation.figures['auc'])}{verdict}"
    )


def print_rankings(console: Console, rankings: Sequence[Ranking]) -> None:
    """Print ranks, tests in pairs, the published figures and the recommendation, which comes last."""
    for ranking in rankings:
        count = f"{ranking.dataset}, {len(ranking.trials)} trials"
        say(console, f"{count}; val ranks, {ranking.split} ({ranking.images} images) is only reported")
        print_grid(console, ranks_grid(ranking.trials))
        print_grid(console, reported_grid(ranking))
        if ranking.pairs:
            print_grid(console, pairs_grid(ranking.pairs))
        if ranking.published:
            print_grid(console, published_grid(ranking.published, ranking.trials[0].name))
            say(console, f"published: {SOURCE}")
        say(console, f"recommended: {ranking.recommended}: {ranking.reason}")
