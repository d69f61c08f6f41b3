"""The schedulers by the names that users give them. A new rule is a file of its own and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from search_spaces.definition import Asha, Median, Pbt, Rule, Scheduler, Sweep
from sweeps.schedulers.asha import Rungs
from sweeps.schedulers.decision import Judge
from sweeps.schedulers.median import RunningMeans
from trainables.errors import InputError, unknown_name


@dataclass(frozen=True)
class Entry:
    """A scheduler. judge: makes its rule of (options, whether higher is better, most epochs of a trial)."""

    meaning: str
    rule: type[Rule] | None = None  # None: it has no options
    judge: Callable[[Any, bool, int], Judge] | None = None  # None: it stops no trial
    preset: Mapping[str, Any] = field(default_factory=dict)  # options that the name itself decides


SCHEDULERS: dict[str, Entry] = {
    "asha": Entry("stops the worst at rungs of 1, 3, 9, ... epochs (successive halving)", Asha, Rungs),
    "hyperband": Entry("asha with a bracket for every grace period that fits", Asha, Rungs, {"brackets": None}),
    "median": Entry("stops what is worse than the median of the others so far", Median, RunningMeans),
    "fifo": Entry("stops no trial"),
    "pbt": Entry("the worst go on from the best, with other values", Pbt, None, {"explore": "perturb"}),
    "pb2": Entry("as pbt, values chosen by a Gaussian process", Pbt, None, {"explore": "bandit"}),
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
    for name, entry in SCHEDULERS.items():
        if name == scheduler or (entry.rule is not None and isinstance(scheduler, entry.rule)):
            return entry
    raise InputError(f"{scheduler} has no line in the table of schedulers; there are {', '.join(SCHEDULERS)}")


def name_of(scheduler: Scheduler) -> str:
    """Return a scheduler's name: that of the last line that it fits, `hyperband` for an `Asha` with all brackets."""
    entry_of(scheduler)
    if isinstance(scheduler, str):
        return scheduler
    fitting = [
        name
        for name, entry in SCHEDULERS.items()
        if entry.rule is not None and isinstance(scheduler, entry.rule)
        and all(getattr(scheduler, option) == value for option, value in entry.preset.items())
    ]  # fmt: skip
    return fitting[-1]


def change_scheduler(scheduler: Scheduler, name: str | None, options: Mapping[str, Any]) -> Scheduler:
    """Return a sweep's scheduler with another name and other options; it keeps those that both have.

    name: may carry options, `asha:grace=2:reduction=4`; None leaves the scheduler as it is. Raises `InputError` for an
    unknown name, an option that the scheduler does not have, and a value out of its limits.
    """
    if name is not None:
        name, *words = name.split(":")
        if name not in SCHEDULERS:
            raise InputError(unknown_name("scheduler", name, SCHEDULERS))
        entry = SCHEDULERS[name]
        options = {**_parsed(name, entry.rule, words), **options}
        kept = scheduler if entry.rule is not None and isinstance(scheduler, entry.rule) else None
        scheduler = "fifo" if entry.rule is None else _changed(kept or entry.rule(), entry.preset)
    for option in options:
        if option not in options_of(scheduler):
            raise InputError(f"--{option} is no option of the scheduler {name_of(scheduler)}")
    return scheduler if isinstance(scheduler, str) else _changed(scheduler, options)


def _parsed(name: str, rule: type[Rule] | None, words: Sequence[str]) -> dict[str, Any]:
    """Options of a rule from words such as `grace=2`, each as the type that its annotation says."""
    hints = get_type_hints(rule, include_extras=True) if rule else {}
    options: dict[str, Any] = {}
    for word in words:
        option, equals, text = word.partition("=")
        if not equals:
            raise InputError(f"--scheduler {name}:{word}: write OPTION=VALUE, such as asha:grace=2")
        if not hints:
            raise InputError(f"--scheduler {name}:{word}: {name} has no options")
        if option not in hints:
            raise InputError(f"--scheduler {name}: {unknown_name('option', option, hints)}")
        value: Any = None if text == "none" else text
        if option == "stratify":
            value = () if text == "none" else tuple(text.split(","))
        try:
            options[option] = TypeAdapter(hints[option]).validate_python(value)
        except ValidationError as error:
            raise InputError(f"--scheduler {name}:{word}: {error.errors(include_url=False)[0]['msg']}") from None
    return options


def _changed(rule: Any, options: Mapping[str, Any]) -> Rule:
    changed: Rule = replace(rule, **options)
    return changed


def options_of(scheduler: Scheduler) -> list[str]:
    """Return the names of a scheduler's options."""
    return [] if isinstance(scheduler, str) else [item.name for item in fields(scheduler)]  # type: ignore[arg-type]
