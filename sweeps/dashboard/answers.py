"""Answers of the live page about a run and a trial, as JSON: each is made once for a state of the run."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from analysis.browser_figures.curves_and_panels import Figure
from analysis.page.parts import LongColumn
from analysis.page.render import part_html
from analysis.runs.run_folder import RunFolder
from analysis.runs.sync import where
from analysis.terminal.plain_text import visible
from sweeps.dashboard.files import end_of_log
from sweeps.live_run.figures import coordinates, curves, timeline
from sweeps.live_run.followed_run import FollowedRun
from sweeps.live_run.tables import best_so_far, failures, stops, strata, summary, trial_columns
from sweeps.live_run.trial import gradient_norms, trial_curves, typed_value
from trainables.errors import InputError, unknown_name
from trainables.json_values import as_json_value

# characters of what was asked for
MOST_ASKED = 500
# figures of many trials are drawn anew after so many seconds at most
FIGURE_SECONDS = 4


def as_text(value: Any) -> bytes:
    """Return a value as JSON; what JSON lacks is null."""
    return json.dumps(as_json_value(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def changes(followed: FollowedRun, epoch: int, since: int) -> bytes:
    """Return the trials that changed since a page last asked, as columns, and the head of the page."""
    found = followed.changes(epoch, since)
    everything = len(found.trials) == len(followed.state.trials)
    make = partial(_changes, followed, found.trials)
    whole = followed.kept(("changes",), make) if everything else make()
    head = followed.kept(("head",), partial(_head, followed), (followed.epoch, followed.version, int(time.time())))
    position = b'{"epoch":%d,"since":%d,' % (found.epoch, found.since)
    return position + b'"head":' + head + b',"trials":' + whole + b"}"


def _changes(followed: FollowedRun, trials: list[Any]) -> bytes:
    rows = [followed.order[trial.trial_id] for trial in trials]
    columns = [column_data(column) for column in trial_columns(followed, trials)] if trials else []
    return as_text({"rows": rows, "columns": columns})


def _head(followed: FollowedRun) -> bytes:
    groups = strata(followed)
    shown = {
        "best": part_html(best_so_far(followed)),
        "strata": part_html(groups) if len(groups.rows) > 1 else "",
        "failures": part_html(failures(followed)) if followed.tally.failures() else "",
    }
    counts = {"stops": len(followed.log.stops), "spans": len(followed.log.spans), "trials": len(followed.state.trials)}
    asked = [visible(what)[:MOST_ASKED] for _, what in followed.log.asked[-5:]]
    return as_text({**summary(followed), "html": shown, **counts, "metrics": followed.metrics, "asked": asked})


def column_data(column: LongColumn) -> dict[str, Any]:
    """Return a column as the page's script reads it."""
    given = {"text": column.text, "status": column.status, "digits": column.digits, "better": column.better}
    return {
        "name": column.name,
        "values": list(column.values),
        **{name: value for name, value in given.items() if value},
    }


def stopped(followed: FollowedRun) -> bytes:
    """Return the table of stopped trials."""
    columns = [column_data(column) for column in stops(followed)]
    return as_text({"rows": list(range(len(followed.log.stops))), "columns": columns})


def run_figure(followed: FollowedRun, name: str, metric: str) -> bytes:
    """Return a figure of the run. Raises `InputError` for one, or a metric, that there is not."""
    if metric not in followed.metrics:
        raise InputError(unknown_name("metric", metric, followed.metrics))
    figures: Mapping[str, Callable[[], Figure]] = {
        "curves": partial(curves, followed, metric),
        "coordinates": partial(coordinates, followed),
        "timeline": partial(timeline, followed),
    }
    if name not in figures:
        raise InputError(unknown_name("figure", name, list(figures)))
    many = len(followed.state.trials) > 1000 and not followed.state.ended
    stamp = (followed.epoch, int(time.time() / FIGURE_SECONDS)) if many else None
    return followed.kept((name, metric if name == "curves" else ""), lambda: as_text(figures[name]()), stamp)


def trial_figure(followed: FollowedRun, trial_id: str, name: str) -> bytes:
    """Return a figure of a trial; null where there is none. Raises `InputError` for a trial that there is not."""
    trial = followed.state.trials.get(trial_id)
    if trial is None:
        raise InputError(f"{followed.run.run_id} has no trial {trial_id}")
    if name == "curves":
        return as_text(trial_curves(followed, trial) if trial.epoch else None)
    if name == "gradients":
        return as_text(gradient_norms(followed.run, trial))
    raise InputError(unknown_name("figure", name, ["curves", "gradients"]))


def log(followed: FollowedRun) -> bytes:
    """Return the end of the log, its controls written out."""
    lines = end_of_log(followed.run).splitlines()
    return as_text({"text": "\n".join(visible(line.replace("\t", "    ")) for line in lines)})


def grids_of(description: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the fields of a run that list their values, with these. description: the content of `run.json`."""
    roles = description.get("roles")
    found = [roles.get(role) for role in ("scientific", "nuisance")] if isinstance(roles, dict) else []
    pairs = [pair for domains in found if isinstance(domains, dict) for pair in domains.items()]
    return {name: values for name, values in pairs if isinstance(values, list) and values}


def extending_command(run: RunFolder) -> str:
    """Return the command that adds values to a run, as one that no driver works on is extended."""
    field, values = next(iter(grids_of(run.read_description()).items()), ("FIELD", []))
    assigned = f"{field}={','.join([*map(typed_value, values), 'MORE'])}"
    return shlex.join(["python", "-m", "sweeps.run", where(run), "--resume", where(run), "--set", assigned])
