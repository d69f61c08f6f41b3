"""Figures of a run that is followed, from its ledger: learning curves, parallel coordinates, the use of workers."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime

from analysis.browser_figures.curves_and_panels import (
    Axis,
    Curve,
    Figure,
    Rung,
    figure,
    learning_curves,
    most_telling,
    parallel_coordinates,
    text_of,
)
from analysis.comparison.labels import show_value
from analysis.figures.style import COLOURS, FAINT
from analysis.trial_status import trained_to_its_end
from sweeps.live_run.event_log import Span, lanes
from sweeps.live_run.followed_run import FollowedRun
from sweeps.record.state import TrialState

# spans in the timeline at most, the newest
MOST_SPANS = 3000
STATUS_COLOURS = {
    "completed": COLOURS[2], "stopped": COLOURS[1], "diverged": COLOURS[3], "failed": COLOURS[4],
    "interrupted": COLOURS[6], "retried": COLOURS[4], "waiting": COLOURS[7], "lost": COLOURS[6], "running": COLOURS[0],
}  # fmt: skip


def group_of(followed: FollowedRun, trial: TrialState) -> str:
    """Return the compared values of a trial as one text."""
    return ", ".join(show_value(trial.config.get(name)) for name in followed.scientific)


def curves(followed: FollowedRun, metric: str) -> Figure:
    """Draw the learning curves of a metric, with the rungs of the metric that selects."""
    trials = list(followed.state.trials.values())
    groups = list(dict.fromkeys(group_of(followed, trial) for trial in trials))
    found = [
        Curve(
            trial.trial_id,
            group_of(followed, trial),
            trial.means.of(metric),
            faded=trial.ended and not trained_to_its_end(trial.status, trial.stop_reason),
            running=trial.status == "running",
        )
        for trial in trials
        if trial.epoch
    ]
    higher = not metric.endswith("loss") if metric != followed.metric else followed.mode == "max"
    rungs = _rungs(followed) if metric == followed.metric else []
    return learning_curves(most_telling(found, higher), metric, rungs, higher=higher, groups=groups)


def _rungs(followed: FollowedRun) -> list[Rung]:
    """Return the last cutoff of each rung at which a trial of a group was stopped."""
    found: dict[tuple[str, int], float] = {}
    for stop in followed.log.stops:
        trial = followed.state.trials.get(stop.trial_id)
        if trial and stop.epoch is not None and stop.cutoff is not None and math.isfinite(stop.cutoff):
            found[group_of(followed, trial), stop.epoch] = stop.cutoff
    return [Rung(group, epoch, cutoff) for (group, epoch), cutoff in found.items()]


def coordinates(followed: FollowedRun) -> Figure:
    """Draw parallel coordinates of the trials that have a value; `meta` names the row of each in the table."""
    shown = [trial for trial in followed.state.trials.values() if trial.epoch]
    bests = [followed.best_epoch(trial) for trial in shown]
    configs = [trial.config_now for trial in shown]
    axes = [Axis(name, [_setting(config.get(name)) for config in configs]) for name in followed.fields]
    axes.append(Axis("epochs", [trial.epoch for trial in shown]))
    for name in [name for name in followed.metrics[1:] if name.endswith(("acc", "loss")) and "train" not in name][:2]:
        values = [
            trial.means[best[0] - 1].get(name) if best else None for trial, best in zip(shown, bests, strict=True)
        ]
        axes.append(Axis(name, values))
    scores = [best[1] if best else None for best in bests]
    axes.append(Axis(followed.metric, scores))
    drawn = parallel_coordinates(axes, scores, higher=followed.mode == "max")
    drawn["layout"]["meta"] = {"rows": [followed.order[trial.trial_id] for trial in shown]}
    return drawn


def _setting(value: object) -> object:
    return value if isinstance(value, int | float | None) and not isinstance(value, bool) else show_value(value)


def timeline(followed: FollowedRun) -> Figure:
    """Draw when each trial was trained, a row for each that ran at a time, and when the run was gone on with."""
    spans = sorted(followed.log.spans, key=lambda span: span.start)
    # of a run whose driver is dead nothing runs; its last line says until when it lived
    alive = followed.status() == "running"
    now = time.time() if alive else followed.log.last
    places = lanes(spans, now)
    shown = list(zip(spans, places, strict=True))[-MOST_SPANS:]
    data = []
    for how, colour in STATUS_COLOURS.items():
        part = [(span, place) for span, place in shown if span.how == how]
        if part:
            data.append(_bars(part, "lost" if how == "running" and not alive else how, colour, now))
    lines = [
        {
            "type": "line", "x0": _at(moment), "x1": _at(moment), "y0": 0, "y1": 1, "yref": "paper",
            "line": {"color": FAINT, "dash": "dot", "width": 1},
        }
        for moment in followed.log.resumed
    ]  # fmt: skip
    rows = max(places, default=0) + 1
    yaxis = {"title": {"text": "place"}, "dtick": max(1, rows // 10), "autorange": "reversed", "zeroline": False}
    legend = {"orientation": "h", "y": 1.0, "yanchor": "bottom"}
    options = {
        "legend": legend,
        "bargap": 0.15,
        "barmode": "overlay",
        "shapes": lines,
        "height": min(560, 150 + 22 * rows),
    }
    return figure(data, xaxis={"type": "date"}, yaxis=yaxis, **options)


def _bars(part: list[tuple[Span, int]], how: str, colour: str, now: float) -> dict[str, object]:
    lengths = [(now if span.end is None else span.end) - span.start for span, _ in part]
    return {
        "type": "bar", "orientation": "h", "name": how, "base": [_at(span.start) for span, _ in part],
        "x": [round(1000 * length) for length in lengths], "y": [place + 1 for _, place in part],
        "text": [text_of(span.trial_id) for span, _ in part], "textposition": "inside", "insidetextanchor": "start",
        "customdata": [f"{length:.1f}" for length in lengths],
        "marker": {"color": colour, "line": {"width": 0}},
        "hovertemplate": "trial %{text}<br>%{base|%H:%M:%S}, %{customdata} s<extra>" + how + "</extra>",
    }  # fmt: skip


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
