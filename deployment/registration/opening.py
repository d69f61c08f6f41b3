"""Opens MLflow's registry: a server, or a database, which may be an SQLite file. Needs the extra `registry`."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from analysis.runs.remote import is_uri
from deployment.registration.client import Client, first_line, shown
from trainables.atomic_files import lock_file, remove_leftovers, replaced
from trainables.errors import InputError, pip_install

SERVERS = ("http", "https", "databricks")
SCHEMES = (*SERVERS, "sqlite", "postgresql", "mysql", "mssql")


@dataclass(frozen=True)
class Registry:
    """An open registry. artifacts: where files of new versions go; None for a server's own place."""

    client: Client
    uri: str
    artifacts: Path | None


def open_registry(uri: str | None, storage: str, *, create: bool = False) -> Registry:
    """Open a registry at a URI, by default an SQLite file in the results' folder. Raises `InputError`."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # by default it takes minutes to say that nobody answers
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    try:
        with own_warnings():
            import mlflow
            from mlflow import MlflowClient
    except ImportError:
        raise InputError(f"the registry needs mlflow-skinny: {pip_install('registry')}") from None
    # MLflow sets them when it is imported.
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    if uri is None:
        uri = default_address(storage)
    file = database_of(uri)
    if file and not create and not _is_made(file):
        raise InputError(f"there is no registry in {file}: register a model first, or give --registry")
    try:
        with own_warnings():
            if file:
                _make_database(file)
            mlflow.set_tracking_uri(uri)
            client = Client(MlflowClient(tracking_uri=uri, registry_uri=uri), uri)
            return Registry(client, uri, file.parent / "artifacts" if file else None)
    except Exception as error:
        # MLflow's stores raise errors of their own libraries.
        mend = "try again, or restore the file where it is damaged" if file else "look whether it is there"
        raise InputError(f"the registry {shown(uri)} cannot be opened ({first_line(error)}): {mend}") from None


def open_existing(uri: str | None, storage: str) -> Registry | None:
    """Open a registry, None where it is an SQLite file that is not made yet. Raises `InputError`."""
    file = database_of(default_address(storage) if uri is None else uri)
    return None if file and not _is_made(file) else open_registry(uri, storage)


def _is_made(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0


def _make_database(file: Path) -> None:
    """Make an SQLite file with MLflow's tables where there is none: whole or not at all, by one command at a time.

    MLflow makes them in a hundred steps. A file whose maker was killed between two of them is refused by MLflow for
    ever, and so are the steps of two makers.
    """
    from mlflow import MlflowClient

    if _is_made(file):
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock_file(file)):
        if not _is_made(file):
            remove_leftovers(file)
            with replaced(file) as beside:
                MlflowClient(tracking_uri=f"sqlite:///{beside}", registry_uri=f"sqlite:///{beside}")


@contextmanager
def own_warnings() -> Iterator[None]:
    """Keep warnings that MLflow causes in itself and in SQLAlchemy off the terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def default_address(storage: str) -> str:
    """Return the address of the registry in a folder of results. Raises `InputError`."""
    if is_uri(storage):
        raise InputError(f"a registry is no part of {storage}: give --registry URI, such as http://127.0.0.1:5000")
    folder = Path(storage).absolute() / "registry"
    if "?" in str(folder):
        # what follows it in an address is no path
        raise InputError(f"{folder} cannot be the folder of a database: take one without a question mark")
    return f"sqlite:///{folder / 'mlflow.db'}"


def database_of(uri: str) -> Path | None:
    """Return the file of an SQLite registry, None for another. Raises `InputError` for what is no address of one."""
    scheme, path = uri.partition(":")[0].partition("+")[0], uri.partition("?")[0].partition(":///")[2]
    if scheme not in SCHEMES or (scheme == "sqlite" and path in ("", ":memory:")):
        raise InputError(
            f"{shown(uri)!r} is no registry's address: write http://127.0.0.1:5000, sqlite:///FILE.db or another URI"
        )
    return Path(path).absolute() if scheme == "sqlite" else None
