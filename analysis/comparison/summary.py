"""The summary of a run: for each scientific value its best nuisance setting, best first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Interval:
    """A mean over n replicates with its 95 % interval (Student's t); half_width is NaN for n < 2."""

    mean: float
    half_width: float
    n: int

    def text(self, separator: str) -> str:
        """`0.9712`, the separator, `±.0031`; `-` where nothing is known."""
        if math.isnan(self.mean):
            return "-"
        return f"{self.mean:.4f}" + (
            "" if math.isnan(self.half_width) else f"{separator}±{f'{self.half_width:.4f}'.removeprefix('0')}"
        )


def interval(values: Iterable[float]) -> Interval:
    """Mean and 95 % Student-t interval of the mean; values that are NaN make it NaN."""
    from scipy.special import stdtrit  # Student's t quantile; scipy.stats would take a second to import

    known = list(values)
    n = len(known)
    if n == 0:
        return Interval(math.nan, math.nan, 0)
    if not all(map(math.isfinite, known)):  # `stdev` cannot take them
        return Interval(fmean(known), math.nan, n)
    half = float(stdtrit(n - 1, 0.975)) * stdev(known) / math.sqrt(n) if n > 1 else math.nan
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


WIDE = 118  # columns of a terminal from which on a value and its interval stand on one line


def summary_table(groups: Sequence[Group], metric: str, complexity: Sequence[str], width: int) -> Table:
    """A Rich table of the groups, best first, for a terminal of `width` columns."""
    separator = " " if width >= WIDE else "\n"
    shown = (metric, "test_auc", "test_acc")
    table = Table(header_style="bold", pad_edge=False, padding=(0, 1, 0, 0), box=box.SIMPLE_HEAD)
    if width >= WIDE:
        table.add_column("#", justify="right", style="dim")
    for name in groups[0].best.scientific if groups else ():
        longest = max(len(text) for text in (name, *(show_value(group.best.scientific[name]) for group in groups)))
        table.add_column(name.replace("_", separator), style="bold", overflow="fold", min_width=min(longest, 16))
    for name in groups[0].best.nuisance if groups else ():
        table.add_column(f"best{separator}{name}", justify="right", overflow="fold")
    for name in shown:
        table.add_column(name.replace("_", separator), justify="right", no_wrap=True)
    table.add_column("epochs", justify="right", no_wrap=True)
    table.add_column("trials", no_wrap=True)
    for name in complexity:
        table.add_column(name.replace("_", separator), justify="right", no_wrap=True)
    for number, group in enumerate(groups, start=1):
        cells = _cells(group, shown, complexity, separator)
        table.add_row(*([str(number)] if width >= WIDE else []), *cells)
    return table


def _cells(group: Group, shown: Sequence[str], complexity: Sequence[str], separator: str) -> list[str | Text]:
    best = group.best
    return [
        *(show_value(value) for value in (*best.scientific.values(), *best.nuisance.values())),
        *(best.metrics[name].text(separator) for name in shown),
        f"{best.epochs}/{best.epochs_planned}",
        status_text(group.statuses, separator),
        *(show_mean(best.metrics[name].mean) for name in complexity),
    ]


def show_mean(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def show_value(value: Any) -> str:
    """A config value as it is written on the command line: `512-256`, `0.001`."""
    if isinstance(value, float):
        return f"{value:.3g}"
    return "-".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


STYLES = {"completed": "green", "stopped": "yellow", "diverged": "magenta", "failed": "red", "interrupted": "red"}


def status_text(counts: Mapping[str, int], separator: str) -> Text:
    """`1 done`, the separator, `3 stopped`, coloured."""
    words = {"completed": "done"}  # the table is wide enough already
    parts = [Text(f"{n} {words.get(status, status)}", STYLES.get(status, "")) for status, n in counts.items()]
    return Text("\n" if separator == "\n" else ", ").join(parts)
