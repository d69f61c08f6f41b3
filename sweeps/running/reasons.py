"""Says why a trial failed, and why none runs where Ray starts none for a while."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil
from ray.tune.experiment import Trial

from analysis.parallel.ray_private import memory_in_use
from sweeps.record.state import RunState
from trainables.errors import InputError
from trainables.user_code.source import PACKAGE

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
    limit = _threshold()
    memory = f"{used / GIB:.1f} of {total / GIB:.1f} GiB of memory are in use ({used / total:.0%})"
    if used >= limit * total:
        return f"{memory}, and Ray keeps no worker above {limit:.0%} ({THRESHOLD}): end other programs"
    cpus, load = os.cpu_count() or 1, psutil.getloadavg()[0]
    return f"its worker is still starting; the load is {load:.1f} on {cpus} CPU, {memory}"


def _threshold() -> float:
    """Return the share of memory above which Ray kills workers; Ray itself says what is wrong with an odd value."""
    try:
        return float(os.environ.get(THRESHOLD, DEFAULT_THRESHOLD))
    except ValueError:
        return DEFAULT_THRESHOLD


def larger_share(cause: str, share: float) -> float | None:
    """Return twice the share of a GPU, for a trial that ran out of its memory; None where that cannot help."""
    short = "CUDA out of memory" in cause or "OutOfMemoryError" in cause
    return min(1.0, 2 * share) if short and 0 < share < 1 else None


OUT_OF_MEMORY = "killed: the node ran out of memory; run fewer trials at a time (--max-concurrent)"
DIED = "the worker process died (killed, or out of memory)"


def cause_of(trial: Trial) -> str:
    """Return one line for why a trial failed."""
    text = ""
    if trial.error_file and os.path.exists(trial.error_file):
        with open(trial.error_file, errors="replace") as file:
            text = file.read()
    return cause_in(text)


# A frame of a traceback that is in a user's code, by the name that its modules are imported under.
USER_CODE = re.compile(rf'File "<{PACKAGE}\w+>/([^"]+)", line (\d+)')


def cause_in(text: str) -> str:
    """Return the cause in the text of an error of Ray's: its last line, where Ray's words say no more than that.

    File and line of a user's code go before it.
    """
    if "low on memory" in text or "ray.exceptions.OutOfMemoryError" in text:
        return OUT_OF_MEMORY
    if "worker process has died" in text:
        return DIED
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "no message"
    last = lines[-1].removeprefix(f"{InputError.__module__}.{InputError.__name__}: ")
    places = USER_CODE.findall(text)
    # an `InputError` says where it happened, where that matters
    where = "{}, line {}: ".format(*places[-1]) if places and last == lines[-1] and "line" not in last else ""
    return where + last
