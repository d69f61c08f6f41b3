"""The tables of an evaluation, each built once and drawn on a terminal, in `report.txt` and in the report's page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from analysis.comparison.sentences import format_p
from analysis.evaluation.bootstrap import Figure, Interval
from analysis.evaluation.calibration import Calibration
from analysis.evaluation.gate import Gate
from analysis.evaluation.groups import GroupRow
from analysis.evaluation.per_class import SENSITIVITY, ClassRow, OperatingPoint
from analysis.grids import Cell, Column, Grid, number_cell
from analysis.trial_evaluation.ranking import Pair, Published, RankedTrial, Ranking
from analysis.trial_evaluation.trial import TrialEvaluation

# Classes of a table; metrics.json has all.
MOST_CLASSES = 30
# Letters of a name in a table.
LONG_NAME = 18
NAMES = {
    "acc": "accuracy", "auc": "AUC", "balanced_acc": "balanced accuracy", "f1_macro": "macro F1", "mcc": "MCC",
    "kappa": "Cohen's kappa", "kappa_quadratic": "quadratic kappa", "ece": "calibration error", "brier": "Brier score",
}  # fmt: skip
STYLES = {"pass": "green", "fail": "red", "not decided": "yellow"}


def number(value: float, digits: int = 3) -> str:
    """Write a number, or `-` where it is undefined."""
    return number_cell(value, digits).text if math.isfinite(value) else "-"


def span(interval: Interval, digits: int = 3) -> str:
    """Write an interval as `0.812 to 0.903`, `0.812 or more` without an upper end, or `-`."""
    if interval.high == math.inf:
        return f"{number(interval.low, digits)} or more"
    return f"{number(interval.low, digits)} to {number(interval.high, digits)}" if math.isfinite(interval.low) else "-"


def short(name: str, most: int = LONG_NAME) -> str:
    """Cut a name to a length, `…` at its end."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def real(value: float, digits: int = 3) -> Cell:
    """Build the cell of a number; what is not finite is `-`."""
    return number_cell(value if math.isfinite(value) else math.nan, digits)


def range_cell(interval: Interval, digits: int = 3) -> Cell:
    """Build the cell of an interval: `0.812–0.903`, sorted by its lower end."""
    text = span(interval, digits)
    return Cell(text if "−" in text else text.replace(" to ", "–"), sort=interval.low)


def figures_grid(evaluation: TrialEvaluation) -> Grid:
    """Tabulate the headline figures with both intervals, and those of the ensemble."""
    several, ensemble = len(evaluation.seeds) > 1, evaluation.ensemble_figures or {}
    heads = [Column("figure", True), Column("mean over seeds" if several else "value"), Column("95 % images")]
    heads += [Column("95 % seeds")] if several else []
    heads += [Column("ensemble", drop=1), Column("ensemble 95 %", drop=2)] if ensemble else []
    rows = [_figure_cells(name, figure, ensemble.get(name), several) for name, figure in evaluation.figures.items()]
    title = "headline figures: 95 % intervals over other images, and over other seeds"
    return Grid(title if several else "headline figures: 95 % intervals over other images", tuple(heads), tuple(rows))


def _figure_cells(name: str, figure: Figure, ensemble: Figure | None, several: bool) -> tuple[Cell, ...]:
    cells = [Cell(NAMES[name]), real(figure.value, 4), range_cell(figure.images)]
    cells += [range_cell(figure.seeds)] if several else []
    cells += [real(ensemble.value, 4), range_cell(ensemble.images)] if ensemble else []
    return tuple(cells)


def classes_grid(rows: Sequence[ClassRow], averages: Mapping[str, Mapping[str, float]]) -> Grid:
    """Tabulate one row a class, then macro and weighted means."""
    heads = (
        Column("class", True), Column("images"), Column("precision"), Column("recall"), Column("95 %"),
        Column("specificity"), Column("NPV", drop=2), Column("F1"), Column("AUC", drop=1), Column("AP", drop=3),
    )  # fmt: skip
    lines = [_class_cells(row) for row in rows[:MOST_CLASSES]]
    for how, f in averages.items():
        figures = [
            real(f["precision"]),
            real(f["recall"]),
            Cell(""),
            *(real(f[k]) for k in ("specificity", "npv", "f1")),
        ]
        lines.append((Cell(how), Cell(""), *figures, Cell(""), Cell("")))
    return Grid("each class against the rest, mean over seeds", heads, tuple(lines))


