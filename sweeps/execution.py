"""One run of a sweep from its definition to its tables: plan, ledger, Tune, complexity."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from analysis.run_folder import DEFAULT_STORAGE, RunFolder, TrialFolder
from search_spaces.definition import Asha, Sweep
from sweeps.interrupt import Interrupt
from sweeps.ledger import Ledger, cut_damaged_end, read_ledger
from sweeps.live import Measuring, make_view
from sweeps.names import new_run_id
from sweeps.plan import Plan, PlannedTrial, make_plan
from sweeps.provenance import provenance
from sweeps.recorder import Recorder
from sweeps.state import RunState, fold
from trainables.checkpoint import write_atomically
from trainables.errors import InputError
from trainables.image_classifier import Job


@dataclass(frozen=True)
class Settings:
    """How and where a sweep is run; what it asks stands in the `Sweep`."""

    data_root: Path | None = None
    storage: Path = DEFAULT_STORAGE
    name: str | None = None  # the run's id; None: made from the time
    max_concurrent: int | None = None
    max_failures: int = 1  # times a failed trial is tried again
    address: str | None = None  # of a Ray cluster; None: this machine
    quiet: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a run came to. signal: the one that interrupted it, else None."""

    run: RunFolder
    state: RunState
    signal: int | None
    seconds: float
    problems: tuple[str, ...] = ()  # what could not be measured or drawn


def run(sweep: Sweep, name: str = "sweep", settings: Settings | None = None, console: Console | None = None) -> Outcome:
    """Run a sweep to its end and return where its results are.

    >>> from sweeps import Sweep, run                                                      # doctest: +SKIP
    >>> outcome = run(Sweep(question="...", scientific={...}), "my_question")              # doctest: +SKIP
    """
    settings = settings or Settings()
    now = datetime.now()
    plan = make_plan(sweep, settings.data_root, now)
    folder = create_run(sweep, name, plan, settings, now)
    return execute(sweep, plan, folder, settings, console or Console())


def create_run(sweep: Sweep, name: str, plan: Plan, settings: Settings, now: datetime) -> RunFolder:
    """Make the run's folder, `run.json` and a ledger with all planned trials. Raises `InputError`."""
    run_id = settings.name or new_run_id(now, name)
    folder = RunFolder(settings.storage / name / run_id)
    if folder.ledger.exists():
        raise InputError(f"{folder.path} exists: add --resume to go on with it, or choose another --name")
    try:
        folder.trials.mkdir(parents=True, exist_ok=True)
        write_atomically(folder.description, json.dumps(describe_run(sweep, name, run_id, plan), indent=1).encode())
    except OSError as error:
        raise InputError(f"{folder.path} cannot be written ({error.strerror}): choose another --storage") from None
    ledger = Ledger(folder.ledger)
    _append_planned(ledger, plan.trials)
    ledger.close()
    return folder


def _append_planned(ledger: Ledger, trials: Sequence[PlannedTrial]) -> None:
    for trial in trials:
        fields = {name: getattr(trial, name) for name in ("trial_id", "key", "folder", "parameters", "macs", "stratum")}
        ledger.append("planned", **fields, config=trial.config.model_dump(mode="json"))


@dataclass(frozen=True)
class Resumed:
    """A plan fitted to a run that exists: known trials keep their ids and folders, new ones are added."""

    plan: Plan
    finished: int
    unfinished: int
    added: int
    foreign: int  # trials of the run that this command does not plan; left as they are
    damaged_bytes: int  # cut off the end of the ledger


