"""Jobs of a Ray cluster through its dashboard: submit, list, look, stop, and follow one's log."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.checks.node_facts import token_path
from trainables.errors import InputError, pip_install

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# this end of the tunnel of `ray dashboard`
DEFAULT_ADDRESS = "http://127.0.0.1:8265"
# the time that a stopped run has to save its tables
STOP_SECONDS = 120
# a head that has just started cannot take jobs yet
START_SECONDS, NOT_READY = 30.0, "No available agent"
# a job's log ends a moment before its status says so
SETTLE_SECONDS = 30.0
# seconds between two looks at a job
POLL = 0.5
ENDED = ("STOPPED", "SUCCEEDED", "FAILED")
# read by the process that starts and stops the driver, whatever the cluster was started with
STOP_SETTINGS = {"RAY_JOB_STOP_SIGNAL": "SIGTERM", "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)}


@dataclass(frozen=True)
class SubmittedJob:
    """A job, as the cluster describes it. started, ended: seconds since 1970, None for what is still to come."""

    id: str
    status: str
    sweep: str
    run: str
    storage: str
    message: str
    started: float | None
    ended: float | None
    exit_code: int | None

    @property
    def over(self) -> bool:
        """Return whether it has ended, in whatever way."""
        return self.status in ENDED


@contextmanager
def ray_errors(address: str) -> Iterator[None]:
    """Turn Ray's exceptions into an `InputError` that says what to do."""
    import ray
    import requests

    try:
        yield
    except ray.exceptions.AuthenticationError:
        fix = "copy the head's ~/.ray/auth_token here (mode 0600) and set RAY_AUTH_MODE=token"
        raise InputError(f"the token is missing or wrong for the cluster at {address}: {fix}") from None
    except (ConnectionError, requests.exceptions.RequestException) as error:
        fix = "is the tunnel open (`ray dashboard cluster/cluster.yaml`), and is ray[default] installed on the head?"
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"no Ray dashboard answers at {address}: {fix} ({reason})") from None
    except RuntimeError as error:
        raise InputError(f"the cluster at {address} refuses: {_last_line(str(error))}") from None


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.replace("\\n", "\n").splitlines() if line.strip(" '\".")]
    return lines[-1][:300] if lines else "no reason given"


class Jobs:
    """The jobs of the cluster whose dashboard is at an address. Every method raises `InputError`."""

    def __init__(self, address: str = DEFAULT_ADDRESS) -> None:
        if not address.startswith(("http://", "https://")):
            raise InputError(f"--address {address}: the dashboard's, such as {DEFAULT_ADDRESS}")
        self.address = address.rstrip("/")
        use_token()
        try:
            from ray.job_submission import JobSubmissionClient
        except ImportError:
            raise InputError(f"jobs need ray[default]: {pip_install('cluster')}") from None
        # Ray would use them in place of the given address
        os.environ.pop("RAY_ADDRESS", None)
        os.environ.pop("RAY_API_SERVER_ADDRESS", None)
        with ray_errors(address):
            self.client = JobSubmissionClient(self.address)

    def submit(
        self, job_id: str, command: str, folder: Path, metadata: Mapping[str, str], settings: Mapping[str, str]
    ) -> None:
        """Send a folder of code and start a command in it. settings: environment variables of its own."""
        environment = {"working_dir": str(folder), "env_vars": {**STOP_SETTINGS, **settings}}
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with ray_errors(self.address):
                    self.client.submit_job(
                        entrypoint=command, submission_id=job_id, runtime_env=environment, metadata=dict(metadata)
                    )
                return
            except InputError as error:
                if NOT_READY not in str(error):
                    raise
                if time.monotonic() > deadline:
                    fix = "on the head, dashboard_agent.err in /tmp/ray/session_latest/logs says why"
                    raise InputError(f"no node of {self.address} takes jobs ({NOT_READY}): {fix}") from None
                time.sleep(POLL)

    def all(self) -> list[SubmittedJob]:
        """Return every job that was submitted, the oldest first."""
        with ray_errors(self.address):
            found = [_job(entry) for entry in self.client.list_jobs() if entry.submission_id]
        return sorted(found, key=lambda job: job.started or 0.0)

    def get(self, job_id: str) -> SubmittedJob:
        """Return one job. Raises `InputError` for an id that no job has."""
        known = {job.id: job for job in self.all()}
        if job_id not in known:
            raise InputError(f"there is no job {job_id} at {self.address}: --list shows those that there are")
        return known[job_id]

    def stop(self, job_id: str) -> SubmittedJob:
        """Ask a job to save and end, and wait until it has."""
        job = self.get(job_id)
        if job.over:
            return job
        with ray_errors(self.address):
            self.client.stop_job(job_id)
        deadline = time.monotonic() + STOP_SECONDS + 30
        while not job.over and time.monotonic() < deadline:
            time.sleep(POLL)
            job = self.get(job_id)
        return job

    def log(self, job_id: str) -> str:
        """Return everything that a job has printed."""
        with ray_errors(self.address):
            return str(self.client.get_job_logs(job_id))

    def follow(self, job_id: str, write: Callable[[str], None]) -> SubmittedJob:
        """Pass a job's output to `write` until the job or the connection ends. Returns the job as it is then."""

        import aiohttp

        async def tail() -> None:
            async for text in self.client.tail_job_logs(job_id):
                write(text)

        try:
            asyncio.run(tail())
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            fix = f"when it is back, `python -m cluster.submit --status {job_id} --follow` looks again"
            reason = " ".join(str(error).split())[:160]
            raise InputError(f"the connection to {self.address} was lost ({reason}); the job goes on: {fix}") from None
        deadline = time.monotonic() + SETTLE_SECONDS
        job = self.get(job_id)
        while not job.over and time.monotonic() < deadline:
            time.sleep(POLL)
            job = self.get(job_id)
        return job


def use_token() -> None:
    """Let Ray send the token where there is one. To be called before Ray is imported."""
    if os.environ.get("RAY_AUTH_TOKEN") or token_path().is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    else:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")


def _job(entry: Any) -> SubmittedJob:
    metadata = entry.metadata or {}
    times = [None if not moment else moment / 1000 for moment in (entry.start_time, entry.end_time)]
    return SubmittedJob(
        entry.submission_id, str(getattr(entry.status, "value", entry.status)), metadata.get("sweep", ""),
        metadata.get("run", ""), metadata.get("storage", ""), str(entry.message or ""), times[0], times[1],
        entry.driver_exit_code,
    )  # fmt: skip
