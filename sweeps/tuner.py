"""Ray Tune runs what the plan still lacks; everything that happens goes through the recorder."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol

QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",  # with verbose=0, the only way to keep Tune from printing
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # its CSV, JSON and TensorBoard files: ours are the ledger and tables
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # signals are ours
    "TUNE_GLOBAL_CHECKPOINT_S": "100000",  # its snapshots are never read: the ledger is the truth
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})  # before Ray reads them

import ray  # noqa: E402
from ray import tune  # noqa: E402
from ray.tune.experiment import Trial  # noqa: E402
from ray.tune.schedulers import FIFOScheduler, TrialScheduler  # noqa: E402
from ray.tune.search import Searcher  # noqa: E402

from analysis.connection import join  # noqa: E402
from search_spaces.definition import Resources  # noqa: E402
from sweeps.files import RunHome  # noqa: E402
from sweeps.recorder import Recorder  # noqa: E402
from trainables.data.arrays import Data  # noqa: E402
from trainables.data.normalization import Normalization  # noqa: E402
from trainables.errors import InputError  # noqa: E402
from trainables.image_classifier import Job, train_trial  # noqa: E402


@dataclass(frozen=True)
class Cluster:
    """What Ray has to give."""

    cpus: float
    gpus: float


@contextmanager
def ray_session(address: str | None, log: Path) -> Iterator[Cluster]:
    """A Ray of our own on this machine, or the one at an address; shut down at the end. Ray's messages go to `log`."""
    if address is None:
        _start_ray()
    else:
        join(address)
    _keep_token_private()
    handler = _log_to(log)
    try:
        yield _cluster_now()
    finally:
        ray.shutdown()
        logging.getLogger("ray").removeHandler(handler)
        handler.close()


def _cluster_now() -> Cluster:
    total = ray.cluster_resources()
    return Cluster(total.get("CPU", 0), total.get("GPU", 0))


def _start_ray() -> None:
    """A Ray of our own. Raises `InputError`."""
    quiet: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    try:
        with _own_process_group():
            ray.init(address="local", **quiet, configure_logging=True)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise InputError(f"Ray cannot be started on this machine: {str(error).splitlines()[0]}") from error


@contextmanager
def _own_process_group() -> Iterator[None]:
    """Ray's processes, started in it, are in another process group than we are.

    Ctrl-C and `timeout` signal a whole group: Ray's control store would end at once, and we could not end in order.
    """
    before = os.getpgrp()
    with suppress(PermissionError):  # the leader of a session cannot change its group: then all stay in one
        os.setpgid(0, 0)
    try:
        yield
    finally:
        with suppress(PermissionError):
            os.setpgid(0, before)


def _log_to(path: Path) -> logging.Handler:
    """Ray's messages, tracebacks of failed trials among them, to a file in place of the terminal."""
    logger = logging.getLogger("ray")
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.INFO)
    return handler


def _keep_token_private() -> None:
    """Ray writes the token of its authentication readable by all; only its owner has use for it."""
    token = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if token.is_file() and token.stat().st_mode & 0o077:
        token.chmod(0o600)


def check_bundle(resources: Resources, cluster: Cluster) -> Resources:
    """The resources as they are. Raises `InputError` for what the cluster can never give."""
    if not fits(resources, cluster):
        raise InputError(
            f"a trial wants {resources.cpus:g} CPU and {resources.gpus or 0:g} GPU, but Ray has "
            f"{cluster.cpus:g} CPU and {cluster.gpus:g} GPU: lower --cpus-per-trial or --gpus-per-trial"
        )
    return resources


def fits(resources: Resources, cluster: Cluster) -> bool:
    """Whether a trial fits on the whole cluster as it is now."""
    return resources.cpus <= cluster.cpus and (resources.gpus or 0.0) <= cluster.gpus


def wait_for_nodes(
    resources: Resources, cluster: Cluster, stop_requested: Callable[[], bool], tell: Callable[[str], None]
) -> Cluster:
    """What the cluster has once a trial fits on it. An autoscaler may add nodes, and adds them for what is asked alone.

    tell: is given one line where there is something to wait for. Returns early when a stop is requested.
    """
    from ray.util.placement_group import placement_group, remove_placement_group

    if fits(resources, cluster):
        return cluster
    wanted = {name: amount for name, amount in _bundle(resources).items() if amount}
    text = " and ".join(f"{amount:g} {name}" for name, amount in wanted.items())
    tell(f"waiting for nodes: a trial wants {text}, but Ray has {cluster.cpus:g} CPU and {cluster.gpus:g} GPU now")
    asked = placement_group([wanted])
    try:
        while not stop_requested() and not asked.wait(WAIT_SECONDS):
            pass
    finally:
        remove_placement_group(asked)
    return _cluster_now()


