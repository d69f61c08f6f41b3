"""Reads one trial from the ledger for a page: its curves by replicate, its gradients by layer, its command."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic_core import from_json

from analysis.browser_figures.curves_and_panels import Figure, Panels, epoch_axis, figure, text_of
from analysis.comparison.labels import show_value
from analysis.figures.style import colour_of
from analysis.figures.trial import COLOURS, panels_of
from analysis.runs.run_folder import RunFolder
from sweeps.live_run.followed_run import FollowedRun
from sweeps.record.state import TrialState
from trainables.atomic_files import open_regular

# layers with a line of their own
MOST_LAYERS = 24
HOVER = "seed {}, epoch %{{x}}: %{{y:.4g}}<extra>{}</extra>"
SINGLES = {"lr_used": "learning rate", "gradient_norm": "norm of the gradient"}
DASHES = ("solid", "dot", "dash", "dashdot", "longdash")


def trial_curves(followed: FollowedRun, trial: TrialState) -> Figure:
    """Draw each metric of each split by epoch, the learning rate and the norm of the gradient: a line a replicate."""
    shown = [name for name in trial.history.metrics if followed.state.ended or not name.startswith("test_")]
    history = trial.history
    values = np.frombuffer(history.values, np.float64).reshape(-1, max(history.replicates, 1), len(history.names))
    groups = panels_of(shown)
    singles = [name for name in SINGLES if np.isfinite(values[..., history.names.index(name)]).any()]
    panels = Panels([*groups, *(SINGLES[name] for name in singles)], 3, 230)
    steps = list(range(1, len(values) + 1))
    seeds = trial.config["seeds"]
    legend = set[str]()
    for panel, (name, curves) in enumerate([*groups.items(), *((name, {"": name}) for name in singles)]):
        for split, metric in curves.items():
            for number in range(history.replicates):
                label = split or name
                panels.add(
                    panel,
                    {
                        "type": "scatter", "mode": "lines" if len(steps) > 1 else "markers", "x": steps,
                        "y": values[:, number, history.names.index(metric)].tolist(), "name": text_of(label),
                        "connectgaps": True,
                        "legendgroup": label, "showlegend": bool(split) and label not in legend,
                        "line": {"color": COLOURS.get(split, colour_of(7)), "dash": DASHES[number % 5], "width": 1.5},
                        "hovertemplate": HOVER.format(seeds[number], text_of(label)),
                    },
                )  # fmt: skip
                legend.add(label)
        last = panel >= len(groups) + len(singles) - 3
        panels.axis(panel, "x", **{**epoch_axis(len(steps)), "title": {"text": "epoch" if last else ""}})
    return panels.figure()


def gradient_norms(run: RunFolder, trial: TrialState) -> Figure | None:
    """Draw the norm of each layer's gradient by epoch, means over replicates; None where none is kept."""
    layers: dict[str, list[tuple[int, float]]] = {}
    mark = b'"trial_id":' + json.dumps(trial.trial_id).encode()
    with open_regular(run.ledger) as lines:
        for line in lines:
            # most lines are of other trials, and are not read
            if mark in line and b'"gradient_norms"' in line:
                for name, value in _norms(line).items():
                    layers.setdefault(name, []).append(value)
    if not layers:
        return None
    data = [
        {
            "type": "scatter", "mode": "lines+markers", "x": [epoch for epoch, _ in points],
            "y": [value for _, value in points], "name": text_of(name), "line": {"color": colour_of(number)},
            "marker": {"size": 4}, "hovertemplate": "epoch %{x}: %{y:.3g}<extra>" + text_of(name) + "</extra>",
        }
        for number, (name, points) in enumerate(list(layers.items())[:MOST_LAYERS])
    ]  # fmt: skip
    return figure(
        data,
        xaxis=epoch_axis(max(epoch for points in layers.values() for epoch, _ in points)),
        yaxis={"title": {"text": "norm"}, "type": "log", "dtick": "D2", "tickformat": "~g"},
        height=360,
    )


def _norms(line: bytes) -> dict[str, tuple[int, float]]:
    try:
        event = from_json(line)
        rows = [row["gradient_norms"] for row in event["replicates"] if isinstance(row.get("gradient_norms"), dict)]
        names = dict.fromkeys(name for row in rows for name in row)
        known = {name: [row[name] for row in rows if isinstance(row.get(name), int | float)] for name in names}
        return {name: (int(event["epoch"]), sum(values) / len(values)) for name, values in known.items() if values}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def repeating_command(followed: FollowedRun, trial: TrialState, fields: Sequence[str]) -> str:
    """Return the command that trains this setting again, alone, by the definition in the run's folder."""
    config: Mapping[str, Any] = trial.config
    words = ["python", "-m", "sweeps.run", str(followed.run.path)]
    for name in fields:
        if name in config and name != "seeds":
            words += ["--fix" if name not in followed.scientific else "--set", f"{name}={typed_value(config[name])}"]
    words += ["--set", "seeds=" + ",".join(map(str, config["seeds"]))]
    return shlex.join(words)


def typed_value(value: Any) -> str:
    """Return a value as `--set` reads it."""
    if isinstance(value, list):
        return "-".join(map(typed_value, value))
    text = "none" if value is None else repr(value) if isinstance(value, float) else show_value(value)
    return '"' + text.replace('"', '""') + '"' if "," in text or '"' in text or text != text.strip() else text
