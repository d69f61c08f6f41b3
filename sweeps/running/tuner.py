"""Ray Tune runs what the plan still lacks; everything that happens goes through the recorder."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Literal, Protocol

from sweeps.running.ray_session import bundle, slots  # isort: skip  first: it sets what Ray reads when it is imported

from ray import tune
from ray.exceptions import RayTaskError
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from analysis.parallel.ray_private import losses_are_deaths
from search_spaces.definition import Resources
from sweeps.running.file_server import ServedFolder
from sweeps.running.reasons import cause_of, larger_share
from sweeps.running.recorder import Recorder
from trainables.errors import InputError
from trainables.trainable import Fuse
from trainables.training.gradients import Recording
from trainables.user_code.in_use import sources_in_use
from trainables.worker.train_trial import Job, train_trial


def run_trials(
    recorder: Recorder,
    jobs: Sequence[Job],
    propose: Propose | None,
    shared: Any,
    resources: Resources,
    limits: Limits,
    stop_requested: Callable[[], bool],
    on_steps: Sequence[Callable[[], None]],
    client: ServedFolder | None = None,
) -> None:
    """Run the jobs, and those that `propose` makes until it answers None, to their ends or until a stop is requested.

    shared: what all trials share, as `Trainable.prepare` made it. propose: answers "wait" while what there is to run
    follows from what still runs.

    Returns when no trial runs any more. Raises `RayLost` where Ray fails, `InputError` where the disk does.
    """
    # Tune holds one trial ready for a searcher, so workers would start one after another; ours keeps its own count
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = "200"
    threads = max(1, int(resources.cpus))
    sources = sources_in_use()
    recording = Recording(limits.log_steps, limits.log_histograms)
    # one network of several has no steps of each that could be kept
    fuse = "off" if recording != Recording() else limits.fuse
    trainable = tune.with_parameters(
        train_trial, shared=shared, threads=threads, client=client, sources=sources, fuse=fuse, recording=recording
    )
    source = _JobSearcher([job.to_json() for job in jobs], propose, resources, limits.max_concurrent, recorder.skips)
    with tempfile.TemporaryDirectory(prefix="sweeps-tune-") as scratch:
        tuner = tune.Tuner(
            tune.with_resources(trainable, bundle(resources)),
            tune_config=tune.TuneConfig(
                search_alg=source,
                num_samples=-1,
                scheduler=_RecorderScheduler(recorder),
                reuse_actors=True,
                trial_name_creator=_name,
                trial_dirname_creator=_name,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=scratch,
                verbose=0,
                stop=_StopOnRequest(stop_requested),
                callbacks=[_RecorderCallback(recorder, source, resources, on_steps)],
                failure_config=tune.FailureConfig(max_failures=limits.max_failures),
            ),
        )
        with losses_are_deaths(), own_errors():
            tuner.fit()


@contextmanager
def own_errors() -> Iterator[None]:
    """Raise an `InputError` of ours as it was where Tune has raised another in its place, with a traceback as text."""
    try:
        yield
    except tune.TuneError as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, InputError) and not isinstance(cause, RayTaskError):
                raise cause from None
            cause = cause.__cause__ or cause.__context__
        raise


def _trial_id(trial: Trial) -> str:
    return _trial_id_in(trial.config["job"])


def _name(trial: Trial) -> str:
    """Name a trial of Tune's; one of ours that waits for others comes back as another of Tune's."""
    return f"job_{_trial_id(trial)}_{trial.trial_id}"


@lru_cache(maxsize=4096)
def _trial_id_in(job: str) -> str:
    return str(json.loads(job)["trial_id"])


Propose = Callable[[], Job | Literal["wait"] | None]


class Limits(Protocol):
    """The settings that are read here."""

    @property
    def max_concurrent(self) -> int | None:
        """Trials at a time at most; None: as many as fit."""

    @property
    def max_failures(self) -> int:
        """Times that a failed trial is tried again."""

    @property
    def fuse(self) -> Fuse:
        """Return whether a trial's replicates are trained as one network."""

    @property
    def log_steps(self) -> bool:
        """Return whether the loss of each step is kept."""

    @property
    def log_histograms(self) -> int:
        """Epochs from one set of histograms of weights and gradients to the next; 0: none."""


# Times that a trial's worker may die before it has begun.
UNSTARTED = 5


