"""Work spread over the processors of this machine, or over a Ray cluster that sees the same files."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from analysis.connection import connected
from trainables.errors import InputError

J = TypeVar("J")
R = TypeVar("R")


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(
    work: Callable[[J], R], jobs: Sequence[J], workers: int, address: str | None = None
) -> Iterator[tuple[J, R | InputError]]:
    """Each job with its result, in the order in which they come in; bad input of one job stands for its result.

    work: a function of a module, since processes start afresh and import it. Raises `InputError` where a worker dies.
    """
    if address is not None:
        yield from _over_ray(work, jobs, address)
    elif min(workers, len(jobs)) <= 1:
        yield from ((job, attempt(work, job)) for job in jobs)
    else:
        yield from _over_processes(work, jobs, min(workers, len(jobs)))


def attempt(work: Callable[[J], R], job: J) -> R | InputError:
    """The result, or the complaint: a damaged file must not cost the others their results."""
    try:
        return work(job)
    except InputError as error:
        return error


def _over_processes(work: Callable[[J], R], jobs: Sequence[J], workers: int) -> Iterator[tuple[J, R | InputError]]:
    threads = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"  # read by the libraries of a process when it starts
    context = multiprocessing.get_context("spawn")  # forking a process that has threads can hang it
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
    import ray

    with connected(address):
        task: Any = ray.remote(num_cpus=1)(attempt)
        waiting = {task.remote(work, job): job for job in jobs}
        while waiting:
            (ready,), _ = ray.wait(list(waiting), num_returns=1)
            yield waiting.pop(ready), ray.get(ready)
