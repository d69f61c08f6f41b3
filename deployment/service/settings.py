"""The limits of a service, and its token."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from analysis.web_requests import is_loopback
from trainables.atomic_files import open_regular
from trainables.errors import InputError

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
TOKEN_VARIABLE = "SWEEPS_SERVE_TOKEN"
# Characters of a token, at least.
SHORTEST_TOKEN = 16
MEGABYTE = 2**20


@dataclass(frozen=True)
class Settings:
    """The limits of what a service takes.

    hosts: names in the Host header. body: bytes of a request. images: of a request. pixels: values of one image, before
    it is decoded. queue: requests that are decoded or wait for the network. connections: at once. Times are in seconds:
    head, until a request's first line and headers are there; upload, until its body is; answer, from then on.
    batch: images that the network sees at once. decoders: images that are decoded at once.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    hosts: tuple[str, ...] = LOOPBACK
    token: str | None = None
    body: int = 32 * MEGABYTE
    images: int = 64
    pixels: int = 25_000_000
    queue: int = 64
    connections: int = 512
    head: float = 10.0
    upload: float = 30.0
    answer: float = 60.0
    batch: int = 64
    decoders: int = 2

    @property
    def held(self) -> int:
        """Return the bytes that unfinished uploads may take together."""
        return 16 * self.body


def read_token(file: Path | None) -> str | None:
    """Return the token of a file that only its owner may read, or of the environment. Raises `InputError`."""
    token = os.environ.get(TOKEN_VARIABLE) if file is None else _of_file(file)
    if token is None:
        return None
    source = TOKEN_VARIABLE if file is None else str(file)
    if len(token) < SHORTEST_TOKEN or not (token.isascii() and token.isprintable()) or " " in token:
        raise InputError(
            f"{source}: a token has {SHORTEST_TOKEN} printable ASCII characters or more, without blanks: "
            "make one with `python -c 'import secrets; print(secrets.token_urlsafe())'`"
        )
    return token


def _of_file(file: Path) -> str:
    try:
        with open_regular(file) as opened:
            mode = os.fstat(opened.fileno()).st_mode
            if not stat.S_ISREG(mode) or stat.S_IMODE(mode) & 0o077:
                raise InputError(f"{file} can be read by others, or is no plain file: chmod 600 {file}")
            return opened.read(4096).decode("ascii").strip()
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{file} holds no token: one line of ASCII is wanted") from None


def check_reach(host: str, token: str | None) -> None:
    """Raise `InputError` where others could reach a service that asks for no token."""
    if token is None and not is_loopback(host):
        raise InputError(
            f"--host {host} can be reached from other machines: give a token, in {TOKEN_VARIABLE} or --token-file"
        )
