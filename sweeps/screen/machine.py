"""The load of this machine in one line for the live view; `cluster.monitor` shows every node in full."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from sweeps.screen.gpu import MIB, NO_ANSWER, Gpu, local_gpus

# seconds between two looks
INTERVAL = 1.0
GIB = 2**30


def _without_processes() -> tuple[list[Gpu], str]:
    return local_gpus(processes=False)


@dataclass
class Machine:
    """The last look at the machine, so that a view may ask as often as it likes.

    gpus: False once no driver was there. read: as `local_gpus`.
    """

    due: float = 0.0
    text: str = ""
    gpus: bool = True
    read: Callable[[], tuple[list[Gpu], str]] = _without_processes

    def describe(self) -> str:
        """Return `this machine: CPU 97 %, memory 5.1 of 23.5 GiB, GPU 0 88 % 10.2 of 80.0 GiB`."""
        now = time.monotonic()
        if now >= self.due:
            self.due = now + INTERVAL
            memory = psutil.virtual_memory()
            used = memory.total - memory.available
            parts = [f"CPU {psutil.cpu_percent():.0f} %", f"memory {used / GIB:.1f} of {memory.total / GIB:.1f} GiB"]
            self.text = "this machine: " + ", ".join(parts + self._describe_gpus())
        return self.text

    def _describe_gpus(self) -> list[str]:
        if not self.gpus:
            return []
        found, reason = self.read()
        silent = reason.startswith(NO_ANSWER)
        self.gpus = bool(found) or silent
        return [_describe(gpu) for gpu in found] or ([reason] if silent else [])


def _describe(gpu: Gpu) -> str:
    """Return `GPU 0 88 % 10.2 of 80.0 GiB`; a sensor that this GPU lacks is left out."""
    parts = [f"GPU {gpu.index}"]
    if gpu.utilization is not None:
        parts.append(f"{gpu.utilization:.0f} %")
    if gpu.memory_used_mb is not None and gpu.memory_total_mb is not None:
        used, total = (part * MIB / GIB for part in (gpu.memory_used_mb, gpu.memory_total_mb))
        parts.append(f"{used:.1f} of {total:.1f} GiB")
    return " ".join(parts)
