"""The options of a command or an override file: how a sweep is searched, stopped and spread."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, model_validator

from analysis.terminal.option_models import OptionModel, option
from search_spaces.definition import (
    MOST_SEEDS,
    Resources,
    Scheduler,
    Sweep,
    check_metric,
    mode_of,
)
from sweeps.planning.overrides import override
from sweeps.searchers.table import change_searcher
from trainables.errors import InputError, validated

MOST_SAMPLES = 1_000_000
RULE_OPTIONS = ("grace", "reduction", "brackets", "stratify", "interval", "quantile")
SPACE, STOPPING, SEARCH, PLACES = (
    "What is compared",
    "What stops a trial",
    "What chooses settings",
    "What a trial takes",
)


def _gpus(value: Any) -> Any:
    """Read a share of a GPU, a whole number of them, or "auto". Raises `ValueError`."""
    try:
        return value if value in (None, "auto") else float(value)
    except (TypeError, ValueError):
        raise ValueError("write a number, or auto") from None


class Options(OptionModel):
    """Options that change a sweep; None and empty: as the sweep has it. The names are those of the command line."""

    set: tuple[str, ...] = option(
        (),
        "Set or vary a field; a field that the sweep does not vary is then compared.",
        SPACE,
        metavar="FIELD=V[,V...]",
    )
    tune: tuple[str, ...] = option(
        (), "Tune a field: each compared value is judged at its best of these.", SPACE, metavar="FIELD=V,V[,V...]"
    )
    fix: tuple[str, ...] = option((), "Hold a field still that the sweep varies.", SPACE, metavar="FIELD=V")
    dataset: str | None = option(None, "Dataset; the same as --set dataset=...", SPACE)
    epochs: int | None = option(None, "Epochs a trial is trained at most.", SPACE, ge=1, le=1_000_000)
    seeds: int | None = option(None, "Replicates: seeds 0 to N-1.", SPACE, ge=1, le=MOST_SEEDS)

    scheduler: str | None = option(
        None, "asha, hyperband (asha with every bracket), median, fifo (none is stopped), pbt or pb2.", STOPPING
    )
    grace: int | None = option(None, "asha, median: epochs before the first stop.", STOPPING, ge=1, le=1_000_000)
    reduction: float | None = option(None, "asha: one of so many goes on at each rung.", STOPPING, ge=1.1, le=1e6)
    brackets: int | None = option(None, "asha: grace periods tried side by side.", STOPPING, ge=1, le=1000)
    stratify: str | None = option(
        None, "asha, median: whose values compete apart; none: all together.", STOPPING, metavar="FIELD[,FIELD...]"
    )
    interval: int | None = option(None, "pbt, pb2: epochs between two comparisons.", STOPPING, ge=1, le=1_000_000)
    quantile: float | None = option(None, "pbt, pb2: share of a population that is replaced.", STOPPING, gt=0, le=0.5)

    searcher: str | None = option(
        None, "grid, random, or optuna[:tpe|gp|nsga2]: how nuisance settings are chosen.", SEARCH
    )
    samples: int | None = option(
        None, "Draws of random domains; optuna: trials of each compared value.", SEARCH, ge=1, le=MOST_SAMPLES
    )
    metric: str | None = option(
        None, "val_auc, val_acc or val_loss: what stops and ranks; optuna: several, with commas.", SEARCH
    )

    replicates: Literal["together", "apart", "auto"] | None = option(
        None, "together in a trial, apart, or auto: apart where workers would be idle.", PLACES
    )
    cpus_per_trial: float | None = option(None, "CPUs, and so threads, of one trial.", PLACES, gt=0, le=1e6)
    gpus_per_trial: Annotated[float | Literal["auto"] | None, BeforeValidator(_gpus)] = option(
        None, "GPUs of one trial, also a share; auto: as its measured memory allows.", PLACES
    )

    @model_validator(mode="after")
    def _each_field_once(self) -> Options:
        """Refuse a field that is given twice: one of the two would be ignored."""
        named = [text.partition("=")[0].strip() for text in (*self.set, *self.tune, *self.fix)]
        named += [name for name in ("dataset", "epochs", "seeds") if getattr(self, name) is not None]
        for name in named:
            if named.count(name) > 1:
                raise ValueError(f"{name} is given twice: leave one out")
        return self


def merge(first: Options, then: Options) -> Options:
    """Unite two, the second's where both say something; fields that it names take its role and values."""
    mine = {text.partition("=")[0].strip() for text in (*then.set, *then.tune, *then.fix)}
    mine |= {name for name in ("dataset", "epochs", "seeds") if getattr(then, name) is not None}
    values: dict[str, Any] = {}
    for name in Options.model_fields:
        old, new = getattr(first, name), getattr(then, name)
        if name in ("set", "tune", "fix"):
            values[name] = (*(text for text in old if text.partition("=")[0].strip() not in mine), *new)
        else:
            values[name] = new if new is not None else None if name in mine else old
    return validated(Options, values, "--{} ")


def apply(sweep: Sweep, options: Options) -> Sweep:
    """Return the sweep with the options put in. Raises `InputError`, also for an option that would have no effect."""
    same = {"dataset": options.dataset, "epochs": options.epochs}
    sweep = override(sweep, options.set, options.fix, same, options.tune)
    metrics = tuple((options.metric or sweep.metric).split(","))
    for metric in metrics:
        check_metric(metric, sweep.trainable)
    changed = replace(
        sweep,
        seeds=tuple(range(options.seeds)) if options.seeds else sweep.seeds,
        samples=options.samples or sweep.samples,
        metric=metrics[0],
        mode=sweep.mode if metrics[0] == sweep.metric else mode_of(metrics[0]),
        scheduler=_scheduler(sweep.scheduler, options),
        searcher=change_searcher(sweep.searcher, options.searcher, metrics),
        replicates=options.replicates or sweep.replicates,
        resources=_resources(sweep.resources, options),
    )
    if options.samples is not None and not draws(changed):
        raise InputError(
            f"--samples {options.samples} has no effect on grids, which are tried whole: leave it out, or add "
            "--searcher random or optuna"
        )
    return changed


def draws(sweep: Sweep) -> bool:
    """Return whether `samples` has an effect: settings are drawn or proposed, not listed."""
    return sweep.searcher != "grid" or any(hasattr(domain, "sample") for domain in sweep.nuisance.values())


def newly_compared(before: Sweep, after: Sweep) -> list[str]:
    """Return the fields with several values that the options made compared ones, as `--tune` would write them."""
    from search_spaces.domains import show_domain

    found = []
    for name in set(after.scientific) - set(before.compared):
        values = show_domain(after.scientific[name])
        if isinstance(values, list) and len(values) > 1:
            found.append(f"{name}={','.join(_text(value) for value in values)}")
    return sorted(found)


def _text(value: Any) -> str:
    return "-".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _scheduler(scheduler: Scheduler, options: Options) -> Scheduler:
    # not at the top: --help needs no numpy
    from sweeps.schedulers.table import change_scheduler

    given = {name: getattr(options, name) for name in RULE_OPTIONS if getattr(options, name) is not None}
    if "stratify" in given:
        given["stratify"] = () if given["stratify"] == "none" else tuple(given["stratify"].split(","))
    return change_scheduler(scheduler, options.scheduler, given)


def _resources(resources: Resources, options: Options) -> Resources:
    asked = options.gpus_per_trial
    gpus = resources.gpus if asked is None else None if asked == "auto" else asked
    return Resources(options.cpus_per_trial or resources.cpus, gpus)
