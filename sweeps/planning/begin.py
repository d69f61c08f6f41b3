"""A run begun or gone on with: its folder, `run.json`, and a ledger that holds every planned trial."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from analysis.comparison.labels import show_value
from analysis.runs.find import new_run
from analysis.runs.run_folder import RunFolder
from analysis.runs.sync import begun, where
from analysis.weights.model_columns import put_aside_damaged
from analysis.weights.weights_table import forget
from search_spaces.definition import Sweep
from sweeps.planning.match import match_trials
from sweeps.planning.overrides import add_values
from sweeps.planning.plan import by_seed
from sweeps.planning.run_json import describe_run, extend_run_json, sources_of
from sweeps.planning.settings import Settings
from sweeps.planning.trials import Plan, PlannedTrial
from sweeps.record.attempts import reopen_attempts
from sweeps.record.ledger import Ledger, cut_damaged_end
from sweeps.record.names import new_run_id
from sweeps.record.state import RunState, TrialState, read_state
from sweeps.searchers.grid import expand
from sweeps.searchers.optuna_space import was_proposed_by
from trainables.atomic_files import write_atomically
from trainables.errors import InputError
from trainables.user_code.in_use import save_sources

# of `run.json`: values that were added while the run went on, as `--set` has them
ADDED = "added"


def folder_of_new_run(name: str, settings: Settings, now: datetime) -> RunFolder:
    """Return where a sweep's new run will lie; nothing is made. Raises `InputError` for names no folder may have."""
    return new_run(settings.results, name, settings.name or new_run_id(now, name))


def create_run(sweep: Sweep, name: str, plan: Plan, settings: Settings, now: datetime) -> RunFolder:
    """Make the run's folder, `run.json` and a ledger with all planned trials. Raises `InputError`."""
    folder = folder_of_new_run(name, settings, now)
    if begun(folder):
        raise InputError(f"{where(folder)} exists: add --resume to go on with it, or choose another --name")
    try:
        folder.trials.mkdir(parents=True, exist_ok=True)
        content = {**describe_run(sweep, name, folder.run_id, plan), "trusted": list(settings.trust)}
        write_atomically(folder.description, json.dumps(content, indent=1).encode())
        save_sources(folder.code, sources_of(sweep))
        ledger = Ledger(folder.ledger, new=True)
    except FileExistsError:
        raise InputError(f"{where(folder)} was begun by another command just now: choose another --name") from None
    except OSError as error:
        raise InputError(f"{folder.path} cannot be written ({error.strerror}): choose another --storage") from None
    for trial in plan.trials:
        ledger.append("planned", **planned_fields(trial))
    if plan.proposed:
        ledger.append("expected", trials=plan.proposed)
    ledger.close()
    return folder


def planned_fields(trial: PlannedTrial) -> dict[str, Any]:
    """Return what the ledger holds of a planned trial."""
    return {**vars(trial), "config": trial.config.model_dump(mode="json")}


@dataclass(frozen=True)
class Resumed:
    """A plan fitted to a run that exists: known trials keep their ids and folders, new ones are added.

    requeued: how many of the unfinished had failed. foreign: how many trials this command does not plan; they stay as
    they are. damaged_bytes: cut off the end of the ledger. notes: the differences since the run began.
    news: the values of the added trials that no trial of the run has had. state: that of the ledger, with all this.
    """

    plan: Plan
    finished: int
    unfinished: int
    added: int
    requeued: int
    foreign: int
    damaged_bytes: int
    notes: tuple[str, ...]
    news: tuple[str, ...]
    state: RunState


def resume_run(folder: RunFolder, sweep: Sweep, plan: Plan, retry_failed: bool = False) -> Resumed:
    """Match the plan with the run's trials and append what is new. Raises `InputError` for what cannot go together."""
    description = folder.read_description()
    check_same_metric(description, sweep)
    damaged = cut_damaged_end(folder.ledger)
    state = read_state(folder.ledger)
    plan = replace(plan, trials=(*plan.trials, *_proposed_before(sweep, plan, state)))
    damaged_tables = put_aside_damaged(folder)
    match = match_trials(plan.trials, state.trials.values(), description, plan.planner.trainable, retry_failed)
    requeued = [trial for trial in match.known.values() if retry_failed and trial.status == "failed"]
    finished = sum(trial.ended for trial in match.known.values()) - len(requeued)
    added = [trial for trial in match.trials if trial.trial_id not in match.known]
    foreign = sorted(set(state.trials) - set(match.known))
    update = extend_run_json(description, sweep, plan, len(state.trials) + len(added))
    save_sources(folder.code, sources_of(sweep))
    write_atomically(folder.description, json.dumps(update, indent=1).encode())
    news = tuple(new_values(added, list(state.trials.values())))
    ledger = Ledger(folder.ledger)

    def record(event: str, **fields: Any) -> None:
        state.apply(ledger.append(event, **fields))

    for trial in added:
        record("planned", **planned_fields(trial))
    forget(folder, {failed.key for failed in requeued})
    for failed in requeued:
        reopen_attempts(folder, failed)
        record("requeued", trial_id=failed.trial_id)
    if plan.proposed:
        record("expected", trials=plan.proposed + len(foreign))
    for event, fields in match.events:
        record(event, **fields)
    for trial in match.trials:
        known = match.known.get(trial.trial_id)
        # the sweep was extended by a field
        if known and known.stratum != trial.stratum:
            record("stratum", trial_id=trial.trial_id, stratum=trial.stratum)
    counts = {"finished": finished, "unfinished": len(match.known) - finished, "added": len(added)}
    record("resumed", **counts, **({"foreign": foreign} if foreign else {}))
    ledger.close()
    return Resumed(
        replace(plan, trials=match.trials), finished, len(match.known) - finished, len(added), len(requeued),
        len(foreign), damaged, (*match.notes, *damaged_tables), news, state,
    )  # fmt: skip


