"""One run of a sweep from its definition to its tables: plan, ledger, Tune, complexity."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console

from analysis.runs.run_folder import RunFolder
from analysis.terminal.exit_codes import ExitCode
from analysis.terminal.plain_text import say
from search_spaces.definition import Optuna, Pbt, Resources, Sweep
from sweeps.dashboard.beside_run import dashboard_beside
from sweeps.hardware.sampler import Sampler
from sweeps.planning.begin import extended, planned_fields, record_extension
from sweeps.planning.settings import Settings
from sweeps.planning.trials import Plan, PlannedTrial
from sweeps.record.outcome import Halt, Outcome
from sweeps.record.state import RunState, read_state
from sweeps.running.interrupt import RESTARTS, Brake, Interrupt, Losses, end_process
from sweeps.running.recorder import Recorder
from sweeps.screen.live import Measuring, make_view
from sweeps.steering.driver import Steering
from sweeps.trackers.ray_metrics import published
from sweeps.tracking.companions import Companions
from sweeps.tracking.notify import Notifier
from trainables.errors import InputError
from trainables.worker.attempt_folder import last_attempt
from trainables.worker.train_trial import Job

if TYPE_CHECKING:
    from sweeps.running.file_server import ServedFolder
    from sweeps.running.ray_session import Cluster, RayWatch
    from sweeps.running.tuner import Propose


def check_address(address: str | None) -> None:
    """Raise `InputError` where no cluster answers there, before anything is planned or written."""
    if address is not None:
        from sweeps.running.ray_session import join, ray

        # Tune would run over there, and the ledger is written here
        if address.startswith("ray://"):
            raise InputError(f"{address}: a sweep cannot be run over Ray's client: run it on the head, --address auto")
        join(address)
        ray.shutdown()


def check_fit(sweep: Sweep, address: str | None, start: Callable[[], None] | None) -> None:
    """Raise `InputError` where a trial can never fit on this machine, before anything is written.

    start: waits for the Ray of this machine; None: it is started later. A cluster may still grow.
    """
    from sweeps.running.ray_session import check_bundle, cluster_now

    if address is None and start is not None:
        start()
        check_bundle(sweep.resources, cluster_now())


def execute(
    sweep: Sweep, plan: Plan, folder: RunFolder, settings: Settings, console: Console,
    start: Callable[[], None] | None = None, interrupt: Interrupt | None = None, state: RunState | None = None,
) -> Outcome:  # fmt: skip
    """Run what the ledger still lacks, then measure and draw; of a run at a URI, all is uploaded when it returns.

    start: waits for a Ray that is being started (see `sweeps.running.early_ray`); None: it is started here.
    interrupt: one that is entered already, and is released once the trials have been measured.
    state: that of the ledger, where it has been read already; None: it is read here.
    """
    note = partial(say, console, label="note:")
    notifier = Notifier(settings.notify, folder, note)
    with notifier.errors():
        outcome = _carried_out(sweep, plan, folder, settings, console, note, notifier, start, interrupt, state)
    notifier.ended(outcome)
    return outcome


def _carried_out(
    sweep: Sweep, plan: Plan, folder: RunFolder, settings: Settings, console: Console, note: Callable[[str], None],
    notifier: Notifier, start: Callable[[], None] | None, interrupt: Interrupt | None, state: RunState | None,
) -> Outcome:  # fmt: skip
    """Do what `execute` does, with an upload, trackers and a sampler beside it."""
    from sweeps.running.upload import BackgroundUpload

    tell = partial(say, console, label="dashboard:", style="cyan")
    page = dashboard_beside(folder, tell) if settings.dashboard else nullcontext()
    companions = Companions(folder, settings.track, settings.track_files, note)
    with BackgroundUpload(folder, note) as upload, companions, page, Sampler(folder, settings.carbon, note) as sampler:
        began = time.monotonic()
        with interrupt or Interrupt() as entered:
            entered.hold()
            outcome = _Execution(sweep, plan, folder, settings, console, entered, began, notifier).run(start, state)
        # the report and the trackers get its table
        sampler.close()
        if settings.report:
            from sweeps.running.after_training import with_report

            outcome = with_report(outcome)
        outcome = replace(outcome, seconds=time.monotonic() - began)
    return replace(outcome, problems=(*outcome.problems, *upload.problems))


@dataclass
class _Execution:
    """One start of a run: its trials and what follows them, in as many sessions of Ray as it takes."""

    sweep: Sweep
    plan: Plan
    folder: RunFolder
    settings: Settings
    console: Console
    interrupt: Interrupt
    began: float
    notifier: Notifier
    losses: Losses = field(default_factory=Losses)

    def run(self, start: Callable[[], None] | None, known: RunState | None) -> Outcome:
        """Start Ray, train and measure; where Ray is lost, do so again with what the ledger lacks.

        known: the state of the ledger, where it has been read already.
        """
        from sweeps.running.ray_session import RayLost, lost_service

        while True:
            state, known = known or read_state(self.folder.ledger), None
            brake = Brake(self.interrupt, self.settings, state, self.began)
            try:
                problems = self._session(state, brake, start)
                return self._outcome(state, None if state.ended else brake.halt, problems)
            except RayLost as loss:
                service = lost_service()
                halt = self._lost(state, brake, f"its {service} has ended" if service else str(loss))
                if service or not halt.new_process:
                    return self._outcome(state, brake.halt or halt, [])
                say(self.console, f"{halt.reason}; it is started again, and the trials go on", "note:")
                start = None

    def _lost(self, state: RunState, brake: Brake, reason: str) -> Halt:
        """Return how the run ends, or goes on, now that Ray is lost."""
        count = self.losses.another(sum(trial.epoch for trial in state.trials.values()))
        return Halt(f"Ray was lost: {reason}", ExitCode.UNFINISHED, new_process=not brake() and count <= RESTARTS)

    def _stuck(self, state: RunState, brake: Brake, service: str) -> None:
        """Leave a call of Ray's that waits for a lost service for ever. Called from a thread; does not return."""
        halt = self._lost(state, brake, f"its {service} has ended")
        try:
            if halt.new_process and self.interrupt.restart:
                self.interrupt.restart(halt, time.monotonic() - self.began)
        finally:
            # an error here would leave the driver waiting
            text = f"{halt.reason}; what was reported is in the ledger. {self.interrupt.advice()}"
            end_process(text, self._outcome(state, brake.halt or halt, []).exit_code)

    def _outcome(self, state: RunState, halt: Halt | None, problems: list[str]) -> Outcome:
        seconds = time.monotonic() - self.began
        return Outcome(self.folder, state, self.interrupt.signal, seconds, tuple(problems), halt)

    def _session(self, state: RunState, brake: Brake, start: Callable[[], None] | None) -> list[str]:
        """Train and measure in one session of Ray. Returns what could not be measured. Raises `RayLost`."""
        from sweeps.running.file_server import served
        from sweeps.running.ray_session import RayWatch, losses_raised, ray_session

        address = self.settings.address
        with ray_session(address, self.folder.log, start) as cluster, served(self.folder, address) as client:
            self.interrupt.take_again()
            if client and not self.settings.quiet:
                text = f"nodes that do not see {self.folder.path.absolute()} send their files to the driver"
                self.console.print(text, markup=False, highlight=False, soft_wrap=True)
            metadata = self.folder.metadata()
            resources = self._resources(state, cluster, brake)
            with RayWatch(partial(self._stuck, state, brake)) as watch, losses_raised():
                self._train(state, metadata, resources, brake, client, watch)
                if self.interrupt.signal is None and self.settings.measure:
                    # values may have been added meanwhile
                    return self._measure(state, self.folder.metadata(), client, watch)
        return []

    def _resources(self, state: RunState, cluster: Cluster, brake: Brake) -> Resources:
        """Return what a trial takes of the cluster, once one fits on it. Raises `InputError` where none ever will."""
        from sweeps.running.estimate import gpu_share
        from sweeps.running.ray_session import check_bundle, fits, wait_for_nodes

        resources = self.sweep.resources
        if self.settings.address is None:
            check_bundle(resources, cluster)
        elif not state.ended:
            cluster = wait_for_nodes(resources, cluster, brake, partial(self.console.print, soft_wrap=True))
        if fits(resources, cluster) and not state.ended:
            resources = gpu_share(resources, self.plan, cluster.gpus)
        return resources

    def _train(
        self, state: RunState, metadata: Mapping[str, Any], resources: Resources, brake: Brake,
        client: ServedFolder | None, watch: RayWatch,
    ) -> None:  # fmt: skip
        """Run the trials that the ledger lacks, and leave whole tables."""
        from sweeps.running.reasons import IdleNote
        from sweeps.running.tuner import run_trials

        sweep, folder, settings = self.sweep, self.folder, self.settings
        recorder = Recorder(folder, sweep, state, metadata, self.plan.epochs)
        # a population's trials are proposed, part by part
        todo = [] if isinstance(sweep.scheduler, Pbt) else self.plan.trials
        jobs = [_job(sweep, folder, state, trial) for trial in todo if not state.trials[trial.trial_id].ended]
        view = make_view(
            state, sweep.metric, sweep.mode, sweep.compared, self.console, settings.quiet, tuple(sweep.nuisance),
            verbose=settings.verbose,
        )  # fmt: skip
        notices = None if settings.quiet else self.console
        with recorder, published(view.update, folder, sweep, state, settings.address, notices) as on_step, view:
            if jobs or not state.ended:
                added: deque[Job] = deque()
                propose = _proposer(sweep, self.plan, folder, recorder) or (lambda: added.popleft() if added else None)
                idle = IdleNote(state, settings.address, partial(say, self.console, label="note:"))
                add = partial(self._add_values, recorder, added)
                steering = Steering(recorder, brake, partial(say, self.console, label="note:"), add)
                tell = partial(self.notifier.check, state)
                on_steps: list[Callable[[], None]] = [watch.check, on_step, idle.check, steering.check, tell]
                run_trials(
                    recorder, jobs, propose, self.plan.prepared.shared, resources, settings, brake, on_steps, client
                )

    def _add_values(self, recorder: Recorder, jobs: deque[Job], text: str) -> str:
        """Plan the trials of values that are added to a grid, and hand them out. Raises `InputError`."""
        extension = extended(self.sweep, self.plan, recorder.state, text)
        record_extension(self.folder, recorder.state, extension, text, recorder.record)
        self.sweep, self.plan = extension.sweep, extension.plan
        recorder.sweep, recorder.metadata = extension.sweep, self.folder.metadata()
        jobs.extend(_job(self.sweep, self.folder, recorder.state, trial) for trial in extension.added)
        return f"{text} is added by request: {len(extension.added)} more trials"

    def _measure(
        self, state: RunState, metadata: Mapping[str, Any], client: ServedFolder | None, watch: RayWatch
    ) -> list[str]:
        from sweeps.running.after_training import WorkerContext, measure_trials

        with Measuring(self.console, self.settings.quiet) as measuring:

            def progress(done: int, total: int) -> None:
                watch.check()
                measuring.update(done, total)

            context = WorkerContext(self.plan.planner.trainable, self.settings.data_root, client, self.plan.prepared)
            return measure_trials(self.folder, state, metadata, progress, context, self.interrupt.requested)