def _class_cells(row: ClassRow) -> tuple[Cell, ...]:
    f = row.figures
    last = [real(value) for value in (f["specificity"], f["npv"], f["f1"], row.auc, row.ap)]
    name, support = Cell(short(row.name)), Cell(str(row.support), sort=float(row.support))
    return (name, support, real(f["precision"]), real(f["recall"]), range_cell(row.recall_95, 2), *last)


def confusion_grid(evaluation: TrialEvaluation) -> Grid:
    """Tabulate counts and per cent of each true class, mean over seeds."""
    names = [short(name) for name in evaluation.whole.class_names]
    heads = (Column("true", True), *(Column(name) for name in names))
    rows = []
    for name, row in zip(names, evaluation.confusion, strict=True):
        total = max(float(row.sum()), 1.0)
        rows.append(
            (Cell(name), *(Cell(f"{count:.1f}", f"{100 * count / total:.0f} %", float(count)) for count in row))
        )
    return Grid("confusion: true classes by row, mean over seeds", heads, tuple(rows))


def operating_grid(points: Sequence[OperatingPoint], model: str) -> Grid:
    """Tabulate the thresholds chosen on val, and their figures."""
    heads = (
        Column("class", True), Column("threshold"), Column("val sens."), Column("val spec.", drop=2), Column("sens."),
        Column("95 %"), Column("spec."), Column("precision", drop=1), Column("NPV", drop=1),
    )  # fmt: skip
    rows = [_operating_cells(point) for point in points[:MOST_CLASSES]]
    return Grid(f"thresholds for {100 * SENSITIVITY:.0f} % sensitivity, chosen on val ({model})", heads, tuple(rows))


def _operating_cells(point: OperatingPoint) -> tuple[Cell, ...]:
    there, here = ({name: real(v) for name, v in part.items()} for part in (point.chosen, point.found))
    return (
        Cell(short(point.name)), real(point.threshold), there["sensitivity"], there["specificity"],
        here["sensitivity"], range_cell(point.sensitivity_95, 2), here["specificity"], here["precision"], here["npv"],
    )  # fmt: skip


def calibration_grid(calibration: Mapping[str, Calibration]) -> Grid:
    """Tabulate the calibration of each network, before and after its temperature."""
    errors = ("ece", "ece_equal_mass", "classwise", "brier", "log_loss")
    heads = (Column("network", True), *map(Column, ("temp.", "ECE", "equal mass", "classwise", "Brier", "log loss")))
    rows = [
        (Cell(name), real(temperature, 2), *(real(values[error], 4) for error in errors))
        for name, fitted in calibration.items()
        for temperature, values in ((1.0, fitted.errors), (fitted.temperature, fitted.tempered))
    ]
    return Grid("calibration, as trained and at the temperature that fits val", heads, tuple(rows))


def groups_grid(rows: Sequence[GroupRow]) -> Grid:
    """Tabulate accuracy, AUC and F1 of each group."""
    heads = (
        Column("by", True), Column("group", True), Column("images"), Column("accuracy"), Column("95 %"), Column("AUC"),
        Column("F1"), Column("enough", True),
    )  # fmt: skip
    lines = []
    for row in rows:
        f = row.figures
        names = (Cell(short(row.column)), Cell(short(row.group)), Cell(str(row.n), sort=float(row.n)))
        cells = (real(f["acc"]), range_cell(row.acc_95, 2), real(f["auc"]), real(f["f1_macro"]))
        lines.append((*names, *cells, Cell("too few" if row.too_small else "")))
    return Grid("groups, mean over seeds", heads, tuple(lines))


