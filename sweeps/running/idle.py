"""Says why no trial runs where Ray starts none for a while."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from analysis.parallel.ray_private import memory_in_use
from sweeps.record.state import RunState

PATIENCE = 30.0
"""Seconds; a worker's own start takes a few."""
THRESHOLD = "RAY_memory_usage_threshold"
DEFAULT_THRESHOLD = 0.95
GIB = 2**30


@dataclass
class IdleNote:
    """Looks, at each step of a run, for a time in which trials are left and none runs; says the reason once.

    address: of the cluster; None for a Ray of our own. say: takes the line.
    """

    state: RunState
    address: str | None
    say: Callable[[str], None]
    now: Callable[[], float] = time.monotonic
    since: float | None = None
    said: bool = False

    def check(self) -> None:
        """Say the reason where no trial has run for `PATIENCE` seconds. To be called often."""
        if self.said:
            return
        if self.state.ended or self.state.count("running"):
            self.since = None
            return
        now = self.now()
        self.since = now if self.since is None else self.since
        if now - self.since >= PATIENCE:
            self.said = True
            self.say(f"no trial has run for {now - self.since:.0f} s: {idle_reason(self.address)}")


def idle_reason(address: str | None) -> str:
    """Return why Ray starts no worker, as far as this machine says so, and what to do."""
    if address is not None:
        return f"the cluster at {address} has no room for one, or its nodes are slow; `ray status` there shows its load"
    used, total = memory_in_use()
    limit = float(os.environ.get(THRESHOLD, DEFAULT_THRESHOLD))
    memory = f"{used / GIB:.1f} of {total / GIB:.1f} GiB of memory are in use ({used / total:.0%})"
    if used >= limit * total:
        return f"{memory}, and Ray keeps no worker above {limit:.0%} ({THRESHOLD}): end other programs"
    cpus, load = os.cpu_count() or 1, psutil.getloadavg()[0]
    return f"its worker is still starting; the load is {load:.1f} on {cpus} CPU, {memory}"