def _proposer(sweep: Sweep, plan: Plan, folder: RunFolder, recorder: Recorder) -> Propose | None:
    """Return what proposes and plans the searcher's next trial; None for a plan that is complete."""
    if isinstance(sweep.scheduler, Pbt):
        return in_populations(sweep, plan, folder, recorder.state)
    if not isinstance(sweep.searcher, Optuna):
        return None
    from sweeps.running.optuna_search import Proposals

    proposals = Proposals(sweep, sweep.searcher, plan.planner, recorder.state, plan.proposed // len(plan.examples))

    def propose() -> Job | None:
        proposal = proposals.next()
        if proposal is None:
            # a small space has no more settings
            if recorder.state.expected > len(recorder.state.trials):
                recorder.record("expected", trials=len(recorder.state.trials))
            return None
        fields = {"row": proposal.row, "params": dict(proposal.params), "attributes": dict(proposal.attributes)}
        recorder.record("planned", **planned_fields(proposal.trial), proposal=fields)
        return _job(sweep, folder, recorder.state, proposal.trial)

    return propose


def in_populations(sweep: Sweep, plan: Plan, folder: RunFolder, state: RunState) -> Propose:
    """Return what hands out trials from one comparison of their population to the next, the furthest behind first."""
    from sweeps.schedulers.pbt import boundary, next_trial

    rule = sweep.scheduler
    assert isinstance(rule, Pbt)
    planned = {trial.trial_id: trial for trial in plan.trials}
    # the epoch at which each trial that was handed out comes back
    until: dict[str, int] = {}

    def propose() -> Job | Literal["wait"] | None:
        trials = [state.trials[trial_id] for trial_id in planned]
        running = {t.trial_id for t in trials if not t.ended and t.epoch < until.get(t.trial_id, 0)}
        trial = next_trial(rule, state, trials, running)
        if trial is None:
            return None if all(trial.ended for trial in trials) else "wait"
        end = boundary(rule, trial, state)
        until[trial.trial_id] = end or trial.config["epochs"]
        donor = max((change["epoch"] for change in trial.changes), default=0)
        job = _job(sweep, folder, state, planned[trial.trial_id])
        return replace(job, config=trial.config_now, until=end, donor_epoch=donor)

    return propose


def _job(sweep: Sweep, folder: RunFolder, state: RunState, trial: PlannedTrial) -> Job:
    path = folder.trial(trial.folder).path
    return Job(
        trial.trial_id, trial.config.model_dump(mode="json"), str(path.absolute()), last_attempt(path),
        state.trials[trial.trial_id].epoch, trainable=sweep.trainable, metric=sweep.metric,
        mode=sweep.mode,
    )  # fmt: skip
