"""Check the events of a ledger: one that lacks a field, or does not fit those before it, is left out."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

from analysis.runs.run_folder import plain_name
from sweeps.record.ledger import Event
from trainables.errors import InputError

# epochs in a row whose lines may be damaged; an epoch after a longer gap is taken for nonsense
LOST_EPOCHS = 100
# the largest number of epochs, attempts or trials that is believed
MOST = 10**6
# of a replicate that runs apart: 0007.2
TRIAL_ID = re.compile(r"[^.]+(\.\d{1,9})?", re.DOTALL)
NUMBER = (int, float, type(None))
# of most settings, and of most means
SETTING, FIGURE = {str, int, float, bool, type(None)}, {float, type(None)}
ENDING = {"trial_id": str, "reason": str}
# the fields that each kind of event must have, and their types
FIELDS: dict[str, dict[str, Any]] = {
    "planned": {"trial_id": str, "key": str, "folder": str, "config": dict, "parameters": int, "macs": int},
    "expected": {"trials": int},
    "resumed": {"foreign": (list, type(None))},
    "generation": {"stratum": str, "epoch": int, "replaced": list},
    "started": {"trial_id": str, "time": str},
    "epoch": {"trial_id": str, "attempt": int, "epoch": int, "memory_mb": NUMBER, "replicates": list, "mean": dict},
    "stratum": {"trial_id": str, "stratum": str},
    "moved": {"trial_id": str, "config": dict},
    "stop_requested": ENDING,
    "values_added": {"values": str, "trials": int},
    "refused": {"reason": str},
    "recoded": {"trial_id": str, "code": str, "key": str},
    **dict.fromkeys(("completed", "stopped", "diverged", "failed", "interrupted"), ENDING),
}
# what each kind of event says
MEANINGS = {
    "planned": "a trial will be trained: its config, folder, stratum, size, and the digests of its code and data",
    "expected": "how many trials there will be, where a searcher proposes them one by one",
    "started": "a worker has begun or gone on with a trial",
    "epoch": "a trial has trained an epoch: the figures of every replicate, and their means",
    "checkpoint": "a trial can go on from this epoch after a crash",
    "waiting": "a trial waits for the others of its population (pbt, pb2)",
    "generation": "a population was compared: who goes on from whose weights, with which values",
    "completed": "a trial has trained all its epochs",
    "stopped": "the scheduler or early stopping has ended a trial; rung, value, cutoff and number of peers say why",
    "diverged": "the loss of a trial is no longer finite",
    "failed": "a trial has ended with an error, after all its tries",
    "interrupted": "the run was ended before the trial was",
    "retried": "a trial's worker died or raised; the trial is tried again from its checkpoint",
    "requeued": "a failed trial will be tried again (--retry-failed)",
    "resumed": "a new command goes on with the run; foreign: trials that it does not plan",
    "stop_requested": "the live page or another program has asked for the end of a trial",
    "end_requested": "the live page or another program has asked for the end of the run",
    "values_added": "the live page or another program has added values to a grid; the trials that follow are theirs",
    "refused": "the driver has refused what the live page or another program asked for, and why",
    "stratum": "a trial has another stratum since a resume",
    "moved": "a trial's data, weights or code lie in another place since a resume",
    "recoded": "a trial goes on with other code than it began with",
}
COUNTS = {"trials", "attempt", "epoch"}


class UnusableEvent(ValueError):
    """An event that does not fit the ones before it, or lacks what its kind must hold."""


def check_fields(kind: str, event: Event) -> None:
    """Raise `UnusableEvent` where an event lacks a field of its kind, or has one of another type."""
    for name, types in FIELDS.get(kind, {}).items():
        value = event.get(name)
        if not isinstance(value, types) or (name in COUNTS and types is int and not 0 <= value <= MOST):
            raise UnusableEvent(f"{kind} without a right {name}")


def check_plan(event: Event) -> None:
    """Raise `UnusableEvent` for a config or a name that no planned trial has."""
    config = event["config"]
    if not TRIAL_ID.fullmatch(event["trial_id"]):
        raise UnusableEvent("planned with a trial_id that is none: the number of a replicate follows its dot")
    seeds, epochs = config.get("seeds", []), config.get("epochs")
    if not isinstance(epochs, int) or not 0 < epochs <= MOST:
        raise UnusableEvent("planned without a right number of epochs")
    if not isinstance(seeds, list) or not all(isinstance(seed, int) for seed in seeds):
        raise UnusableEvent("planned without right seeds")
    # the types first: a run has many values, nearly all of the common ones
    if not all(_is_setting(value) for value in config.values() if type(value) not in SETTING):
        raise UnusableEvent("planned with a config that is no list of settings")
    if not isinstance(event.get("stratum", ""), str) or not isinstance(event.get("bracket", 0), int):
        raise UnusableEvent("planned without a right stratum or bracket")
    if not all(isinstance(event.get(name, ""), str) for name in ("code", "data", "weights")):
        raise UnusableEvent("planned without right digests")
    if not isinstance(event.get("proposal"), dict | None):
        raise UnusableEvent("planned without a right proposal")
    try:
        plain_name(event["folder"], "a trial's folder")
    except InputError as error:
        raise UnusableEvent(str(error)) from None


def _is_setting(value: Any) -> bool:
    return all(isinstance(item, str | int | float | None) for item in (value if isinstance(value, list) else [value]))


def _is_figure(value: Any) -> bool:
    # a whole number may be larger than a float can be
    return isinstance(value, NUMBER) and (value is None or abs(value) <= sys.float_info.max)


def check_epoch(event: Event, config: Mapping[str, Any], known: int) -> None:
    """Raise `UnusableEvent` for an epoch that a trial cannot have had. known: epochs before it."""
    rows, seeds = event["replicates"], config.get("seeds")
    if not rows or not all(isinstance(row, dict) for row in rows) or (seeds and len(rows) != len(seeds)):
        raise UnusableEvent("epoch without a row of every replicate")
    means = event["mean"].values()
    if not all(_is_figure(value) for value in means if type(value) not in FIGURE):
        raise UnusableEvent("epoch with means that are no numbers")
    if not 1 <= event["epoch"] <= max(known + 1, min(config["epochs"], known + 1 + LOST_EPOCHS)):
        raise UnusableEvent(f"epoch {event['epoch']} of a trial of {config['epochs']}, after {known}")
    if not isinstance(event.get("gpu_percent"), NUMBER):
        raise UnusableEvent("epoch with a gpu_percent that is no number")


def lost_epoch(following: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row for an epoch whose line is damaged: what the next one says, with every figure undefined."""
    unknown = {name: None if isinstance(value, float) else value for name, value in following.items()}
    return {**unknown, "is_best": False, "notes": "the ledger's line of this epoch is damaged"}


def replacements_in(event: Event) -> list[dict[str, Any]]:
    """Return the replacements of a generation. Raises `UnusableEvent` where one of them is none."""
    replaced: list[dict[str, Any]] = event["replaced"]
    for change in replaced:
        values = change.get("values") if isinstance(change, dict) else None
        if not isinstance(values, dict) or not isinstance(change.get("donor"), str):
            raise UnusableEvent("generation without right replacements")
        if not all(isinstance(value, int | float) for value in values.values()):
            raise UnusableEvent("generation with values that are no numbers")
    return replaced