def with_added(sweep: Sweep, description: Mapping[str, Any]) -> tuple[Sweep, list[str]]:
    """Return a sweep with the values that were added to its run while it went on, and these as `FIELD=V[,V...]`.

    description: the content of `run.json`. What no longer fits the sweep is left out: its field may be held still now.
    """
    found = []
    for text in given if isinstance(given := description.get(ADDED), list) else []:
        with suppress(InputError):
            sweep = add_values(sweep, str(text))
            found.append(str(text))
    return sweep, found


@dataclass(frozen=True)
class Extended:
    """A run's sweep and plan with values added, and the trials that are new."""

    sweep: Sweep
    plan: Plan
    added: tuple[PlannedTrial, ...]


def extended(sweep: Sweep, plan: Plan, state: RunState, text: str) -> Extended:
    """Add the values of `FIELD=V[,V...]` to a grid of a run that goes on; nothing is written. Raises `InputError`."""
    sweep = add_values(sweep, text)
    known = {trial.config for trial in plan.trials}
    keys = {trial.key for trial in state.trials.values()}
    last = max((int(trial_id.partition(".")[0]) for trial_id in state.trials), default=0)
    added: list[PlannedTrial] = []
    for config in expand(sweep):
        apart = sweep.replicates == "apart"
        parts = {f".{place}": part for place, part in enumerate(by_seed(config))} if apart else {"": config}
        new = [plan.planner.trial(part, f"{last + 1:04d}{place}") for place, part in parts.items() if part not in known]
        # a trial that an earlier command has planned is there already
        new = [trial for trial in new if trial.key not in keys]
        last += bool(new)
        added += new
    if not added:
        raise InputError(f"{text}: the run has all trials of these values")
    return Extended(sweep, replace(plan, trials=(*plan.trials, *added)), tuple(added))


def record_extension(
    run: RunFolder, state: RunState, extension: Extended, text: str, record: Callable[..., None]
) -> None:
    """Write the added values into `run.json`, then their trials into the ledger.

    In this order: a driver that is killed in between has lost nothing, since a resume plans what `run.json` has.
    """
    description = run.read_description()
    update = extend_run_json(description, extension.sweep, extension.plan, len(state.trials) + len(extension.added))
    earlier = given if isinstance(given := description.get(ADDED), list) else []
    update |= {"resumes": description.get("resumes", []), ADDED: [*earlier, text]}
    write_atomically(run.description, json.dumps(update, indent=1).encode())
    record("values_added", values=text, trials=len(extension.added))
    for trial in extension.added:
        record("planned", **planned_fields(trial))


def new_values(added: Sequence[PlannedTrial], known: Sequence[TrialState]) -> list[str]:
    """`epochs 3 (so far 2)`: the values of the trials added that no trial of a run has had, by field."""
    found = []
    configs = [trial.config.model_dump(mode="json") for trial in added]
    names = dict.fromkeys(name for config in configs for name in config)
    for name in names if known else ():
        old = {show_value(trial.config[name]) for trial in known if name in trial.config}
        new = {show_value(config[name]) for config in configs if name in config} - old
        if new:
            found.append(f"{name} {', '.join(sorted(new))} (so far {', '.join(sorted(old)) or 'not known'})")
    return found


def check_same_metric(description: Mapping[str, Any], sweep: Sweep) -> None:
    """Raises `InputError` where a run was judged by another metric: its decisions and those to come cannot be one."""
    for name, option in (("metric", "--metric"), ("mode", "the mode")):
        known, asked = description.get(name), getattr(sweep, name)
        if known is not None and known != asked:
            raise InputError(f"this run goes by {name} {known}, not {asked}: leave out {option}, or begin another run")


def _proposed_before(sweep: Sweep, plan: Plan, state: RunState) -> list[PlannedTrial]:
    """Return the trials that the searcher proposed before the run was interrupted."""
    if not plan.proposed:
        return []
    mine = [trial for trial in state.trials.values() if trial.proposal and was_proposed_by(sweep, trial)]
    return [plan.planner.trial(plan.planner.trainable.make(trial.config), trial.trial_id) for trial in mine]
