"""The summary of a run: for each scientific value its best nuisance setting, best first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from rich.table import Table
from rich.text import Text

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Interval:
    """A mean over n replicates with its 95 % interval (Student's t); half_width is NaN for n < 2."""

    mean: float
    half_width: float
    n: int

    def __str__(self) -> str:
        if math.isnan(self.mean):
            return "-"
        return f"{self.mean:.4f}" + ("" if math.isnan(self.half_width) else f" ±{self.half_width:.4f}")


def interval(values: Iterable[float]) -> Interval:
    """Mean and 95 % Student-t interval of the mean; values that are NaN make it NaN."""
    from scipy.stats import t

    known = list(values)
    n = len(known)
    if n == 0:
        return Interval(math.nan, math.nan, 0)
    half = float(t.ppf(0.975, n - 1)) * stdev(known) / math.sqrt(n) if n > 1 else math.nan
    return Interval(fmean(known), half, n)


@dataclass(frozen=True)
class TrialSummary:
    """One trial: its config fields of interest and its metrics over replicates."""

    trial_id: str
    status: str
    scientific: Mapping[str, Any]
    nuisance: Mapping[str, Any]
    metrics: Mapping[str, Interval]
    epochs: int
    epochs_planned: int


@dataclass(frozen=True)
class Group:
    """A scientific value: its best trial, and how its trials ended."""

    best: TrialSummary
    trials: int
    statuses: Mapping[str, int]


def summarize_trials(
    rows: Sequence[Row], scientific: Sequence[str], nuisance: Sequence[str], metrics: Sequence[str]
) -> list[TrialSummary]:
    """One summary per trial from rows of `trials.parquet`."""
    trials: dict[str, list[Row]] = {}
    for row in rows:
        trials.setdefault(row["trial_id"], []).append(row)
    return [
        TrialSummary(
            trial_id,
            part[0]["status"],
            {name: part[0][name] for name in scientific},
            {name: part[0][name] for name in nuisance},
            {name: interval(row[name] for row in part) for name in metrics},
            max(row["epochs_trained"] for row in part),
            part[0]["epochs"],
        )
        for trial_id, part in trials.items()
    ]


def group_trials(trials: Sequence[TrialSummary], metric: str, mode: str) -> list[Group]:
    """Best first; a group's best is chosen by the mean of the validation metric, completed trials before all others."""
    groups: dict[tuple[str, ...], list[TrialSummary]] = {}
    for trial in trials:
        groups.setdefault(tuple(str(value) for value in trial.scientific.values()), []).append(trial)

    def rank(trial: TrialSummary) -> tuple[bool, float]:
        value = trial.metrics[metric].mean
        loss = -value if mode == "max" else value
        return trial.status != "completed", math.inf if math.isnan(loss) else loss

    found = [Group(min(part, key=rank), len(part), _count(part)) for part in groups.values()]
    return sorted(found, key=lambda group: rank(group.best))


def _count(trials: Sequence[TrialSummary]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for trial in trials:
        counts[trial.status] = counts.get(trial.status, 0) + 1
    return counts


def summary_table(groups: Sequence[Group], metric: str, complexity: Sequence[str]) -> Table:
    """A Rich table of the groups; the first column is the rank."""
    table = Table(title=None, header_style="bold", expand=False, pad_edge=False)
    table.add_column("#", justify="right", style="dim")
    first = groups[0].best if groups else None
    for name in first.scientific if first else ():
        table.add_column(name, style="bold", overflow="fold")
    for name in first.nuisance if first else ():
        table.add_column(f"best {name}", justify="right")
    test = [f"test_{name}" for name in ("auc", "acc")]
    for name in (metric, *test):
        table.add_column(name.replace("_", " "), justify="right", no_wrap=True)
    table.add_column("epochs", justify="right")
    table.add_column("trials", no_wrap=True)
    for name in complexity:
        table.add_column(name.replace("_", " "), justify="right")
    for number, group in enumerate(groups, start=1):
        best = group.best
        table.add_row(
            str(number),
            *(show_value(value) for value in best.scientific.values()),
            *(show_value(value) for value in best.nuisance.values()),
            *(str(best.metrics[name]) for name in (metric, *test)),
            f"{best.epochs}/{best.epochs_planned}",
            status_text(group.statuses),
            *(show_mean(best.metrics[name].mean) for name in complexity),
        )
    return table


def show_mean(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def show_value(value: Any) -> str:
    """A config value as it is written on the command line: `512-256`, `0.001`."""
    if isinstance(value, float):
        return f"{value:.3g}"
    return "-".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


STYLES = {"completed": "green", "stopped": "yellow", "diverged": "magenta", "failed": "red", "interrupted": "red"}


def status_text(counts: Mapping[str, int]) -> Text:
    """`1 completed, 3 stopped`, coloured."""
    parts = [Text(f"{n} {status}", STYLES.get(status, "")) for status, n in counts.items()]
    return Text(", ").join(parts)
