"""Prints what a run knows before its trials end: the plan, an estimate, the start, what a resume found."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from analysis.comparison.labels import show_value
from analysis.grids import Cell, Column, Grid, print_grid
from analysis.runs.run_folder import RunFolder
from analysis.runs.sync import where
from analysis.terminal.plain_text import say
from search_spaces.definition import Pbt
from search_spaces.domains import show_domain
from sweeps.planning.match import match_trials
from sweeps.planning.notes import memory_note
from sweeps.planning.plan import make_plan
from sweeps.planning.reuse import find_finished, would_take
from sweeps.record.state import read_state
from sweeps.schedulers.table import name_of
from sweeps.screen.live import clock
from sweeps.searchers.grid import count_settings
from trainables.data.downloads import FilePolicy, file_policy

if TYPE_CHECKING:
    from datetime import datetime

    from search_spaces.definition import Sweep
    from sweeps.planning.begin import Resumed
    from sweeps.planning.command import Command
    from sweeps.planning.reuse import Reused
    from sweeps.planning.settings import Settings
    from sweeps.planning.trials import Plan
    from sweeps.running.estimate import TimeEstimate


def varied(sweep: Sweep, plan: Plan) -> list[str]:
    """Return the fields that differ between trials, scientific ones first."""
    fields = [*sweep.compared, *sweep.nuisance]
    trials = plan.trials or plan.examples
    return [name for name in fields if len({str(getattr(trial.config, name, None)) for trial in trials}) > 1]


def print_plan(
    console: Console, sweep: Sweep, plan: Plan, settings: Settings, resumed: RunFolder | None = None
) -> None:
    """Print every trial, what is held fixed, what is known already and what Ray would have to give; for --dry-run."""
    fields = varied(sweep, plan)
    print_grid(console, _plan_grid(plan, fields))
    varied_fields = {*fields, *(sweep.nuisance if plan.proposed else ()), *_settled(sweep)}
    first, default = (
        (plan.trials or plan.examples)[0].config.model_dump(),
        plan.planner.trainable.config_type.model_fields,
    )
    held = {
        name: value
        for name, value in first.items()
        if name not in varied_fields and (name in sweep.fixed or name not in default or value != default[name].default)
    }
    text = ", ".join(f"{name}={show_value(value)}" for name, value in held.items())
    say(console, f"{text}; all other fields at their defaults", "fixed:", "dim")
    if plan.proposed:
        space = ", ".join(f"{name} {show_domain(domain)}" for name, domain in sweep.nuisance.items())
        say(console, f"{space}; shown are the compared values", "searched:", "dim")
    print_data(console, sweep, plan, settings)
    say(console, plan_line(sweep, plan) + "; nothing was started (--dry-run)")
    for note in plan.notes:
        say(console, note, "note:")
    say(console, _bundles(sweep, settings))
    _print_known(console, plan, settings, resumed)


def _plan_grid(plan: Plan, fields: Sequence[str]) -> Grid:
    """Return a row for each trial; on a narrow terminal MACs go first, then parameters, then the last of the fields."""
    last, trials = len(fields), plan.trials or plan.examples
    # a training function of a user's own has neither
    sized = any(trial.parameters for trial in trials)
    columns = (
        Column("trial"),
        *(Column(name, words=True, drop=0 if number == 0 else number) for number, name in enumerate(fields)),
        *((Column("parameters", drop=last + 1), Column("MACs", drop=last + 2)) if sized else ()),
    )
    rows = []
    for trial in trials:
        values = (show_value(getattr(trial.config, name, None)) for name in fields)
        rows.append((trial.trial_id, *values, *((f"{trial.parameters:,}", f"{trial.macs:,}") if sized else ())))
    return Grid("", columns, tuple(tuple(map(Cell, row)) for row in rows))


def _settled(sweep: Sweep) -> set[str]:
    """Fields whose shown value would mislead: a rate that is searched as a multiple is not fixed."""
    return {"lr"} if "lr_scale" in {*sweep.nuisance, *sweep.compared} else set()


def _bundles(sweep: Sweep, settings: Settings) -> str:
    """Return what a trial takes, and what this machine has of it."""
    import torch

    wants = sweep.resources
    gpus = "as measured" if wants.gpus is None else f"{wants.gpus:g}"
    if settings.address:
        return f"a trial takes {wants.cpus:g} CPU, {gpus} GPU; the cluster at {settings.address} was not asked"
    cpus, cards = os.cpu_count() or 1, torch.cuda.device_count()
    slots = wants.slots(cpus, cards) if cards else int(cpus / wants.cpus)
    slots = min(slots, settings.max_concurrent or slots)
    text = f"a trial takes {wants.cpus:g} CPU"
    text += f" and {gpus} GPU" if cards or wants.gpus else ""
    short = wants.cpus > cpus or (wants.gpus or 0) > cards
    fit = "which cannot be: lower --cpus-per-trial or --gpus-per-trial" if short else f"{slots} at a time"
    return f"{text}; this machine has {cpus} CPU and {cards} GPU: {fit}"


def _print_known(console: Console, plan: Plan, settings: Settings, resumed: RunFolder | None) -> None:
    """Print how many trials have ended in the resumed run, and how many can be taken from which earlier ones."""
    todo = plan.trials
    if resumed:
        match = match_trials(
            plan.trials, read_state(resumed.ledger).trials.values(), resumed.read_description(), plan.planner.trainable
        )
        there = sum(trial.ended for trial in match.known.values())
        say(console, f"{there} of {len(plan.trials)} have ended in {where(resumed)}")
        for note in match.notes:
            say(console, note, "note:")
        begun = {trial_id for trial_id, trial in match.known.items() if trial.epoch}
        todo = tuple(trial for trial in match.trials if trial.trial_id not in begun)
    exclude = resumed.path if resumed else None
    if settings.reuse:
        print_reused(console, would_take(todo, settings.storage, exclude), "would reuse")
    elif not resumed and (found := find_finished(todo, settings.storage, fetch=False)):
        text = f"{len(found)} of {len(plan.trials)} have finished in earlier runs; --reuse takes them from there"
        console.print(text, highlight=False)


# trials from which on planning says how many
COUNTED = 1000


def plan_with_progress(console: Console, sweep: Sweep, settings: Command, now: datetime) -> Plan:
    """Return the plan; a terminal shows that it is being made. Raises `InputError`."""
    count = count_settings(sweep)
    text = f"planning {count:,} settings" if count >= COUNTED else "planning"
    if count >= COUNTED and not console.is_terminal:
        console.print(f"{text} ...", highlight=False)
    shown = console.status(text) if console.is_terminal else nullcontext()
    with shown, file_policy(FilePolicy(not settings.dry_run, settings.trust)):
        return make_plan(sweep, settings.data_root, now)


def wants_start(console: Console) -> bool:
    """Ask after an estimate if the sweep is to start; where nobody can answer, it is not."""
    if not (console.is_terminal and sys.stdin.isatty()):
        console.print("nothing was started (--estimate); the same command without it starts", highlight=False)
        return False
    return typer.confirm("start it now?")


def print_reused(console: Console, reused: Reused, verb: str = "reused") -> None:
    """Print how many trials are taken from where, and why others are not. verb: `would reuse` in a dry run."""
    if not reused.count:
        console.print("no trial of earlier runs could be reused", highlight=False)
    for run, count in reused.taken.items():
        say(console, f"{verb} {_count(count, 'trial')} from {run}")
    for reason in reused.reasons:
        say(console, reason)


def print_estimate(console: Console, guess: TimeEstimate) -> None:
    """Print `about 1:10 (0:55 to 1:40)`, and what it rests on."""
    low, high = guess.epoch_seconds
    console.print(
        f"estimate: about {clock(guess.seconds)} ({clock(guess.low)} to {clock(guess.high)}) with {guess.slots} trials "
        f"at a time; an epoch of a trial takes {low:.2g} to {high:.2g} s ({guess.measured} trials measured)",
        highlight=False,
    )  # fmt: skip


def plan_line(sweep: Sweep, plan: Plan) -> str:
    """Return `48 trials × 3 seeds, at most 2592 epochs of training; asha stratified by activation`."""
    count = len(plan.trials) + plan.proposed
    epochs = sum(trial.config.epochs * len(trial.config.seeds) for trial in plan.trials)
    epochs += plan.proposed * plan.epochs * len(sweep.seeds)
    apart = sweep.replicates == "apart"
    what = f"{count // len(sweep.seeds)} settings × {len(sweep.seeds)} seeds apart, {count} trials" if apart else (
        f"{_count(count, 'trial')} × {_count(len(sweep.seeds), 'seed')}"
    )  # fmt: skip
    kind = "no early stopping" if sweep.scheduler == "fifo" else name_of(sweep.scheduler)
    brackets = len(plan.planner.brackets)
    kind += f" in {brackets} brackets" if brackets > 1 else ""
    if isinstance(sweep.scheduler, Pbt):
        kind, values = show_pbt(sweep.scheduler), {trial.stratum for trial in plan.trials}
        return f"{what}, at most {epochs} epochs of training; {kind} in {_count(len(values), 'population')}"
    strata = f" stratified by {', '.join(plan.stratify)}" if plan.stratify else ""
    search = "" if isinstance(sweep.searcher, str) else f"; searched by optuna ({sweep.searcher.sampler})"
    return f"{what}, at most {epochs} epochs of training; {kind}{strata}{search}"


def show_pbt(rule: Pbt) -> str:
    """Return `pb2 every 2 epochs`."""
    name = "pb2" if rule.explore == "bandit" else "population based training"
    return f"{name} every {_count(rule.interval, 'epoch')}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' * (number != 1)}"


def print_start(console: Console, sweep: Sweep, plan: Plan, folder: RunFolder, settings: Settings) -> None:
    """Print what is about to run, and what the user should know of the data."""
    say(console, plan_line(sweep, plan))
    if len(sweep.seeds) < 3:
        say(console, f"{_count(len(sweep.seeds), 'replicate')}: intervals need 3 or more", "note:")
    for note in plan.notes:
        say(console, note, "note:")
    print_data(console, sweep, plan, settings)
    for line in filter(None, (model_line(plan), machine_line(sweep, folder.read_description(), settings))):
        say(console, line)
    say(console, f"results in {where(folder)}; trackers: {', '.join(('TensorBoard', *settings.track))}")


def model_line(plan: Plan) -> str:
    """Return `networks of 2,410 to 56,789 parameters, in float32`; "" of a trainable that has none."""
    trials = plan.trials or plan.examples
    sizes = [trial.parameters for trial in trials]
    if not any(sizes):
        return ""
    span = f"{min(sizes):,} to {max(sizes):,}" if min(sizes) < max(sizes) else f"{sizes[0]:,}"
    formats = dict.fromkeys(str(getattr(trial.config, "precision", "float32")) for trial in trials)
    return f"networks of {span} parameters, in {', '.join(formats)}"


def machine_line(sweep: Sweep, description: Mapping[str, Any], settings: Settings) -> str:
    """Return `on 2 CPUs, 3.8 GiB of memory, no GPU; a trial takes 1 CPU`, of a cluster its address."""
    wants = sweep.resources
    takes = f"a trial takes {wants.cpus:g} CPU"
    if settings.address is not None:
        return f"on the cluster at {settings.address}; {takes}"
    found = description.get("provenance", {}).get("hardware", {})
    names: list[str] = found.get("gpus") or []
    gpus = ", ".join(f"{names.count(name)} × {name}" for name in dict.fromkeys(names))
    takes += f" and {'a measured share of a' if wants.gpus is None else f'{wants.gpus:g}'} GPU" if names else ""
    return f"on {found.get('cpus')} CPUs, {found.get('memory_gib')} GiB of memory, {gpus or 'no GPU'}; {takes}"


def print_data(console: Console, sweep: Sweep, plan: Plan, settings: Settings) -> None:
    """Print the classes of each dataset with their images, and what one should know of them, and of memory."""
    for line in plan.prepared.lines:
        say(console, line)
    memory = memory_note(sweep, plan, settings.max_concurrent) if settings.address is None else ""
    for note in filter(None, [*plan.prepared.notes, memory]):
        say(console, note, "note:")


def print_resumed(console: Console, resumed: Resumed) -> None:
    """Print what a resume found."""
    finished = _count(resumed.finished, "trial")
    text = f"resuming: {finished} finished, {resumed.unfinished} to go on with, {resumed.added} new"
    if resumed.news:
        text += f" with {'; '.join(resumed.news)}"
    if resumed.requeued:
        text += f", {resumed.requeued} that had failed to try again"
    if resumed.foreign:
        text += f"; {resumed.foreign} of the run stay as they are: this command does not plan them"
        text += " (config or data changed)"
    if resumed.damaged_bytes:
        text += f"; a damaged last line of the ledger ({resumed.damaged_bytes} bytes) was cut off"
    say(console, text)
    for note in resumed.notes:
        say(console, note, "note:")
