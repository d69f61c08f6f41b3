"""The Ray that a run works on: started on this machine or joined, what it has, and what a trial takes of it.

Whoever needs `ray.tune` imports this file first: it sets what Ray reads when it is imported.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

ENVIRONMENT = {
    # with verbose=0, the only way to keep Tune from printing
    "RAY_AIR_NEW_OUTPUT": "0",
    # its CSV, JSON and TensorBoard files: ours are the ledger and tables
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # signals are ours
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # its snapshots are never read: the ledger is the truth
    "TUNE_GLOBAL_CHECKPOINT_S": "100000",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Tune's trials get an environment of their own, and so other workers
    "RAY_prestart_worker_first_driver": "0",
}
# before Ray reads them
os.environ.update({name: os.environ.get(name, value) for name, value in ENVIRONMENT.items()})

import psutil  # noqa: E402
import ray  # noqa: E402

from analysis.parallel.ray_connection import join  # noqa: E402
from analysis.parallel.ray_private import (  # noqa: E402
    LOOPBACK,
    find_room_for_sockets,
    find_room_for_token,
    forget_placement_groups,
    keep_token_private,
    object_store_options,
    own_process_groups_on_loopback,
    start_patiently,
    without_unused_services,
)
from search_spaces.definition import Resources  # noqa: E402
from trainables.errors import InputError  # noqa: E402

# for nodes, between two looks whether a stop was requested
WAIT_SECONDS = 0.5


@dataclass(frozen=True)
class Cluster:
    """The resources of Ray."""

    cpus: float
    gpus: float


class RayLost(Exception):
    """Ray, or a part of it, is gone. What the ledger lacks can be run with another Ray."""


# of our own Ray, which cannot do without them
_services: list[psutil.Process] = []


def lost_service() -> str:
    """Return which process of our own Ray has ended, "" where all run. Ray itself notices after a minute."""
    for service in _services:
        if not service.is_running() or service.status() == psutil.STATUS_ZOMBIE:
            return "gcs_server" if service is _services[0] else "raylet"
    return ""


@contextmanager
def ray_session(address: str | None, log: Path, start: Callable[[], None] | None = None) -> Iterator[Cluster]:
    """A Ray of our own on this machine, or the one at an address; shut down at the end. Ray's messages go to `log`.

    start: what to call in place of `start_ray`, where one is being started already.
    """
    if address is None:
        (start or start_ray)()
    else:
        join(address)
    keep_token_private()
    handler = _log_to(log)
    try:
        yield cluster_now()
    finally:
        shut_down()
        logging.getLogger("ray").removeHandler(handler)
        handler.close()


def shut_down() -> None:
    """End Ray, or leave a Ray that has lost a service: its shutdown would wait for that, and end our process."""
    if lost_service():
        atexit.unregister(ray.shutdown)
    else:
        ray.shutdown()
        _services.clear()


LOOK_SECONDS = 1.0
# seconds in which the driver may notice by itself: a call of Ray's may wait for what has ended
PATIENCE = 20.0


class RayWatch:
    """Watches Ray while it is entered.

    stuck: called from a thread, with the name of a service that has ended, where the driver has not noticed: it waits
    for that service for ever. It must end the process or replace it.
    """

    def __init__(self, stuck: Callable[[str], None]) -> None:
        self.stuck = stuck
        self._over = threading.Event()

    def __enter__(self) -> RayWatch:
        threading.Thread(target=self._watch, name="ray's watch", daemon=True).start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()

    def check(self) -> None:
        """Raise `RayLost` where a service has ended."""
        if name := lost_service():
            forget_placement_groups()
            raise RayLost(f"its {name} has ended")

    def _watch(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            name = lost_service()
            if name and not self._over.wait(PATIENCE):
                self.stuck(name)
                return


@contextmanager
def losses_raised() -> Iterator[None]:
    """Raise `RayLost` for an error that comes from Ray's own failure; all others pass as they are."""
    try:
        yield
    except Exception as error:
        if loss := loss_in(error):
            logging.getLogger("ray").error("Ray was lost", exc_info=error)
            raise RayLost(loss) from error
        raise


