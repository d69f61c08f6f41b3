"""Admits to the live page programs on this machine, or whoever has the token; never a page of another site."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from analysis.web_requests import from_other_site, is_loopback, named_host, same
from trainables.errors import InputError

TOKEN = "SWEEPS_DASHBOARD_TOKEN"
COOKIE = "sweeps-dashboard"
FEWEST_CHARACTERS = 16
# Plotly draws lines of many trials by functions that it makes of text, and sets styles on its elements
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY, "x-content-type-options": "nosniff", "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin", "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
}  # fmt: skip


def find_token(file: Path | None) -> str:
    """Return the token: of a file that only its owner can read, else of the environment; "" for none.

    Raises `InputError` for a file that others can read, and for a token that is too short.
    """
    token = os.environ.get(TOKEN, "") if file is None else _read_token(file)
    if (file or token) and (len(token) < FEWEST_CHARACTERS or not token.isascii() or not token.isprintable()):
        raise InputError(f"the token must have {FEWEST_CHARACTERS} or more characters of ASCII: openssl rand -hex 16")
    return token


def _read_token(file: Path) -> str:
    """Return the content of a token's file; one that is not there is made."""
    try:
        made = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(made, "w") as new:
            new.write(secrets.token_hex(16) + "\n")
    except FileExistsError:
        pass
    except OSError as error:
        raise InputError(f"{file} cannot be written ({error.strerror}): choose another --token-file") from None
    try:
        # a pipe would be waited for
        with open(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)) as there:
            if stat.S_IMODE(os.fstat(there.fileno()).st_mode) & 0o077:
                raise InputError(f"{file} can be read by others: chmod 600 {file}")
            return there.read(4096).strip()
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read ({error}): choose another --token-file") from None


@dataclass(frozen=True)
class Guard:
    """Lets a request through to `app`, or answers it. token: "" for a page that listens on loopback alone."""

    app: ASGIApp
    token: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of HTTP; there is nothing else."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._refusal(scope)
        await (refused or self.app)(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        wrong = wrong_source(headers, scope["method"], bool(self.token))
        if wrong:
            return PlainTextResponse(f"refused: {wrong}\n", 403)
        if not self.token or _has_cookie(headers, self.token) or _bears(headers, self.token):
            return None
        query = parse_qsl(scope["query_string"].decode("ascii", "replace"), keep_blank_values=True)
        given = [value for name, value in query if name == "token"]
        if scope["method"] == "GET" and given and same(given[0], self.token):
            rest = urlencode([pair for pair in query if pair[0] != "token"])
            # one slash: two would be another site
            path = quote("/" + scope["path"].lstrip("/"))
            answer = RedirectResponse(path + f"?{rest}" * bool(rest), 303)
            answer.set_cookie(COOKIE, _mark(self.token), httponly=True, samesite="strict")
            return answer
        text = "refused: open the address that was printed where this page was started, with its token\n"
        return PlainTextResponse(text, 401, {"www-authenticate": "Bearer"})


def wrong_source(headers: Headers, method: str, public: bool) -> str:
    """Return why a request may come from a page of another site, "" where it does not.

    public: the page has a token, and may be reached by any name.
    """
    hosts = headers.getlist("host")
    host = named_host(hosts)
    if not host or not (public or is_loopback(host)):
        # a name that somebody else's server gives to our address (DNS rebinding)
        return "this page is reached as localhost, also through a tunnel"
    origin, followed = headers.get("origin"), method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    if from_other_site(hosts[0], origin, headers.get("sec-fetch-site"), followed=followed):
        return "the request is another site's"
    if method not in ("GET", "HEAD") and origin is None:
        return "a change needs an Origin"
    return ""


def _mark(token: str) -> str:
    """Return what a cookie holds in place of the token."""
    return hmac.new(token.encode(), COOKIE.encode(), hashlib.sha256).hexdigest()


def _has_cookie(headers: Headers, token: str) -> bool:
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return False
    return cookie is not None and same(cookie.value, _mark(token))


def _bears(headers: Headers, token: str) -> bool:
    kind, _, given = headers.get("authorization", "").partition(" ")
    return kind.lower() == "bearer" and same(given.strip(), token)
