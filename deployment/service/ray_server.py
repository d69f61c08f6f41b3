"""The service on Ray Serve: one door, which decodes and counts, and replicas of the network over a cluster."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray
from ray import serve
from ray.exceptions import ActorDiedError

from analysis.parallel import ray_private
from analysis.parallel.ray_connection import join
from deployment.formats.artefact import Artefact, digest_of
from deployment.formats.opening import open_artefact
from deployment.prediction.answers import model_name
from deployment.service.application import make_app
from deployment.service.guard import LOG, Guard
from deployment.service.run_server import (
    bound_pillow,
    cannot_listen,
    free_port,
    log_to_stderr,
    make_service,
    read_card,
)
from deployment.service.settings import Settings
from trainables.atomic_files import read_regular
from trainables.errors import InputError

NAME = "medsweeps"
# Of Ray's own processes.
QUIET = {"log_level": "WARNING", "enable_access_log": False}
# Seconds for which a network waits for more images; it is far away, and each call costs a millisecond.
BATCH_WAIT = 0.002


def opened(content: bytes, suffix: str, threads: int) -> Artefact:
    """Open a model from its bytes: the driver's files are not on all nodes."""
    # A file is read whole when it is opened. Ray kills replicas: a folder that is still there then would stay.
    with TemporaryDirectory(prefix="sweeps-model-") as folder:
        path = Path(folder) / f"model{suffix}"
        path.write_bytes(content)
        return open_artefact(path, threads)


class Network:
    """A replica of the network."""

    def __init__(self, content: bytes, suffix: str, threads: int) -> None:
        ray_private.close_replica_port()
        self.artefact = opened(content, suffix, threads)

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=BATCH_WAIT)
    async def scores(self, pixels: list[NDArray[np.uint8]]) -> list[NDArray[np.float64]]:
        """Return the probabilities of the images of several calls."""
        stacked = np.concatenate(pixels)
        scores = await asyncio.to_thread(self.artefact.predict, stacked)
        return np.split(scores, np.cumsum([len(part) for part in pixels])[:-1])


