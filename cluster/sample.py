"""One look at a machine: GPUs, processors, memory. Runs on every node."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

import psutil

from sweeps.screen.gpu import Gpu, GpuProcess, local_gpus, process_name, trial_of

MIB = 2**20
# seconds over which the processors' load is measured
CPU_INTERVAL = 0.2
WORKER_TITLE = "ray::"
# titles of workers that wait, of Ray's helpers on every node, and of our own probes
NOT_WORKERS = ("IDLE", "Agent", "::Probe")


@dataclass(frozen=True)
class Sample:
    """One machine at one moment. time: seconds since 1970. Per cent and MiB. workers: Ray's processes there."""

    time: float
    host: str
    cpus: int
    cpu_percent: float
    memory_used_mb: float
    memory_total_mb: float
    gpus: tuple[Gpu, ...]
    gpu_problem: str
    workers: tuple[GpuProcess, ...] = ()

    @property
    def memory_percent(self) -> float:
        """Return the memory in use, in per cent of all."""
        return 100 * self.memory_used_mb / self.memory_total_mb


def take_sample(processes: bool = True) -> Sample:
    """Measure this machine for `CPU_INTERVAL` seconds. processes: also list the GPUs' users and Ray's workers."""
    memory = psutil.virtual_memory()
    gpus, problem = local_gpus(processes)
    return Sample(
        time=time.time(),
        host=socket.gethostname(),
        cpus=psutil.cpu_count() or 1,
        cpu_percent=psutil.cpu_percent(CPU_INTERVAL),
        memory_used_mb=(memory.total - memory.available) / MIB,
        memory_total_mb=memory.total / MIB,
        gpus=tuple(gpus),
        gpu_problem=problem,
        workers=ray_workers() if processes else (),
    )


def ray_workers() -> tuple[GpuProcess, ...]:
    """Return Ray's worker processes that have something to do, by their titles; memory is what is resident."""
    found = []
    for process in psutil.process_iter():
        title = process_name(process.pid)
        if not title.startswith(WORKER_TITLE) or any(word in title for word in NOT_WORKERS):
            continue
        try:
            memory = process.memory_info().rss / MIB
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        found.append(GpuProcess(process.pid, title, memory, trial_of(process.pid)))
    return tuple(found)
