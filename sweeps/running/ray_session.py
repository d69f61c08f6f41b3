"""The Ray that a run works on: started on this machine or joined, what it has, and what a trial takes of it.

Whoever needs `ray.tune` imports this file first: it sets what Ray reads when it is imported.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",  # with verbose=0, the only way to keep Tune from printing
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # its CSV, JSON and TensorBoard files: ours are the ledger and tables
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # signals are ours
    "TUNE_GLOBAL_CHECKPOINT_S": "100000",  # its snapshots are never read: the ledger is the truth
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_prestart_worker_first_driver": "0",  # Tune's trials get an environment of their own, and so other workers
}
os.environ.update({name: os.environ.get(name, value) for name, value in ENVIRONMENT.items()})  # before Ray reads them

import ray  # noqa: E402

from analysis.ray_connection import join  # noqa: E402
from search_spaces.definition import Resources  # noqa: E402
from trainables.errors import InputError  # noqa: E402

WAIT_SECONDS = 0.5  # for nodes, between two looks whether a stop was requested


@dataclass(frozen=True)
class Cluster:
    """What Ray has to give."""

    cpus: float
    gpus: float


@contextmanager
def ray_session(address: str | None, log: Path, start: Callable[[], None] | None = None) -> Iterator[Cluster]:
    """A Ray of our own on this machine, or the one at an address; shut down at the end. Ray's messages go to `log`.

    start: what to call in place of `start_ray`, where one is being started already.
    """
    if address is None:
        (start or start_ray)()
    else:
        join(address)
    _keep_token_private()
    handler = _log_to(log)
    try:
        yield cluster_now()
    finally:
        ray.shutdown()
        logging.getLogger("ray").removeHandler(handler)
        handler.close()


def cluster_now() -> Cluster:
    """What Ray has to give at this moment."""
    total = ray.cluster_resources()
    return Cluster(total.get("CPU", 0), total.get("GPU", 0))


def start_ray() -> None:
    """A Ray of our own. Raises `InputError`."""
    quiet: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    logging.getLogger("ray").setLevel(logging.ERROR)  # it warns before it reads that
    try:
        with _own_process_groups():
            ray.init(address="local", **quiet, configure_logging=True)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise InputError(f"Ray cannot be started on this machine: {str(error).splitlines()[0]}") from error


@contextmanager
def _own_process_groups() -> Iterator[None]:
    """Ray's processes, started in it, are in other process groups than we are.

    Ctrl-C and `timeout` signal a whole group: Ray's control store would end at once, and we could not end in order.
    """
    services: Any = import_module("ray._private.services")  # Ray offers no way to say it
    plain = services.ConsolePopen
    services.ConsolePopen = partial(plain, process_group=0)
    try:
        yield
    finally:
        services.ConsolePopen = plain


class _RunLog(logging.FileHandler):
    """A log that a full disk costs messages, and that never costs a run anything."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Pass over what cannot be written, where logging would print a traceback for each message."""

    def close(self) -> None:
        with suppress(OSError):
            super().close()


def _log_to(path: Path) -> logging.Handler:
    """Ray's messages, tracebacks of failed trials among them, to a file in place of the terminal."""
    logger = logging.getLogger("ray")
    try:
        handler: logging.Handler = _RunLog(path)
    except OSError:
        handler = logging.NullHandler()
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
    wanted = {name: amount for name, amount in bundle(resources).items() if amount}
    text = " and ".join(f"{amount:g} {name}" for name, amount in wanted.items())
    tell(f"waiting for nodes: a trial wants {text}, but Ray has {cluster.cpus:g} CPU and {cluster.gpus:g} GPU now")
    asked = placement_group([wanted])
    try:
        while not stop_requested() and not asked.wait(WAIT_SECONDS):
            pass
    finally:
        remove_placement_group(asked)
    return cluster_now()


def slots(resources: Resources) -> int:
    """Return how many trials fit on the cluster as it is now."""
    total = ray.cluster_resources()
    return resources.slots(total.get("CPU", 0.0), total.get("GPU", 0.0))


def bundle(resources: Resources) -> dict[str, float]:
    return {"CPU": resources.cpus, "GPU": resources.gpus or 0}
