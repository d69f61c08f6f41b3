"""The door of the service: who may ask, how much may come in and how slowly, and a line in the log for each request."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import MutableMapping
from contextlib import suppress

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from analysis.terminal.plain_text import visible
from analysis.web_requests import from_other_site, same
from deployment.service.errors import Refusal, busy, error_response, refusal_response
from deployment.service.metrics import Metrics
from deployment.service.settings import Settings

LOG = logging.getLogger("deployment.serve")
# A client's own name of a request.
REQUEST_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::\d{1,5})?")
# They say nothing of the model, and probes ask for them by address.
PROBES = ("/health", "/ready")
# The page is empty until its reader has typed the token.
WITHOUT_TOKEN = (*PROBES, "/")
ROUTES = (*WITHOUT_TOKEN, "/predict", "/model", "/metrics", "/openapi.json")
# Seconds in which the rest of a refused body is read away, so that its sender comes to read why.
LINGER = 2.0
SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
NOTHING = "default-src 'none'; frame-ancestors 'none'"


class Guard:
    """An ASGI application around another.

    held: bytes of unfinished uploads; open: requests that are in work; accepted, answered: since the start.
    """

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self.app = app
        self.settings = settings
        self.metrics = metrics
        self.held = 0
        self.open = 0
        self.accepted = 0
        self.answered = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        await _Exchange(self, scope, receive, send).run()

    def check(self, scope: Scope, headers: Headers) -> None:
        """Raise `Refusal` for a request that is not answered whatever its body is."""
        path = scope["path"]
        host = headers.get("host", "")
        if path not in PROBES:
            found = HOST.fullmatch(host)
            if found is None or found[1].lower() not in self.settings.hosts:
                raise Refusal(421, "wrong_host", "this service is not known by that name: --allow-host adds one")
        self._check_site(scope, headers, host)
        token = self.settings.token
        wanted = f"Bearer {token}"
        if token is not None and path not in WITHOUT_TOKEN and not same(headers.get("authorization", ""), wanted):
            said = "the token is missing or wrong: say Authorization: Bearer TOKEN"
            raise Refusal(401, "no_token", said, {"WWW-Authenticate": "Bearer"})
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self.settings.body:
            raise self.too_large()

    def _check_site(self, scope: Scope, headers: Headers, host: str) -> None:
        """Refuse what a page of another site asks for; a link to our page is followed."""
        followed = scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate"
        if from_other_site(host, headers.get("origin"), headers.get("sec-fetch-site"), followed=followed):
            raise Refusal(403, "other_site", "pages of other sites may not ask")

    def too_large(self) -> Refusal:
        """Return the refusal of a body that is too large."""
        return Refusal(413, "too_large", f"send at most {self.settings.body:,} bytes at a time")


class _Exchange:
    """One request and its answer."""

    def __init__(self, guard: Guard, scope: Scope, receive: Receive, send: Send) -> None:
        self.guard = guard
        self.scope = scope
        self.receive = receive
        self.send = send
        self.headers = Headers(scope=scope)
        given = self.headers.get("x-request-id", "")
        self.name = given if REQUEST_NAME.fullmatch(given) else secrets.token_hex(8)
        self.state: MutableMapping[str, object] = scope.setdefault("state", {})
        self.state["request"] = self.name
        self.status = 0
        self.size = 0
        self.complete = False

    async def run(self) -> None:
        """Answer, and log."""
        began, guard = time.perf_counter(), self.guard
        guard.open += 1
        guard.accepted += 1
        try:
            guard.check(self.scope, self.headers)
            if guard.open > guard.settings.connections:
                raise busy("too many requests at once")
            await guard.app(self.scope, self.counted, self.noted)
        except Refusal as refusal:
            self.state["code"] = refusal.code
            await refusal_response(refusal, self.name)(self.scope, self.receive, self.noted)
        except Exception as error:
            self.state["code"] = "failed"
            # The text of an error may hold what its sender wrote.
            LOG.error("request=%s failed: %s", self.name, visible(repr(error))[:500], exc_info=error)
            if not self.status:
                response = error_response(500, "failed", "the service failed: its log says why", self.name, {})
                await response(self.scope, self.receive, self.noted)
        finally:
            guard.open -= 1
            guard.answered += self.status > 0
            guard.held -= self.size
            self.log(time.perf_counter() - began)

    async def counted(self) -> Message:
        """Receive a part of the body; refuse it where it becomes too much."""
        message = await self.receive()
        if message["type"] == "http.request":
            size = len(message.get("body", b""))
            self.size += size
            self.guard.held += size
            self.complete = not message.get("more_body", False)
            if self.size > self.guard.settings.body:
                raise self.guard.too_large()
            if self.guard.held > self.guard.settings.held:
                raise busy("too many uploads at once")
        return message

    async def noted(self, message: Message) -> None:
        """Send a part of the answer, with the headers that every answer has.

        Where it comes before the end of the body, the rest is read away for a moment: its sender, who may not read
        before all is sent, would see a broken connection in place of the answer.
        """
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self.name
            for name, value in SAFE_HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Content-Security-Policy", NOTHING)
            if self.awaits_body():
                headers["Connection"] = "close"
        elif self.awaits_body() and not message.get("more_body", False):
            await self.send({**message, "more_body": True})
            await self.read_away()
            message = {**message, "body": b""}
        await self.send(message)

    def awaits_body(self) -> bool:
        """Tell whether there is a body that was not read to its end."""
        sized = self.headers.get("content-length", "0") != "0" or "transfer-encoding" in self.headers
        return sized and not self.complete

    async def read_away(self) -> None:
        """Receive and forget what else is sent."""
        if "expect" in self.headers and not self.size:
            # It waits for our word before it sends anything.
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                while True:
                    message = await self.receive()
                    if message["type"] != "http.request" or not message.get("more_body", False):
                        return

    def log(self, seconds: float) -> None:
        """Write one line, and count."""
        path = self.scope["path"]
        route = path if path in ROUTES else "other"
        code = self.state.get("code", "")
        self.guard.metrics.requests.labels(route, str(self.status or 499)).inc()
        self.guard.metrics.seconds.labels(route).observe(seconds)
        if code:
            self.guard.metrics.refused.labels(str(code)).inc()
        client = (self.scope.get("client") or ("-",))[0]
        LOG.info(
            "request=%s client=%s method=%s path=%s status=%d bytes=%d images=%s ms=%.1f%s",
            self.name, client, visible(self.scope["method"])[:20], visible(path)[:200], self.status or 499, self.size,
            self.state.get("images", 0), 1000 * seconds, f" code={code}" if code else "",
        )  # fmt: skip
