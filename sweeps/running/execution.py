"""One run of a sweep from its definition to its tables: plan, ledger, Tune, complexity."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from rich.console import Console

from analysis.runs.lease import hold
from analysis.runs.run_folder import RunFolder
from analysis.terminal.plain_text import plain
from search_spaces.definition import Optuna, Pbt, Sweep
from sweeps.planning.begin import create_run, folder_of_new_run, planned_fields
from sweeps.planning.plan import make_plan
from sweeps.planning.reuse import check_reuse, take_finished
from sweeps.planning.settings import Settings
from sweeps.planning.trials import Plan, PlannedTrial
from sweeps.record.outcome import Outcome
from sweeps.record.state import RunState, read_state
from sweeps.running.early_ray import EarlyRay
from sweeps.running.interrupt import Brake, Interrupt
from sweeps.running.recorder import Recorder
from sweeps.running.report import with_report
from sweeps.screen.live import Measuring, make_view
from sweeps.trackers.ray_metrics import published
from trainables.attempt_folder import last_attempt
from trainables.config import make_config
from trainables.data.downloads import FilePolicy, file_policy
from trainables.errors import InputError
from trainables.image_classifier import Job

if TYPE_CHECKING:
    from sweeps.running.tuner import Propose


def run(sweep: Sweep, name: str = "sweep", settings: Settings | None = None, console: Console | None = None) -> Outcome:
    """Run a sweep to its end and return where its results are.

    >>> from sweeps import Sweep, run                                                      # doctest: +SKIP
    >>> outcome = run(Sweep(question="...", scientific={...}), "my_question")              # doctest: +SKIP
    """
    settings = settings or Settings()
    if settings.reuse:
        check_reuse(sweep)
    check_address(settings.address)
    now = datetime.now()
    with EarlyRay() if settings.address is None else nullcontext() as early, ExitStack() as leases:
        with file_policy(FilePolicy(trusted=settings.trust)):
            plan = make_plan(sweep, settings.data_root, now)
        start = early.wait if early else None
        check_fit(sweep, settings.address, start)
        leases.enter_context(hold(folder_of_new_run(name, settings, now)))
        folder = create_run(sweep, name, plan, settings, now)
        if settings.reuse:
            take_finished(folder, plan.trials, settings.storage)
        return execute(sweep, plan, folder, settings, console or Console(), start)


def check_address(address: str | None) -> None:
    """Raises `InputError` where no cluster answers there, before anything is planned or written."""
    if address is not None:
        from sweeps.running.ray_session import join, ray

        if address.startswith("ray://"):  # Tune would run over there, and the ledger is written here
            raise InputError(f"{address}: a sweep cannot be run over Ray's client: run it on the head, --address auto")
        join(address)
        ray.shutdown()


def check_fit(sweep: Sweep, address: str | None, start: Callable[[], None] | None) -> None:
    """Raises `InputError` where a trial can never fit on this machine, before anything is written.

    start: waits for the Ray of this machine; None: it is started later. A cluster may still grow.
    """
    from sweeps.running.ray_session import check_bundle, cluster_now

    if address is None and start is not None:
        start()
        check_bundle(sweep.resources, cluster_now())


def execute(
    sweep: Sweep, plan: Plan, folder: RunFolder, settings: Settings, console: Console,
    start: Callable[[], None] | None = None,
) -> Outcome:  # fmt: skip
    """Run what the ledger still lacks, then measure and draw; of a run at a URI, all is uploaded when it returns.

    start: waits for a Ray that is being started (see `sweeps.running.early_ray`); None: it is started here.
    """
    from sweeps.running.upload import Mirror

    with Mirror(folder, lambda text: console.print(f"[yellow]note:[/yellow] {plain(text)}", soft_wrap=True)) as mirror:
        began = time.monotonic()
        outcome = _execute(sweep, plan, folder, settings, console, start)
        if settings.report:
            outcome = with_report(outcome)
        outcome = replace(outcome, seconds=time.monotonic() - began)
    return replace(outcome, problems=(*outcome.problems, *mirror.problems))


def _execute(
    sweep: Sweep, plan: Plan, folder: RunFolder, settings: Settings, console: Console,
    start: Callable[[], None] | None,
) -> Outcome:  # fmt: skip
    from sweeps.running.after_training import WorkerContext, measure_trials
    from sweeps.running.estimate import pack
    from sweeps.running.ray_session import check_bundle, fits, ray_session, wait_for_nodes
    from sweeps.running.run_home import home_for
    from sweeps.running.tuner import run_trials

    began = time.monotonic()
    about = folder.read_description()
    state = read_state(folder.ledger)
    session = ray_session(settings.address, folder.log, start)
    with session as cluster, home_for(folder, settings.address) as home, Interrupt() as interrupt:
        if home and not settings.quiet:
            console.print(f"nodes that do not see {folder.path.absolute()} send their files home", soft_wrap=True)
        resources, brake = sweep.resources, Brake(interrupt, settings, state, began)
        if settings.address is None:
            check_bundle(resources, cluster)
        elif not state.ended:
            cluster = wait_for_nodes(resources, cluster, brake, lambda text: console.print(text, soft_wrap=True))
        if fits(resources, cluster) and not state.ended:
            resources = pack(resources, plan, cluster.gpus)
        recorder = Recorder(folder, sweep, state, about, plan.epochs)
        todo = [] if isinstance(sweep.scheduler, Pbt) else plan.trials  # a population's are proposed, part by part
        jobs = [_job(folder, state, trial) for trial in todo if not state.trials[trial.trial_id].ended]
        tuned = tuple(sweep.nuisance)
        view = make_view(state, sweep.metric, sweep.mode, sweep.compared, console, settings.quiet, tuned)
        told = None if settings.quiet else console
        with recorder, published(view.update, folder, sweep, state, settings.address, told) as on_step, view:
            if jobs or not state.ended:
                propose = _proposer(sweep, plan, folder, recorder)
                run_trials(recorder, jobs, propose, plan.datasets, resources, settings, brake, on_step, home)
        problems: list[str] = []
        if interrupt.signal is None and settings.measure:
            with Measuring(console, settings.quiet) as measuring:
                context = WorkerContext(settings.data_root, home, plan.datasets)
                problems = measure_trials(folder, state, about, measuring.update, context, interrupt.requested)
        halted = "" if state.ended else brake.reason
        return Outcome(folder, state, interrupt.signal, time.monotonic() - began, tuple(problems), halted)


def _proposer(sweep: Sweep, plan: Plan, folder: RunFolder, recorder: Recorder) -> Propose | None:
    """Makes the searcher's next trial, planned in the ledger before it starts; None for a plan that is complete."""
    if isinstance(sweep.scheduler, Pbt):
        return in_populations(sweep.scheduler, plan, folder, recorder.state)
    if not isinstance(sweep.searcher, Optuna):
        return None
    from sweeps.running.optuna_search import Proposals

    proposals = Proposals(sweep, sweep.searcher, plan.planner, recorder.state, plan.proposed // len(plan.examples))

    def propose() -> Job | None:
        proposal = proposals.next()
        if proposal is None:
            if recorder.state.expected > len(recorder.state.trials):  # a small space has no more settings
                recorder.record("expected", trials=len(recorder.state.trials))
            return None
        about = {"row": proposal.row, "params": dict(proposal.params), "attributes": dict(proposal.attributes)}
        recorder.record("planned", **planned_fields(proposal.trial), proposal=about)
        return _job(folder, recorder.state, proposal.trial)

    return propose


def in_populations(rule: Pbt, plan: Plan, folder: RunFolder, state: RunState) -> Propose:
    """Hands out trials from one comparison of their population to the next, those that are furthest behind first."""
    from sweeps.schedulers.pbt import boundary, next_trial

    planned = {trial.trial_id: trial for trial in plan.trials}
    until: dict[str, int] = {}  # of what was handed out: the epoch at which it comes back

    def propose() -> Job | Literal["wait"] | None:
        trials = [state.trials[trial_id] for trial_id in planned]
        running = {t.trial_id for t in trials if not t.ended and t.epoch < until.get(t.trial_id, 0)}
        trial = next_trial(rule, state, trials, running)
        if trial is None:
            return None if all(trial.ended for trial in trials) else "wait"
        end = boundary(rule, trial, state)
        until[trial.trial_id] = end or trial.config["epochs"]
        donor = max((change["epoch"] for change in trial.changes), default=0)
        job = _job(folder, state, planned[trial.trial_id])
        return replace(job, config=make_config(trial.config_now), until=end, donor_epoch=donor)

    return propose


def _job(folder: RunFolder, state: RunState, trial: PlannedTrial) -> Job:
    place = folder.trial(trial.folder).path
    epochs = state.trials[trial.trial_id].epoch
    return Job(trial.trial_id, trial.config, str(place.absolute()), last_attempt(place), epochs)