def resume_run(folder: RunFolder, plan: Plan) -> Resumed:
    """Match the plan with the run's ledger by trial key and append what is new."""
    damaged = cut_damaged_end(folder.ledger)
    known = {trial.key: trial for trial in fold(read_ledger(folder.ledger)).trials.values()}
    number, trials, added = len(known), [], []
    for trial in plan.trials:
        if old := known.get(trial.key):
            trials.append(replace(trial, trial_id=old.trial_id, folder=old.folder))
        else:
            number += 1
            added.append(replace(trial, trial_id=f"{number:04d}"))
    ledger = Ledger(folder.ledger)
    _append_planned(ledger, added)
    finished = sum(known[trial.key].ended for trial in trials)
    ledger.append("resumed", finished=finished, unfinished=len(trials) - finished, added=len(added))
    ledger.close()
    foreign = len(known) - len(trials)
    return Resumed(
        replace(plan, trials=(*trials, *added)), finished, len(trials) - finished, len(added), foreign, damaged
    )  # fmt: skip


def describe_run(sweep: Sweep, name: str, run_id: str, plan: Plan) -> dict[str, Any]:
    """The content of `run.json`."""
    return {
        "sweep": name,
        "run_id": run_id,
        "question": sweep.question,
        "roles": roles(sweep),
        "metric": sweep.metric,
        "mode": sweep.mode,
        "seeds": list(sweep.seeds),
        "samples": sweep.samples,
        "scheduler": {"asha": asdict(sweep.scheduler)} if isinstance(sweep.scheduler, Asha) else sweep.scheduler,
        "stratify": list(plan.stratify),
        "resources": asdict(sweep.resources),
        "trials": len(plan.trials),
        "datasets": {data.info.name: data.digest for data, _ in plan.datasets.values()},
        "notes": sorted({note for data, _ in plan.datasets.values() for note in data.notes}),
        "provenance": provenance(sys.argv),
    }


def roles(sweep: Sweep) -> dict[str, Any]:
    """Which fields are scientific, nuisance and fixed, and their domains in words."""
    found: dict[str, dict[str, Any]] = {
        role: {field: show_domain(domain) for field, domain in getattr(sweep, role).items()}
        for role in ("scientific", "nuisance", "fixed")
    }
    for name in sweep.compared:
        found["scientific"].setdefault(name, [case.get(name) for case in sweep.cases])
    return found


def show_domain(domain: Any) -> Any:
    """A grid as its list, a random domain as Tune writes it, a constant as it is."""
    if isinstance(domain, dict) and set(domain) == {"grid_search"}:
        return domain["grid_search"]
    return f"{type(domain).__name__} {domain.domain_str}" if hasattr(domain, "domain_str") else domain


def execute(sweep: Sweep, plan: Plan, folder: RunFolder, settings: Settings, console: Console) -> Outcome:
    """Run what the ledger still lacks, then measure and draw."""
    from sweeps.finish import finish
    from sweeps.tuner import check_bundle, ray_session, run_trials

    began = time.monotonic()
    about = folder.read_description()
    state = fold(read_ledger(folder.ledger))
    with ray_session(settings.address, folder.log) as cluster, Interrupt() as interrupt:
        resources = check_bundle(sweep.resources, cluster)
        recorder = Recorder(folder, sweep, state, about)
        jobs = [
            _job(folder.trial(trial.folder), trial, state.trials[trial.trial_id].epoch)
            for trial in plan.trials
            if not state.trials[trial.trial_id].ended
        ]
        view = make_view(state, sweep.metric, sweep.mode, sweep.compared, console, settings.quiet)
        try:
            with view:
                if jobs:
                    stop = lambda: interrupt.signal is not None  # noqa: E731
                    run_trials(recorder, jobs, plan.datasets, resources, settings, stop, view.update)
        finally:
            recorder.interrupted()
            recorder.step(final=True)
            recorder.close()
        problems: list[str] = []
        if interrupt.signal is None:
            with Measuring(console, settings.quiet) as measuring:
                problems = finish(folder, state, sweep, about, measuring.update)
        return Outcome(folder, state, interrupt.signal, time.monotonic() - began, tuple(problems))


def _job(folder: TrialFolder, trial: PlannedTrial, known_epochs: int) -> Job:
    attempts = len(list(folder.path.glob("attempt-*")))
    return Job(trial.trial_id, trial.config, str(folder.path.absolute()), attempts, known_epochs)
