"""Jobs run by the processors of this machine, or by the nodes of a Ray cluster, which need not share files."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, TypeVar, runtime_checkable

from analysis.parallel.ray_connection import connected
from trainables.errors import InputError

J = TypeVar("J")
R = TypeVar("R")
# Jobs for each processor of a cluster whose files have been sent.
AHEAD = 2


@runtime_checkable
class PortableJob(Protocol):
    """A job that can be done on a machine without its files."""

    def files(self) -> Mapping[str, Path]:
        """Return the files that it reads, by names without folders."""

    def moved(self, folder: Path) -> PortableJob:
        """Return a copy of the job with its files in another folder, under these names."""


def processors() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_jobs(
    work: Callable[[J], R], jobs: Sequence[J], workers: int, address: str | None = None
) -> Iterator[tuple[J, R | InputError]]:
    """Yield each job with its result, in the order in which they come in; bad input of one job stands for its result.

    work: a function of a module, since processes start afresh and import it. Raises `InputError` where a worker dies.
    """
    if address is not None:
        yield from _over_ray(work, jobs, address)
    elif min(workers, len(jobs)) <= 1:
        yield from ((job, attempt(work, job)) for job in jobs)
    else:
        yield from _over_processes(work, jobs, min(workers, len(jobs)))


def attempt(work: Callable[[J], R], job: J) -> R | InputError:
    """Return the result, or the `InputError`: a damaged file must not cost the others their results."""
    try:
        return work(job)
    except InputError as error:
        return error


def _over_processes(work: Callable[[J], R], jobs: Sequence[J], workers: int) -> Iterator[tuple[J, R | InputError]]:
    threads = os.environ.get("OMP_NUM_THREADS")
    # The libraries of a process read it when it starts.
    os.environ["OMP_NUM_THREADS"] = "1"
    # Forking a process that has threads can hang it.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, signal.signal, (signal.SIGINT, signal.SIG_IGN))
    try:
        futures: dict[Future[R | InputError], J] = {pool.submit(attempt, work, job): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool:
        raise InputError("a worker process died, perhaps of too little memory: give fewer --workers") from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        if threads is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = threads


def _over_ray(work: Callable[[J], R], jobs: Sequence[J], address: str) -> Iterator[tuple[J, R | InputError]]:
    """Send the files of a job with it through the object store, those of a few jobs at a time."""
    import ray

    with connected(address):
        task: Any = ray.remote(num_cpus=1, max_retries=3)(attempt_elsewhere)
        most = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
        coming, waiting = iter(jobs), dict[Any, J]()
        while True:
            for job in islice(coming, most - len(waiting)):
                waiting[task.remote(work, job, _contents(job))] = job
            if not waiting:
                return
            (ready,), _ = ray.wait(list(waiting), num_returns=1)
            job = waiting.pop(ready)
            try:
                yield job, ray.get(ready)
            # A node lacks our code, or went away too often.
            except ray.exceptions.RayError as error:
                reason = " ".join(str(error).split())[-300:]
                yield job, InputError(f"could not be measured on the cluster ({reason})")


def _contents(job: Any) -> dict[str, bytes]:
    """Read the files that a job names, by their names on the other machine. Small beside the models."""
    return {name: path.read_bytes() for name, path in job.files().items()} if isinstance(job, PortableJob) else {}


def attempt_elsewhere(work: Callable[[Any], R], job: Any, contents: Mapping[str, bytes]) -> R | InputError:
    """Run `attempt` on another machine, with the job's files in a folder that is removed when the work is done."""
    if not contents:
        return attempt(work, job)
    with TemporaryDirectory(prefix="sweeps-files-") as folder:
        for name, content in contents.items():
            (Path(folder) / name).write_bytes(content)
        return attempt(work, job.moved(Path(folder)))
