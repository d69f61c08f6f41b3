"""Joining a Ray cluster: a dead address and a wrong token are refused at once, in one line."""

from __future__ import annotations

import logging
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from trainables.errors import InputError

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Seconds.
CONNECT_TIMEOUT = 10.0


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Join a cluster as a driver. Raises `InputError` where it does not answer or refuses the token."""
    import ray

    join(address)
    try:
        yield
    finally:
        ray.shutdown()


def join(address: str) -> None:
    """Become a driver of a cluster, until `ray.shutdown`. Raises `InputError` as `connected` does."""
    import ray

    _refuse_dead_address(address)
    with _stderr_kept() as kept:
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=True)
        # Ray raises many kinds here; the text says which.
        except Exception as error:
            raise InputError(f"no Ray cluster answers at {address}: {_advice(error, kept())}") from None


def _refuse_dead_address(address: str) -> None:
    """Raise `InputError` where nothing listens at a HOST:PORT; Ray itself was seen to try for 13 minutes."""
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not separator or not port.isdigit():
        # Ray looks up `auto` and the like.
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT).close()
    except OSError as error:
        fix = "is Ray running there? On the head use --address auto; see docs/cluster.md for how to get there"
        raise InputError(f"nothing answers at {address} ({error}): {fix}") from None


@contextmanager
def _stderr_kept() -> Iterator[Callable[[], str]]:
    """Send what Ray's C++ side writes to stderr, once a second while it retries, to a file in place of the screen."""
    sys.stderr.flush()
    before = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield lambda: os.pread(file.fileno(), 1 << 20, 0).decode(errors="replace")
        finally:
            os.dup2(before, 2)
            os.close(before)


def _advice(error: Exception, log: str) -> str:
    """Say in one line why a connection failed, and what to do. log: Ray's output meanwhile."""
    text = " ".join(str(error).split())
    if "AuthToken" in log or "nauthenticated" in text + log or "token" in text.lower():
        fix = "copy the head's ~/.ray/auth_token here (mode 0600) and set RAY_AUTH_MODE=token"
        return f"the token is missing or wrong: {fix}"
    if "ersion mismatch" in text:
        return text[:300]
    return f"{text[:200]}: on the head use --address auto; see docs/cluster.md for how to get there"