class _JobSearcher(Searcher):
    """Hands Tune the jobs that are known, then those that are proposed.

    Keeps one proposed job more than there are free slots: enough that no worker idles, few enough that each proposal
    sees the results so far.
    """

    def __init__(
        self, jobs: Sequence[str], propose: Propose | None, resources: Resources, max_concurrent: int | None,
        skips: Callable[[str], bool],
    ) -> None:  # fmt: skip
        super().__init__()
        self.jobs, self.propose, self.resources = list(jobs), propose, resources
        self.max_concurrent, self.skips = max_concurrent, skips
        self.open: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles it, as it does `_RecorderScheduler`
        return {}

    def suggest(self, trial_id: str) -> dict[str, str] | None:
        if self.max_concurrent and len(self.open) >= self.max_concurrent:
            return None
        job = self._known() or self._proposed()
        # what is open may fail and come back
        if job is None:
            return None if self.open else Searcher.FINISHED  # type: ignore[return-value]
        if job == "wait":
            return None
        self.open.add(trial_id)
        return {"job": job}

    def _known(self) -> str | None:
        """Return the next of the jobs that are known, without those whose trials have ended meanwhile."""
        while self.jobs:
            job = self.jobs.pop(0)
            if not self.skips(_trial_id_in(job)):
                return job
        return None

    def _proposed(self) -> str | None:
        """Return a job as text, "wait", or None where there will be no more."""
        if self.propose is None:
            return None
        while len(self.open) <= slots(self.resources):
            job = self.propose()
            if not isinstance(job, Job):
                return job
            # one that was asked to stop before it began has ended now, and is not proposed again
            if not self.skips(job.trial_id):
                return job.to_json()
        return "wait"

    def again(self, trial: Trial) -> None:
        """Hand out a trial's job once more, before all others."""
        self.jobs.insert(0, trial.config["job"])

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Free the slot; the next proposal is made from the ledger's state."""
        self.open.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the ledger is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: the ledger is the truth."""


class _RecorderScheduler(FIFOScheduler):
    """Hands every report to the recorder, which answers whether the trial goes on."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles it for snapshots that we never read; the ledger's open file cannot be pickled
        return {}

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        trial_id = _trial_id(trial)
        known = self.recorder.state.trials[trial_id]
        if result.get("done") and known.epoch >= result["epoch"]:
            # Tune repeats the last result of a function that has returned
            return str(TrialScheduler.CONTINUE)
        # a worker may die after its last epoch, and be tried again
        if known.ended:
            return str(TrialScheduler.STOP)
        goes_on = self.recorder.epoch(trial_id, result)
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)


class _RecorderCallback(tune.Callback):
    """Starts and errors for the recorder; a heartbeat for tables and the live view."""

    def __init__(
        self, recorder: Recorder, source: _JobSearcher, resources: Resources, on_steps: Sequence[Callable[[], None]]
    ) -> None:
        self.recorder, self.source, self.resources, self.on_steps = recorder, source, resources, on_steps
        # deaths of workers that had not begun a trial yet
        self.unstarted: dict[str, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self.recorder.started(_trial_id(trial))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Try again a trial whose worker has died before it began or while it was handed on; Tune would give it up."""
        trial_id = _trial_id(trial)
        known = self.recorder.state.trials[trial_id]
        if known.ended or known.status == "waiting":
            # a worker that dies after its last epoch has lost nothing
            return
        begun = known.status == "running"
        self.unstarted[trial_id] = self.unstarted.get(trial_id, 0) + (not begun)
        if begun or self.unstarted[trial_id] > UNSTARTED:
            self.recorder.failed(trial_id, cause_of(trial))
        else:
            self.source.again(trial)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        if self.recorder.state.trials[_trial_id(trial)].ended:
            return
        cause = cause_of(trial)
        had: Any = trial.placement_group_factory
        more = larger_share(cause, had.required_resources.get("GPU", 0.0))
        if more:
            trial.update_resources({"CPU": self.resources.cpus, "GPU": more})
        self.recorder.record("retried", trial_id=_trial_id(trial), cause=cause, **({"gpus": more} if more else {}))

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self.recorder.step()
        for on_step in self.on_steps:
            on_step()


class _StopOnRequest(tune.Stopper):
    """Ends the whole experiment once a stop has been requested."""

    def __init__(self, requested: Callable[[], bool]) -> None:
        self.requested = requested

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.requested()
