"""Makes the tables of a followed run for a page: its trials as columns, and its progress in a few rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from analysis.comparison.labels import hashable, show_value
from analysis.comparison.sentences import name_of
from analysis.grids import Cell, Grid, columns_of, number_cell
from analysis.page.parts import LongColumn
from analysis.statistics.estimates_and_tests import FEWEST, mean_interval
from analysis.terminal.plain_text import visible
from sweeps.live_run.event_log import Stop
from sweeps.live_run.followed_run import FollowedRun
from sweeps.record.progress import Best
from sweeps.record.state import TrialState
from sweeps.screen.live import clock, describe

# rows of a short table at most
MOST_ROWS = 60
FAILURES = 20


def trial_columns(followed: FollowedRun, trials: Iterable[TrialState]) -> list[LongColumn]:
    """Return the table's columns for some trials: names, settings, state, and values at its best epoch."""
    trials = list(trials)
    bests = [followed.best_epoch(trial) for trial in trials]
    configs = [trial.config_now for trial in trials]
    columns = [LongColumn("trial", [visible(trial.trial_id) for trial in trials], text=True)]
    columns += [_field(name, configs) for name in followed.fields]
    columns += [
        LongColumn("status", [trial.status for trial in trials], text=True, status=True),
        LongColumn("epoch", [trial.epoch for trial in trials]),
        LongColumn("of", [trial.config["epochs"] for trial in trials]),
        LongColumn(followed.metric, [best[1] if best else None for best in bests], digits=4),
        LongColumn("best epoch", [best[0] if best else None for best in bests]),
    ]
    for name in followed.metrics[1:]:
        at_best = [_number(trial.means[best[0] - 1].get(name)) if best else None for trial, best in zip(trials, bests)]  # noqa: B905
        columns.append(LongColumn(name, at_best, digits=4, better="lower" if name.endswith("loss") else ""))
    return [
        *columns,
        LongColumn(
            "seconds",
            [round(trial.history.seconds(), 1) if trial.epoch else None for trial in trials],
            digits=1,
            better="lower",
        ),
        LongColumn("parameters", [trial.parameters for trial in trials], better="lower"),
        LongColumn("attempts", [trial.attempts for trial in trials], better="lower"),
        LongColumn("ended by", [visible(trial.stop_reason) for trial in trials], text=True),
    ]


def _field(name: str, configs: Sequence[Mapping[str, Any]]) -> LongColumn:
    values = [config.get(name) for config in configs]
    numbers = all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in values if value is not None
    )
    return LongColumn(name, values if numbers else [visible(show_value(value)) for value in values], text=not numbers)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def summary(followed: FollowedRun) -> dict[str, Any]:
    """Return what the head of the page says: state, share, and a sentence with counts and times."""
    progress = followed.progress()
    last = followed.state.last
    return {
        "state": followed.status(),
        "share": round(progress.share, 4),
        "words": describe(progress),
        "ended": progress.ended,
        "planned": progress.planned,
        "counts": {status: n for status, n in progress.counts.items() if n},
        "left": clock(progress.seconds_left) if progress.seconds_left else "",
        "silent": round((datetime.now(UTC) - last).total_seconds(), 1) if last else None,
    }


def best_so_far(followed: FollowedRun) -> Grid:
    """Return the best mean that a trial of each compared value has reached so far, the best first.

    Below it stands its 95 % interval over the trial's replicates, from three on.
    """
    rows = [
        (
            Cell(best.name),
            number_cell(best.value, 4, _interval(followed, best)),
            Cell(visible(best.trial_id)),
            Cell(str(best.epoch), sort=best.epoch),
            _of(best.ended, best.trials),
        )
        for best in followed.tally.best()[:MOST_ROWS]
    ]
    heads = ["best so far", f"{name_of(followed.metric)}, 95 % over seeds", "of trial", "at epoch", "ended"]
    return Grid("", columns_of(heads, words=heads[:1]), tuple(rows))


def _interval(followed: FollowedRun, best: Best) -> str:
    """Return `0.93 to 0.95`, "" where too few replicates say nothing of chance."""
    history = followed.state.trials[best.trial_id].history
    if history.replicates < FEWEST or followed.metric not in history.names:
        return ""
    width, place = len(history.names), history.names.index(followed.metric)
    first = (best.epoch - 1) * history.replicates * width + place
    found = mean_interval(history.values[first : first + history.replicates * width : width])
    return "" if math.isnan(found.low) else f"{found.low:.4f} to {found.high:.4f}"


def strata(followed: FollowedRun) -> Grid:
    """Return how far each group of trials is that compete with each other."""
    rows = [
        (
            Cell(one.name),
            _of(one.ended, one.trials),
            Cell(str(one.stopped), sort=one.stopped),
            Cell(str(one.epochs), sort=one.epochs),
        )
        for one in followed.tally.strata()[:MOST_ROWS]
    ]
    heads = ["competing with each other", "ended", "stopped", "epochs trained"]
    return Grid("", columns_of(heads, words=heads[:1]), tuple(rows))


def stops(followed: FollowedRun) -> list[LongColumn]:
    """Return who was stopped, the newest first: when, at which epoch, by which value against which peers."""
    found: list[Stop] = followed.log.stops[::-1]
    first = followed.state.first
    began = first.timestamp() if first else 0.0
    return [
        LongColumn("trial", [visible(stop.trial_id) for stop in found], text=True),
        LongColumn("after", [clock(stop.time - began) for stop in found], text=True),
        LongColumn("at epoch", [stop.epoch for stop in found]),
        LongColumn(followed.metric, [stop.value for stop in found], digits=4),
        LongColumn("cutoff", [stop.cutoff for stop in found], digits=4),
        LongColumn("peers", [stop.peers for stop in found]),
        LongColumn("reason", [visible(stop.reason) for stop in found], text=True),
    ]


def failures(followed: FollowedRun) -> Grid:
    """Return the causes of failed trials with their counts."""
    rows = [(Cell(cause), Cell(str(n), sort=float(n))) for cause, n in followed.tally.failures()[:FAILURES]]
    return Grid("", columns_of(["cause", "trials"], words=["cause"]), tuple(rows))


def _of(ended: int, trials: int) -> Cell:
    return Cell(f"{ended}/{trials}", sort=ended / trials if trials else 0.0)


def differing(followed: FollowedRun, trial: TrialState) -> tuple[dict[str, str], dict[str, str]]:
    """Return a trial's config as texts: the fields in which trials differ, and all others."""
    config = trial.config_now
    others = [other.config for other in _sample(followed)]
    apart = [name for name in config if len({hashable(other.get(name)) for other in others}) > 1]
    first = dict.fromkeys((*(name for name in followed.fields if name in config), *apart))
    texts = {name: show_value(value) for name, value in config.items()}
    return {name: texts[name] for name in first}, {name: text for name, text in texts.items() if name not in first}


def _sample(followed: FollowedRun) -> list[TrialState]:
    trials = list(followed.state.trials.values())
    return trials[:: max(1, len(trials) // 200)]