def gate_grid(gate: Gate) -> Grid:
    """Tabulate each criterion with its verdict."""
    heads = (Column("criterion", True), Column("found"), Column("95 %"), Column("wanted"), Column("verdict", True))
    rows = [
        (Cell(one.name), real(one.value), range_cell(one.interval), Cell(f"{one.relation} {one.threshold:g}"),
         Cell(one.verdict, style=STYLES[one.verdict]))
        for one in gate.criteria
    ]  # fmt: skip
    return Grid("gate", heads, tuple(rows))


def ranks_grid(trials: Sequence[RankedTrial]) -> Grid:
    """Tabulate val figures, speed and size with their ranks below."""
    digits = {"val_auc": 4, "val_acc": 3, "val_f1_macro": 3, "val_ece": 3, "latency_p50": 1, "disk_mb": 2}
    heads = (
        Column("trial", True), Column("front", True), Column("val AUC"), Column("val accuracy"), Column("val F1"),
        Column("val ECE", drop=1), Column("ms an image"), Column("MiB"), Column("gate", True),
    )  # fmt: skip
    rows = []
    for trial in trials:
        cells = [
            number_cell(trial.values[name] * (1e3 if name == "latency_p50" else 1), decimals, _rank(trial.ranks[name]))
            for name, decimals in digits.items()
        ]
        front = Cell("*" if trial.on_front else "")
        rows.append((Cell(trial.name), front, *cells, Cell(trial.gate, style=STYLES.get(trial.gate, ""))))
    return Grid("ranks in brackets; * Pareto front of val AUC, speed and size", heads, tuple(rows))


def _rank(rank: float) -> str:
    return f"({rank:.0f})" if math.isfinite(rank) else ""


def reported_grid(ranking: Ranking) -> Grid:
    """Tabulate figures of the evaluated split with their intervals over images."""
    split = ranking.split
    heads = (
        Column("trial", True), Column(f"{split} AUC"), Column("95 %"), Column(f"{split} accuracy"), Column("95 %"),
        Column(f"{split} F1", drop=1), Column(f"{split} ECE", drop=2),
    )  # fmt: skip
    rows = []
    for trial in ranking.trials:
        f = trial.figures
        cells = [cell for name in ("auc", "acc") for cell in (real(f[name].value, 4), range_cell(f[name].images))]
        rows.append((Cell(trial.name), *cells, real(f["f1_macro"].value), real(f["ece"].value)))
    return Grid(f"{split}, only reported: 95 % intervals over images", heads, tuple(rows))


def pairs_grid(pairs: Sequence[Pair]) -> Grid:
    """Tabulate the differences of the best by val and each other trial."""
    first = pairs[0]
    heads = (
        Column("trial", True), Column("AUC"), Column("AUC 95 %", drop=1), Column("AUC p"), Column("accuracy"),
        Column("accuracy 95 %", drop=2), Column("accuracy p"),
    )  # fmt: skip
    rows = [
        (Cell(pair.second), real(pair.auc.difference), range_cell(pair.auc.interval),
         Cell(format_p(pair.auc_p), sort=pair.auc_p), real(pair.acc.difference), range_cell(pair.acc.interval),
         Cell(format_p(pair.acc_p), sort=pair.acc_p))
        for pair in pairs
    ]  # fmt: skip
    methods = f"AUC by {first.auc.method}, accuracy by {first.acc.method}; p by Holm"
    return Grid(f"{first.first} less each other: {methods}", heads, tuple(rows))


def _inside(known: bool | None) -> str:
    return "-" if known is None else "yes" if known else "no"


def published_grid(rows: Sequence[Published], best: str) -> Grid:
    """Tabulate published figures, and whether they lie in the interval of our best trial."""
    heads = (
        Column("method", True),
        Column("AUC"),
        Column("in ours", True),
        Column("accuracy"),
        Column("in ours", True),
    )
    lines = [
        (Cell(row.method), real(row.auc), Cell(_inside(row.auc_inside)), real(row.acc),
         Cell(_inside(row.acc_inside)))
        for row in rows
    ]  # fmt: skip
    return Grid(f"published figures, and whether the 95 % intervals of {best} hold them", heads, tuple(lines))
