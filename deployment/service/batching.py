"""Images of several requests that the network sees at once: whatever waited while it was busy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Job:
    """Images of one request, and where their probabilities go."""

    pixels: Pixels
    scores: asyncio.Future[Scores]


@dataclass
class Batcher:
    """One thread that runs the network. predict: uint8 images to probabilities. size: images at once, at most.

    A request with more images than that is a batch of its own.
    """

    predict: Callable[[Pixels], Scores]
    size: int
    waiting: asyncio.Queue[Job] = field(default_factory=asyncio.Queue)
    batches: int = 0

    async def scores(self, pixels: Pixels) -> Scores:
        """Return the probabilities of images, once it is their turn."""
        if not len(pixels):
            return self.predict(pixels)
        job = Job(pixels, asyncio.get_running_loop().create_future())
        await self.waiting.put(job)
        return await job.scores

    async def run(self) -> None:
        """Answer what waits, until it is cancelled."""
        loop, left = asyncio.get_running_loop(), None
        with ThreadPoolExecutor(1, "network") as thread:
            while True:
                jobs, left = self._next(left or await self.waiting.get())
                if not jobs:
                    continue
                stacked = np.concatenate([job.pixels for job in jobs])
                self.batches += 1
                try:
                    scores = await loop.run_in_executor(thread, self.predict, stacked)
                except Exception as error:
                    self._end(jobs, error)
                    continue
                for job, part in zip(
                    jobs, np.split(scores, np.cumsum([len(j.pixels) for j in jobs])[:-1]), strict=True
                ):
                    if not job.scores.done():
                        job.scores.set_result(part)

    def _next(self, first: Job) -> tuple[list[Job], Job | None]:
        """Return the jobs of a batch, and one that did not fit. A job that nobody waits for any more is left out."""
        jobs = [] if first.scores.done() else [first]
        count = sum(len(job.pixels) for job in jobs)
        while not self.waiting.empty():
            job = self.waiting.get_nowait()
            if job.scores.done():
                continue
            if jobs and count + len(job.pixels) > self.size:
                return jobs, job
            jobs.append(job)
            count += len(job.pixels)
        return jobs, None

    def _end(self, jobs: list[Job], error: Exception) -> None:
        for job in jobs:
            if not job.scores.done():
                job.scores.set_exception(error)
