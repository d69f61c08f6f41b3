"""The service as one process: uvicorn in front, ONNX Runtime inside, a stop that finishes what was begun."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import socket
import warnings
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from PIL import Image
from uvicorn.protocols.http.h11_impl import H11Protocol

from deployment.formats.artefact import Artefact
from deployment.model.image_statistics import STATISTICS
from deployment.model.metadata import ModelMetadata
from deployment.prediction.answers import model_name
from deployment.registration.registry_store import CARD_FILE, EXTRA_FILES
from deployment.service.application import make_app
from deployment.service.batching import Batcher
from deployment.service.drift import Drift
from deployment.service.errors import busy, refusal_response
from deployment.service.guard import LOG, Guard
from deployment.service.metrics import Metrics
from deployment.service.service import Scorer, Service
from deployment.service.settings import Settings
from trainables.atomic_files import open_regular
from trainables.errors import InputError

# Of a card that is shown.
LARGEST_CARD = 2**20
# Open files that a busy service may need: connections, and uploads on the disk.
OPEN_FILES = 8192


def make_service(metadata: ModelMetadata, name: str, card: str | None, settings: Settings, scores: Scorer) -> Service:
    """Return a model as a service. name: by `model_name`; card: its Markdown; scores: runs its network."""
    drift = Drift(metadata.training_deciles, metadata.training_ranges)
    service: Service
    metrics = Metrics(drift, name, STATISTICS, lambda: service.waiting)
    decoders = ThreadPoolExecutor(settings.decoders, "decoder")
    service = Service(metadata, name, card, settings, scores, drift, metrics, decoders)
    return service


def read_card(model: Path) -> str | None:
    """Return the card beside a registered model's file; None where there is none."""
    with suppress(OSError, UnicodeDecodeError), open_regular(model.parent / EXTRA_FILES / CARD_FILE) as file:
        return file.read(LARGEST_CARD).decode()
    return None


def app_of(artefact: Artefact, settings: Settings) -> Guard:
    """Return a model as an ASGI application that runs the network in a thread of its own."""
    batcher = Batcher(partial(artefact.predict, batch=settings.batch), settings.batch)
    service = make_service(artefact.metadata, model_name(artefact), read_card(artefact.path), settings, batcher.scores)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        running = asyncio.create_task(batcher.run())
        yield
        service.stopping = True
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        service.decoders.shutdown(wait=False, cancel_futures=True)

    return make_app(service, lifespan)


class Protocol(H11Protocol):
    """uvicorn's HTTP of one connection, closed where no request comes in time, or where there are too many.

    Tried with uvicorn 0.54, whose protocol has no such limits.
    """

    head = Settings.head
    most = Settings.connections

    def connection_made(self, transport: Any) -> None:
        """Start the clock of a connection's first request."""
        super().connection_made(transport)
        self.clock = self.loop.call_later(self.head, self._too_late)
        if len(self.connections) > self.most:
            transport.write(_full())
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Stop the clock while a request is there; start it anew where another begins."""
        super().data_received(data)
        if not self._is_idle():
            self.clock.cancel()
        elif self.clock.cancelled() and not self.transport.is_closing():
            self.clock = self.loop.call_later(self.head, self._too_late)

    def pause_writing(self) -> None:
        """Start the clock of a client that does not read its answer."""
        super().pause_writing()
        self.clock.cancel()
        self.clock = self.loop.call_later(self.head, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop that clock."""
        self.clock.cancel()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all clocks."""
        self.clock.cancel()
        super().connection_lost(exc)

    def _is_idle(self) -> bool:
        return self.cycle is None or bool(self.cycle.response_complete)

    def _too_late(self) -> None:
        self.clock.cancel()
        if self._is_idle():
            self.transport.close()


def _full() -> bytes:
    """Return the answer to a connection that is one too many."""
    response = refusal_response(busy("too many connections"), "-")
    lines = [b"HTTP/1.1 503 Service Unavailable", *(b": ".join(pair) for pair in response.raw_headers)]
    return b"\r\n".join([*lines, b"connection: close", b"", bytes(response.body)])


def run(artefact: Artefact, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; then finish what was accepted. Raises `InputError` where the port is taken."""
    log_to_stderr()
    _allow_files()
    bound_pillow(settings)
    listener = _listener(settings)
    protocol = type("OwnProtocol", (Protocol,), {"head": settings.head, "most": settings.connections})
    app = app_of(artefact, settings)
    config = uvicorn.Config(
        app, http=protocol, ws="none", lifespan="on", log_config=None, access_log=False,
        server_header=False, timeout_keep_alive=5, proxy_headers=False,
        timeout_graceful_shutdown=int(settings.upload + settings.answer) + 1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    # Until uvicorn takes them a signal must not be lost. It raises them anew once it has stopped; a stop that was asked
    # for is no failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    port = listener.getsockname()[1]
    LOG.info("serving %s on http://%s:%d; for research use only", model_name(artefact), settings.host, port)
    server.run([listener])
    LOG.info("stopped: %d requests accepted, %d answered", app.accepted, app.answered)


def _listener(settings: Settings) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise cannot_listen(settings, error.strerror) from None


def free_port(settings: Settings) -> int:
    """Return the port of the settings, or a free one for 0. Raises `InputError` where it cannot be listened on."""
    with _listener(settings) as listener:
        return int(listener.getsockname()[1])


def cannot_listen(settings: Settings, why: str | None) -> InputError:
    """Return the error of an address that cannot be listened on."""
    return InputError(f"{settings.host}:{settings.port} cannot be listened on ({why}): choose another --port or --host")


def bound_pillow(settings: Settings) -> None:
    """Let Pillow itself refuse images of twice as many pixels, wherever in a file they stand."""
    Image.MAX_IMAGE_PIXELS = settings.pixels
    # What lies between is refused by its header, with a sentence of ours.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def _allow_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def log_to_stderr() -> None:
    """Write the service's log to stderr."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    LOG.setLevel(logging.INFO)
    # It warns of every body that is no form.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
