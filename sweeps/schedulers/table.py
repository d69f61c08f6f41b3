"""The schedulers by the names that users give them. A new rule is a file of its own and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from search_spaces.definition import Asha, Median, Pbt, Scheduler, Sweep
from search_spaces.named_options import Named, choose, find_name
from sweeps.schedulers.asha import Rungs
from sweeps.schedulers.decision import Judge
from sweeps.schedulers.median import RunningMeans


@dataclass(frozen=True)
class Entry(Named):
    """A scheduler. judge: makes its rule of (options, whether higher is better, most epochs of a trial).

    Without a judge it stops no trial.
    """

    judge: Callable[[Any, bool, int], Judge] | None = None


SCHEDULERS: dict[str, Entry] = {
    "asha": Entry("stops the worst at rungs of 1, 3, 9, ... epochs (successive halving)", Asha, Rungs),
    "hyperband": Entry("asha with a bracket for every grace period that fits", Asha, Rungs, preset={"brackets": None}),
    "median": Entry("stops what is worse than the median of the others so far", Median, RunningMeans),
    "fifo": Entry("stops no trial"),
    "pbt": Entry("the worst go on from the best, with other values", Pbt, preset={"explore": "perturb"}),
    "pb2": Entry("as pbt, values chosen by a Gaussian process", Pbt, preset={"explore": "bandit"}),
}


def make_judge(sweep: Sweep, epochs: int) -> Judge | None:
    """Return the rule of the sweep's scheduler for trials of at most so many epochs; None: it stops no trial.

    Replicates that run apart are never stopped: a setting is judged with all of its seeds or not at all.
    """
    entry = entry_of(sweep.scheduler)
    if entry.judge is None or sweep.replicates == "apart":
        return None
    return entry.judge(sweep.scheduler, sweep.mode == "max", epochs)


def entry_of(scheduler: Scheduler) -> Entry:
    """Return the line of a sweep's scheduler. Raises `InputError` for a rule that has none."""
    return SCHEDULERS[name_of(scheduler)]


def name_of(scheduler: Scheduler) -> str:
    """Return a scheduler's name, `hyperband` for an `Asha` with all brackets. Raises `InputError` where it has none."""
    return find_name("scheduler", SCHEDULERS, scheduler)


def change_scheduler(scheduler: Scheduler, text: str | None, options: Mapping[str, Any]) -> Scheduler:
    """Return a sweep's scheduler with another name, which may carry options, and other options (see `choose`)."""
    changed: Scheduler = choose("scheduler", SCHEDULERS, scheduler, text, options)
    return changed
