"""Requests to a run that is under way: a file each in its folder, left by another process and taken up by the driver.

The driver alone writes to the ledger. A request that no driver has taken up is lost, and changes nothing.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from analysis.runs.run_folder import RunFolder
from trainables.atomic_files import write_atomically
from trainables.errors import InputError

# the longest has 1000 characters, and JSON takes up to 12 bytes for one
MOST_BYTES = 16_384


class StopTrial(BaseModel):
    """Stop a trial: after the epoch that it trains now, or before it begins."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["stop_trial"] = "stop_trial"
    trial_id: Annotated[str, Field(max_length=100)]


class EndRun(BaseModel):
    """End the run in order, to be resumed."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["end_run"] = "end_run"


class AddValues(BaseModel):
    """Add values to a grid of the run, as `--set` has them: `lr=0.1,0.3`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["add_values"] = "add_values"
    values: Annotated[str, Field(min_length=1, max_length=1000)]


Request = StopTrial | EndRun | AddValues
REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="kind")])


def leave_request(run: RunFolder, request: Request) -> Path:
    """Write a request into a run's folder, whole or not at all. Returns its file, which the driver removes.

    Raises `InputError` where the folder of requests is a link, which may lead anywhere.
    """
    if run.requests.is_symlink():
        raise InputError(f"{run.requests} is a link: remove it")
    file = run.requests / f"{time.time_ns()}-{secrets.token_hex(4)}.json"
    write_atomically(file, json.dumps(request.model_dump()).encode(), durable=False)
    return file


def take_requests(run: RunFolder, since: float, done: set[str]) -> Iterator[Request]:
    """Yield the requests of a run in their order; each file is removed once its request has been dealt with.

    since: in seconds since 1970; what was left before meant an earlier driver, and is dropped. So is what is none.
    done: names of those that were dealt with and cannot be removed; filled here. A folder that cannot be read has none.
    """
    if run.requests.is_symlink() or not run.requests.is_dir():
        return
    paths: list[Path] = []
    with suppress(OSError):
        paths = sorted(path for path in run.requests.iterdir() if not path.name.startswith("."))
    for path in paths:
        if path.name in done:
            continue
        request = _read(path, since)
        if request is not None:
            yield request
        try:
            if path.is_symlink() or path.is_file():
                path.unlink(missing_ok=True)
        except OSError:
            # of another user: it must not be taken up again and again
            done.add(path.name)


def _read(path: Path, since: float) -> Request | None:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        recent = os.fstat(file).st_mtime >= since
        return REQUEST.validate_json(os.read(file, MOST_BYTES)) if recent else None
    except (OSError, ValidationError):
        return None
    finally:
        os.close(file)
