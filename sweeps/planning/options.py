"""Options of the command line and of override files: how a sweep is searched, stopped and spread."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

from search_spaces.definition import (
    Optuna,
    Resources,
    Scheduler,
    Searcher,
    Sweep,
    check_metric,
    mode_of,
)  # fmt: skip
from sweeps.planning.overrides import override
from sweeps.schedulers.table import change_scheduler
from trainables.errors import InputError, unknown_name

SEARCHERS = ("grid", "random", "optuna", "optuna:tpe", "optuna:gp", "optuna:nsga2")
RULE_OPTIONS = ("grace", "reduction", "brackets", "stratify", "interval", "quantile")


@dataclass(frozen=True)
class Options:
    """What was asked for; None and empty: not given. The names are those of the command line and of override files."""

    set: tuple[str, ...] = ()  # FIELD=V[,V...]
    fix: tuple[str, ...] = ()
    dataset: str | None = None
    epochs: int | None = None
    seeds: int | None = None
    samples: int | None = None
    scheduler: str | None = None
    grace: int | None = None
    reduction: float | None = None
    brackets: int | None = None
    stratify: str | None = None
    interval: int | None = None
    quantile: float | None = None
    searcher: str | None = None
    replicates: str | None = None
    metric: str | None = None
    cpus_per_trial: float | None = None
    gpus_per_trial: str | None = None


def read_options(path: Path) -> Options:
    """Options from a YAML or TOML file; `set` and `fix` are tables there: `set: {lr: [1e-3, 1e-2]}`."""
    content = _parsed(path)
    known = {item.name for item in fields(Options)}
    for name in content:
        if name not in known:
            raise InputError(f"{path}: " + unknown_name("option", name, sorted(known)))
    for name in ("set", "fix"):
        if not isinstance(content.get(name, {}), dict):
            raise InputError(f"{path}: {name} must be a table of fields and values")
        content[name] = tuple(f"{field}={_text(value)}" for field, value in content.get(name, {}).items())
    for name in ("epochs", "seeds", "samples", "grace", "brackets", "interval"):
        _check_number(path, name, content.get(name), int)
    for name in ("reduction", "quantile", "cpus_per_trial"):
        _check_number(path, name, content.get(name), int | float)
    for name in ("dataset", "scheduler", "stratify", "searcher", "replicates", "metric", "gpus_per_trial"):
        if content.get(name) is not None:
            content[name] = _text(content[name])
    return Options(**content)


def _parsed(path: Path) -> dict[str, Any]:
    import yaml

    try:
        text = path.read_text()
        content = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): name a YAML or TOML file of overrides") from None
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        where = " ".join(str(error).split())
        raise InputError(f"{path} is not valid {'TOML' if path.suffix == '.toml' else 'YAML'}: {where}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} must be a table of options, such as set, fix, epochs and seeds")
    return {name.replace("-", "_"): value for name, value in content.items()}


def _check_number(path: Path, name: str, value: Any, kind: Any) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, kind) or value <= 0):
        raise InputError(f"{path}: {name}={value!r} must be a number above 0")


def _text(value: Any) -> str:
    """As on the command line: a list's values with commas, a list within it with dashes. YAML reads 1e-3 as text."""
    if isinstance(value, list):
        return ",".join("-".join(map(str, item)) if isinstance(item, list) else str(item) for item in value)
    return str(value)


def merge(first: Options, then: Options) -> Options:
    """Both, the second's where both say something; its --set and --fix come after the first's."""
    given = {item.name: getattr(then, item.name) for item in fields(Options) if getattr(then, item.name) is not None}
    return replace(first, **{**given, "set": (*first.set, *then.set), "fix": (*first.fix, *then.fix)})


def apply(sweep: Sweep, options: Options) -> Sweep:
    """The sweep with the options put in. Raises `InputError`."""
    sweep = override(sweep, options.set, options.fix, {"dataset": options.dataset, "epochs": options.epochs})
    metrics = tuple((options.metric or sweep.metric).split(","))
    for metric in metrics:
        check_metric(metric)
    searcher = _searcher(sweep.searcher, options.searcher, metrics)
    if options.replicates not in (None, "together", "apart", "auto"):
        raise InputError(unknown_name("way to run replicates", options.replicates, ["together", "apart", "auto"]))
    return replace(
        sweep,
        seeds=tuple(range(options.seeds)) if options.seeds else sweep.seeds,
        samples=options.samples or sweep.samples,
        metric=metrics[0],
        mode=mode_of(metrics[0]),
        scheduler=_scheduler(sweep.scheduler, options),
        searcher=searcher,
        replicates=cast(Any, options.replicates or sweep.replicates),
        resources=_resources(sweep.resources, options),
    )


def _scheduler(scheduler: Scheduler, options: Options) -> Scheduler:
    given = {option: getattr(options, option) for option in RULE_OPTIONS if getattr(options, option) is not None}
    if "stratify" in given:
        given["stratify"] = () if given["stratify"] == "none" else tuple(given["stratify"].split(","))
    return change_scheduler(scheduler, options.scheduler, given)


def _searcher(searcher: Searcher, name: str | None, metrics: tuple[str, ...]) -> Searcher:
    if name is not None and name not in SEARCHERS:
        raise InputError(unknown_name("searcher", name, SEARCHERS))
    if name is not None:
        kind, _, sampler = name.partition(":")
        searcher = Optuna(cast(Any, sampler or "tpe")) if kind == "optuna" else cast(Searcher, kind)
    if isinstance(searcher, Optuna):
        return replace(searcher, metrics=metrics) if len(metrics) > 1 else searcher
    if len(metrics) > 1:
        raise InputError(f"--metric {','.join(metrics)}: several metrics need --searcher optuna")
    return searcher


def _resources(resources: Resources, options: Options) -> Resources:
    given = options.gpus_per_trial
    try:
        gpus = resources.gpus if given in (None, "auto") else float(str(given))
    except ValueError:
        raise InputError(f"--gpus-per-trial {given}: a number, or auto") from None
    return Resources(options.cpus_per_trial or resources.cpus, gpus)


def seconds(text: str | None) -> float | None:
    """`90`, `90s`, `30m`, `2h`, `1.5h` or `1d` in seconds."""
    if text is None:
        return None
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    try:
        value = float(number) * units[unit]
    except ValueError:
        value = -1.0
    if not value > 0:
        raise InputError(f"--time-budget {text}: write 90s, 30m, 2h or 1d")
    return value
