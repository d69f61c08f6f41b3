"""Ray Tune runs what the plan still lacks; everything that happens goes through the recorder."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

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

from search_spaces.definition import Resources  # noqa: E402
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
    options: dict[str, Any] = (
        {"address": "local", "include_dashboard": False} if address is None else {"address": address}
    )
    try:
        ray.init(**options, log_to_driver=False, logging_level=logging.ERROR, configure_logging=True)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = f"at {address}" if address else "on this machine"
        raise InputError(f"Ray cannot be started {where}: {str(error).splitlines()[0]}") from error
    _keep_token_private()
    handler = _log_to(log)
    try:
        total = ray.cluster_resources()
        yield Cluster(total.get("CPU", 0), total.get("GPU", 0))
    finally:
        ray.shutdown()
        logging.getLogger("ray").removeHandler(handler)
        handler.close()


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
    """The resources of a trial with `gpus` decided. Raises `InputError` for what the cluster can never give."""
    gpus = resources.gpus if resources.gpus is not None else float(cluster.gpus > 0)
    if resources.cpus > cluster.cpus or gpus > cluster.gpus:
        raise InputError(
            f"a trial wants {resources.cpus:g} CPU and {gpus:g} GPU, but Ray has {cluster.cpus:g} CPU and "
            f"{cluster.gpus:g} GPU: lower --cpus-per-trial or --gpus-per-trial"
        )
    return Resources(resources.cpus, gpus)


def run_trials(
    recorder: Recorder,
    jobs: Sequence[Job],
    datasets: Mapping[Any, tuple[Data, Normalization]],
    resources: Resources,
    limits: Limits,
    stop_requested: Callable[[], bool],
    on_step: Callable[[], None],
) -> None:
    """Run the jobs to their ends, or until a stop is requested. Returns when no trial runs any more."""
    trainable = tune.with_parameters(
        train_trial, jobs=list(jobs), datasets=dict(datasets), threads=max(1, int(resources.cpus))
    )
    bundle = {"CPU": resources.cpus, "GPU": resources.gpus or 0}
    with tempfile.TemporaryDirectory(prefix="sweeps-tune-") as scratch:
        tuner = tune.Tuner(
            tune.with_resources(trainable, bundle),
            param_space={"job": tune.grid_search(list(range(len(jobs))))},
            tune_config=tune.TuneConfig(
                scheduler=_Judge(recorder, jobs),
                max_concurrent_trials=limits.max_concurrent or 0,
                reuse_actors=True,
                trial_name_creator=lambda trial: f"job_{trial.config['job']}",
                trial_dirname_creator=lambda trial: f"job_{trial.config['job']}",
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=scratch,
                verbose=0,
                stop=_StopOnRequest(stop_requested),
                callbacks=[_Listener(recorder, jobs, on_step)],
                failure_config=tune.FailureConfig(max_failures=limits.max_failures),
            ),
        )
        tuner.fit()


class Limits(Protocol):
    """The settings that this file reads."""

    @property
    def max_concurrent(self) -> int | None: ...
    @property
    def max_failures(self) -> int: ...


class _Judge(FIFOScheduler):
    """Hands every report to the recorder, which answers whether the trial goes on."""

    def __init__(self, recorder: Recorder, jobs: Sequence[Job]) -> None:
        super().__init__()
        self.recorder, self.jobs = recorder, jobs

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles it for snapshots that we never read; the ledger's open file cannot be pickled

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        trial_id = self.jobs[trial.config["job"]].trial_id
        if self.recorder.state.trials[trial_id].ended:
            # Tune repeats the last result of a function that has returned; a worker may die after its last epoch
            return str(TrialScheduler.CONTINUE if result.get("done") else TrialScheduler.STOP)
        goes_on = self.recorder.epoch(trial_id, result)
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)


class _Listener(tune.Callback):
    """Starts and errors for the recorder; a heartbeat for tables and the live view."""

    def __init__(self, recorder: Recorder, jobs: Sequence[Job], on_step: Callable[[], None]) -> None:
        self.recorder, self.jobs, self.on_step = recorder, jobs, on_step

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def _trial_id(self, trial: Trial) -> str:
        return self.jobs[trial.config["job"]].trial_id

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self.recorder.started(self._trial_id(trial))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self.recorder.failed(self._trial_id(trial), cause_of(trial))

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self.recorder.record("retried", trial_id=self._trial_id(trial), cause=cause_of(trial))

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self.recorder.step()
        self.on_step()


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
