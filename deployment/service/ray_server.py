"""The service on Ray Serve: one door, which decodes and counts, and replicas of the network over a cluster."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray
from ray import serve

from analysis.parallel import ray_private
from analysis.parallel.ray_connection import join
from deployment.formats.artefact import Artefact
from deployment.formats.opening import open_artefact
from deployment.prediction.answers import model_name
from deployment.service.application import make_app
from deployment.service.guard import LOG, Guard
from deployment.service.run_server import bound_pillow, log_to_stderr, make_service, read_card
from deployment.service.settings import Settings
from trainables.errors import InputError

NAME = "medsweeps"
# Seconds for which a network waits for more images; it is far away, and each call costs a millisecond.
BATCH_WAIT = 0.002


def opened(content: bytes, suffix: str, threads: int) -> Artefact:
    """Open a model from its bytes: the driver's files are not on all nodes."""
    folder = TemporaryDirectory(prefix="sweeps-model-")
    path = Path(folder.name) / f"model{suffix}"
    path.write_bytes(content)
    artefact = open_artefact(path, threads)
    # The folder goes when the process ends: `TemporaryDirectory` removes it with its last reference.
    _FOLDERS.append(folder)
    return artefact


_FOLDERS: list[TemporaryDirectory[str]] = []


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
    """The application, which Ray's proxies pass requests to. network: a handle of the replicas."""

    def __init__(self, network: Any, content: bytes, suffix: str, card: str | None, settings: Settings) -> None:
        ray_private.close_replica_port()
        self.network = network
        self.artefact = opened(content, suffix, 1)
        self.card = card
        self.settings = settings

    def __serve_build_asgi_app__(self) -> Guard:
        """Return the application."""
        log_to_stderr()
        bound_pillow(self.settings)
        return make_app(make_service(self.artefact, self.card, self.settings, self.scores))

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
    options: dict[str, Any] = {"include_dashboard": False, "log_to_driver": True, "logging_level": logging.ERROR}
    try:
        with ray_private.own_process_groups_on_loopback():
            # without "local" it would join a Ray that runs here already
            ray.init(address="local", **ray_private.LOOPBACK, **options)
    # Ray raises many kinds here
    except Exception as error:
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"Ray cannot be started on this machine: {text}") from error
    ray_private.keep_token_private()


def run_on_ray(artefact: Artefact, settings: Settings, replicas: int, threads: int, address: str | None) -> None:
    """Serve on a cluster, or on a Ray of this machine, until SIGTERM or SIGINT. Raises `InputError`."""
    log_to_stderr()
    if address is None:
        start_own_ray()
    else:
        join(address)
    processors = int(ray.cluster_resources().get("CPU", 0))
    if address is None and replicas > processors:
        ray.shutdown()
        raise InputError(f"--replicas {replicas} need a processor each, and this machine has {processors}: "
                         "ask for fewer, or give the --address of a cluster")  # fmt: skip
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    content, suffix = artefact.path.read_bytes(), artefact.path.suffix
    patience = settings.upload + settings.answer
    network: Any = serve.deployment(
        Network, num_replicas=replicas, max_ongoing_requests=64, graceful_shutdown_timeout_s=patience
    )
    # It waits more than it works, and must find a place where the replicas hold all processors.
    door: Any = serve.deployment(
        Door, max_ongoing_requests=settings.connections, graceful_shutdown_timeout_s=patience,
        ray_actor_options={"num_cpus": 0},
    )  # fmt: skip
    try:
        serve.start(http_options={"host": settings.host, "port": settings.port, "request_timeout_s": patience + 1})
        bound = door.bind(network.bind(content, suffix, threads), content, suffix, read_card(artefact.path), settings)
        serve.run(bound, name=NAME, route_prefix="/")
        LOG.info("serving %s on http://%s:%d with %d replicas; for research use only",
                 model_name(artefact), settings.host, settings.port, replicas)  # fmt: skip
        ended.wait()
    finally:
        serve.shutdown()
        ray.shutdown()
    LOG.info("stopped")