def run_trials(
    recorder: Recorder,
    jobs: Sequence[Job],
    propose: Propose | None,
    datasets: Mapping[Any, tuple[Data, Normalization]],
    resources: Resources,
    limits: Limits,
    stop_requested: Callable[[], bool],
    on_step: Callable[[], None],
    home: RunHome | None = None,
) -> None:
    """Run the jobs, and those that `propose` makes until it answers None, to their ends or until a stop is requested.

    propose: "wait" is its answer while what there is to run follows from what still runs.

    Returns when no trial runs any more.
    """
    # Tune holds one trial ready for a searcher, so workers would start one after another; `_Source` keeps its own count
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = "200"
    threads = max(1, int(resources.cpus))
    trainable = tune.with_parameters(train_trial, datasets=dict(datasets), threads=threads, home=home)
    source = _Source([job.to_json() for job in jobs], propose, resources, limits.max_concurrent)
    with tempfile.TemporaryDirectory(prefix="sweeps-tune-") as scratch:
        tuner = tune.Tuner(
            tune.with_resources(trainable, _bundle(resources)),
            tune_config=tune.TuneConfig(
                search_alg=source,
                num_samples=-1,
                scheduler=_Judge(recorder),
                reuse_actors=True,
                trial_name_creator=_name,
                trial_dirname_creator=_name,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=scratch,
                verbose=0,
                stop=_StopOnRequest(stop_requested),
                callbacks=[_Listener(recorder, source, resources, on_step)],
                failure_config=tune.FailureConfig(max_failures=limits.max_failures),
            ),
        )
        tuner.fit()


def slots(resources: Resources) -> int:
    """How many trials fit on the cluster as it is now."""
    total = ray.cluster_resources()
    wanted = {name: amount for name, amount in _bundle(resources).items() if amount}
    return int(min(total.get(name, 0.0) / amount for name, amount in wanted.items()))


def _bundle(resources: Resources) -> dict[str, float]:
    return {"CPU": resources.cpus, "GPU": resources.gpus or 0}


def _trial_id(trial: Trial) -> str:
    return _trial_id_in(trial.config["job"])


def _name(trial: Trial) -> str:
    """A trial of ours that waits for others comes back as another of Tune's."""
    return f"job_{_trial_id(trial)}_{trial.trial_id}"


@lru_cache(maxsize=4096)
def _trial_id_in(job: str) -> str:
    return str(json.loads(job)["trial_id"])


Propose = Callable[[], Job | Literal["wait"] | None]


class Limits(Protocol):
    """The settings that this file reads."""

    @property
    def max_concurrent(self) -> int | None: ...
    @property
    def max_failures(self) -> int: ...


WAIT_SECONDS = 0.5  # for nodes, between two looks whether a stop was requested
UNSTARTED = 5  # times that a trial's worker may die before it has begun


class _Source(Searcher):
    """Hands Tune the jobs that are known, then those that are proposed.

    Of these no more than one above the places there are, so that a proposal knows what has come of the trials before
    it; no less, so that no worker waits.
    """

    def __init__(
        self, jobs: Sequence[str], propose: Propose | None, resources: Resources, max_concurrent: int | None
    ) -> None:
        super().__init__()
        self.jobs, self.propose, self.resources = list(jobs), propose, resources
        self.max_concurrent = max_concurrent
        self.open: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        return {}  # as of _Judge

    def suggest(self, trial_id: str) -> dict[str, str] | None:
        if self.max_concurrent and len(self.open) >= self.max_concurrent:
            return None
        job = self.jobs.pop(0) if self.jobs else self._proposed()
        if job is None:  # what is open may fail and come back
            return None if self.open else Searcher.FINISHED  # type: ignore[return-value]
        if job == "wait":
            return None
        self.open.add(trial_id)
        return {"job": job}

    def _proposed(self) -> str | None:
        """A job as text, "wait", or None where there will be no more."""
        if self.propose is None:
            return None
        job = "wait" if len(self.open) > slots(self.resources) else self.propose()
        return job.to_json() if isinstance(job, Job) else job

    def again(self, trial: Trial) -> None:
        """Hand out a trial's job once more, before all others."""
        self.jobs.insert(0, trial.config["job"])

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """What became of the trial is in the ledger's state, which the next proposal is made from."""
        self.open.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the truth."""


class _Judge(FIFOScheduler):
    """Hands every report to the recorder, which answers whether the trial goes on."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles it for snapshots that we never read; the ledger's open file cannot be pickled

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        trial_id = _trial_id(trial)
        known = self.recorder.state.trials[trial_id]
        if result.get("done") and known.epoch >= result["epoch"]:
            return str(TrialScheduler.CONTINUE)  # Tune repeats the last result of a function that has returned
        if known.ended:  # a worker may die after its last epoch, and be tried again
            return str(TrialScheduler.STOP)
        goes_on = self.recorder.epoch(trial_id, result)
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)


class _Listener(tune.Callback):
    """Starts and errors for the recorder; a heartbeat for tables and the live view."""

    def __init__(self, recorder: Recorder, source: _Source, resources: Resources, on_step: Callable[[], None]) -> None:
        self.recorder, self.source, self.resources, self.on_step = recorder, source, resources, on_step
        self.unstarted: dict[str, int] = {}  # deaths of workers that had not begun a trial yet

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self.recorder.started(_trial_id(trial))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Tune gives a trial up where its worker dies before it has begun, or while it is handed on: we do not."""
        trial_id = _trial_id(trial)
        known = self.recorder.state.trials[trial_id]
        if known.ended or known.status == "waiting":
            return  # a worker that dies after its last epoch has lost nothing
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
        self.on_step()


def larger_share(cause: str, share: float) -> float | None:
    """Twice the share of a GPU, for a trial that ran out of its memory; None where that is not so or cannot help."""
    short = "CUDA out of memory" in cause or "OutOfMemoryError" in cause
    return min(1.0, 2 * share) if short and 0 < share < 1 else None


def cause_of(trial: Trial) -> str:
    """One line for why a trial failed: the last line of its traceback."""
    text = ""
    if trial.error_file and os.path.exists(trial.error_file):
        with open(trial.error_file) as file:
            text = file.read()
    if "worker process has died" in text:
        return "the worker process died (killed, or out of memory)"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


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