def loss_in(error: BaseException | None) -> str:
    """Return one line on how Ray failed, where an error is Ray's or was raised from one of Ray's; else "".

    An error of ours, or of Tune's code, that comes up while one of Ray's is handled is none of Ray's.
    """
    while error is not None:
        if isinstance(error, ray.exceptions.RayError | ConnectionError) and not isinstance(error, BrokenPipeError):
            lines = str(error).strip().splitlines() or [type(error).__name__]
            return f"{type(error).__name__}: {lines[0]}"
        context = error.__context__ if type(error).__module__.startswith("ray.") else None
        error = error.__cause__ or context
    return ""


def cluster_now() -> Cluster:
    """Return what Ray has to give at this moment."""
    total = ray.cluster_resources()
    return Cluster(total.get("CPU", 0), total.get("GPU", 0))


# else Ray ends our process a minute after its control store; of a cluster that we join, it should
SYSTEM_CONFIG = {"gcs_rpc_server_reconnect_timeout_s": 86400}


def start_ray() -> None:
    """Start a Ray of our own. Raises `InputError`."""
    find_room_for_sockets()
    find_room_for_token()
    options: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    options |= object_store_options()
    # it warns before it reads that
    logging.getLogger("ray").setLevel(logging.ERROR)

    def start() -> None:
        with own_process_groups_on_loopback(), without_unused_services():
            ray.init(address="local", **LOOPBACK, **options, configure_logging=True, _system_config=SYSTEM_CONFIG)
        _services[:] = _own_services()

    start_patiently(start)


def _own_services() -> list[psutil.Process]:
    # a process that has replaced another keeps the other's dead children, whose ids may be higher than those of the new
    alive = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return [next(child for child in alive if child.name() == name) for name in ("gcs_server", "raylet")]


class _RunLog(logging.FileHandler):
    """A log that a full disk costs messages, and that never costs a run anything."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Pass over what cannot be written, where logging would print a traceback for each message."""

    def close(self) -> None:
        with suppress(OSError):
            super().close()


def _log_to(path: Path) -> logging.Handler:
    """Send Ray's messages, tracebacks of failed trials among them, to a file in place of the terminal."""
    logger = logging.getLogger("ray")
    try:
        handler: logging.Handler = _RunLog(path)
    except OSError:
        handler = logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(_is_news)
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.INFO)
    return handler


NO_NEWS = (
    # Tune misses, once a trial, the result files that we tell it not to write
    "Failed to fetch metrics for",
    # its loop waits for a busy machine; `sweeps_overhead_share` measures that
    "may be a performance bottleneck",
)


def _is_news(record: logging.LogRecord) -> bool:
    """Return whether a message of Tune's says something to those who use sweeps."""
    message = record.getMessage()
    return not any(text in message for text in NO_NEWS)


def check_bundle(resources: Resources, cluster: Cluster) -> Resources:
    """Return the resources as they are. Raises `InputError` for what the cluster can never give."""
    if not fits(resources, cluster):
        raise InputError(
            f"a trial wants {resources.cpus:g} CPU and {resources.gpus or 0:g} GPU, but Ray has "
            f"{cluster.cpus:g} CPU and {cluster.gpus:g} GPU: lower --cpus-per-trial or --gpus-per-trial"
        )
    return resources


def fits(resources: Resources, cluster: Cluster) -> bool:
    """Return whether a trial fits on the whole cluster as it is now."""
    return resources.cpus <= cluster.cpus and (resources.gpus or 0.0) <= cluster.gpus


def wait_for_nodes(
    resources: Resources, cluster: Cluster, stop_requested: Callable[[], bool], tell: Callable[[str], None]
) -> Cluster:
    """Wait until a trial fits and return the cluster. An autoscaler adds nodes for what is asked alone.

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
    """Return what one trial asks of Ray."""
    return {"CPU": resources.cpus, "GPU": resources.gpus or 0}