@serve.ingress()
class Door:
    """The application, which Ray's proxies pass requests to. network: a handle of the replicas; name: the model's."""

    def __init__(
        self, network: Any, content: bytes, suffix: str, name: str, card: str | None, settings: Settings
    ) -> None:
        ray_private.close_replica_port()
        self.network = network
        self.artefact = opened(content, suffix, 1)
        self.name = name
        self.card = card
        self.settings = settings

    def __serve_build_asgi_app__(self) -> Guard:
        """Return the application."""
        log_to_stderr()
        bound_pillow(self.settings)
        return make_app(make_service(self.artefact.metadata, self.name, self.card, self.settings, self.scores))

    async def scores(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the probabilities of images, from one of the replicas."""
        found: NDArray[np.float64] = await self.network.scores.remote(pixels)
        return found


def start_own_ray() -> None:
    """Start a Ray of this machine alone, that listens on loopback: only Serve's proxy is for others.

    Raises `InputError`.
    """
    ray_private.find_room_for_sockets()
    ray_private.find_room_for_token()
    # read by Serve's controller; five seconds are too short for a busy machine, and its proxy would be killed
    os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "60")
    options: dict[str, Any] = {"include_dashboard": False, "log_to_driver": True, "logging_level": logging.ERROR}
    options |= ray_private.object_store_options()

    def start() -> None:
        with ray_private.own_process_groups_on_loopback():
            # without "local" it would join a Ray that runs here already
            ray.init(address="local", **ray_private.LOOPBACK, **options)

    ray_private.start_patiently(start)
    ray_private.keep_token_private()


def run_on_ray(artefact: Artefact, settings: Settings, replicas: int, threads: int, address: str | None) -> None:
    """Serve on a cluster, or on a Ray of this machine, until SIGTERM or SIGINT. Raises `InputError`."""
    log_to_stderr()
    # Ray's own log of a request says less than ours.
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    if address is None:
        settings = replace(settings, port=free_port(settings))
        start_own_ray()
    elif settings.port == 0:
        raise InputError("--port 0 is for one machine: with --address name a port that is free on all nodes")
    else:
        join(address)
    try:
        if address is None:
            _refuse_too_many(replicas)
        else:
            _refuse_other_services(address)
        _serve(artefact, settings, replicas, threads, own=address is None)
    # A stop while it starts is no failure either.
    except KeyboardInterrupt:
        pass
    finally:
        ray.shutdown()
    LOG.info("stopped")


def _refuse_too_many(replicas: int) -> None:
    processors = int(ray.cluster_resources().get("CPU", 0))
    if replicas > processors:
        raise InputError(f"--replicas {replicas} need a processor each, and this machine has {processors}: "
                         "ask for fewer, or give the --address of a cluster")  # fmt: skip


def _refuse_other_services(address: str) -> None:
    """Refuse a cluster where Ray Serve runs: its door has a port of its own, and a stop would end what it serves."""
    found = serve.status()
    if found.proxies or found.applications:
        names = ", ".join(sorted(found.applications)) or "nothing"
        fix = "end it there first, by Ctrl-C where it was started or by `serve shutdown`"
        raise InputError(f"Ray Serve runs on {address} already, and serves {names}: {fix}")


def _serve(artefact: Artefact, settings: Settings, replicas: int, threads: int, own: bool) -> None:
    """Serve until a signal comes. Raises `KeyboardInterrupt` where it comes at the start. own: Ray ends with it."""
    ended, started = threading.Event(), threading.Event()

    def end(*_: object) -> None:
        # Ray waits for a place for the replicas for as long as there is none.
        if not (started.is_set() or ended.is_set()):
            ended.set()
            raise KeyboardInterrupt
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    content, suffix = _content(artefact), artefact.path.suffix
    patience = settings.upload + settings.answer
    network: Any = serve.deployment(
        Network, num_replicas=replicas, max_ongoing_requests=64, graceful_shutdown_timeout_s=patience
    )
    # It waits more than it works, and must find a place where the replicas hold all processors.
    door: Any = serve.deployment(
        Door, max_ongoing_requests=settings.connections, graceful_shutdown_timeout_s=patience,
        ray_actor_options={"num_cpus": 0},
    )  # fmt: skip
    name, card = model_name(artefact), read_card(artefact.path)
    try:
        _open_door(settings, patience)
        bound = door.bind(network.bind(content, suffix, threads), content, suffix, name, card, settings)
        _start(bound)
        started.set()
        LOG.info("serving %s on http://%s:%d with %d replicas; for research use only",
                 name, settings.host, settings.port, replicas)  # fmt: skip
        ended.wait()
    finally:
        started.set()
        _finish(patience, own)


def _content(artefact: Artefact) -> bytes:
    """Return the bytes of a model that is open. Raises `InputError` where its file is another by now."""
    try:
        content = read_regular(artefact.path)
    except OSError as error:
        raise InputError(f"{artefact.path} cannot be read ({error.strerror})") from None
    if digest_of(content) != artefact.digest:
        raise InputError(f"{artefact.path} was written anew while it was opened: serve it again")
    return content


def _open_door(settings: Settings, patience: float) -> None:
    """Start Ray's proxies. Raises `InputError` where one of them finds no port, or is not ready in time."""
    options = {"host": settings.host, "port": settings.port, "request_timeout_s": patience + 1}
    try:
        serve.start(http_options=options, logging_config=QUIET)
    except (ActorDiedError, TimeoutError) as error:
        why = str(error).strip().splitlines()[0]
        raise InputError(f"Ray Serve's proxy did not start ({why}): try again when the machine is less busy") from None
    except RuntimeError as error:
        if "bind" not in str(error):
            raise
        raise cannot_listen(settings, "it is taken on a node of the cluster") from None


def _start(bound: Any) -> None:
    """Start the application and wait until it answers. Raises `InputError` where a node cannot run it."""
    try:
        serve.run(bound, name=NAME, route_prefix="/", logging_config=QUIET)
    # Ray says no more than that it failed; the nodes' own words stand in the application's state.
    except RuntimeError as error:
        found = serve.status().applications.get(NAME)
        states = found.deployments.values() if found else ()
        lines = " ".join(state.message for state in states).strip().splitlines() or [str(error)]
        fix = "every node needs the version of this package that is here, with its extras deploy and serve"
        raise InputError(f"Ray Serve could not start the service ({lines[-1].strip()}): {fix}") from None


def _finish(patience: float, own: bool) -> None:
    """End the service once what it accepted is answered: Ray itself would give up after 30 or 60 seconds."""
    until = time.monotonic() + patience
    while NAME in serve.status().applications and time.monotonic() < until:
        with suppress(TimeoutError):
            serve.delete(NAME)
    # Our own Ray ends Serve as well, and without a line of Ray's about a controller that was killed.
    if not own:
        serve.shutdown()
