"""MLflow's client: whatever its stores raise is one line, without the password of an address."""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from trainables.errors import InputError


@dataclass(frozen=True)
class Client:
    """MLflow's client, all of whose methods raise `InputError` where the registry refuses or does not answer."""

    mlflow: Any
    uri: str

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.mlflow, name)

        @wraps(method)
        def asked(*arguments: Any, **named: Any) -> Any:
            try:
                return method(*arguments, **named)
            except Exception as error:
                # MLflow's stores raise errors of their own libraries.
                raise InputError(f"the registry {shown(self.uri)} refuses ({first_line(error)})") from None

        return asked


def shown(uri: str) -> str:
    """Return a URI without its password."""
    try:
        split = urlsplit(uri)
    except ValueError:
        # what is no URI holds no password
        return uri
    name, at, host = split.netloc.rpartition("@")
    return urlunsplit(split._replace(netloc=f"{name.partition(':')[0]}{at}{host}")) if ":" in name else uri


def first_line(error: Exception) -> str:
    """Return the first line of an error, cut where it is long."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
