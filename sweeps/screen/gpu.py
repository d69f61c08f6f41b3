"""The GPUs of this machine, as NVIDIA's driver reports them: for the live view, `cluster.monitor` and the doctor."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

MIB = 2**20
NO_ANSWER = "NVIDIA's driver does not answer"


@dataclass(frozen=True)
class GpuProcess:
    """A process on a GPU. memory_mb: MiB, None where the driver does not tell. trial: which one it trains, if known."""

    pid: int
    name: str
    memory_mb: float | None
    trial: str = ""


@dataclass(frozen=True)
class Gpu:
    """One GPU. Per cent, MiB, degrees Celsius, watts; None where this GPU has no such sensor."""

    index: int
    name: str
    utilization: float | None
    memory_used_mb: float | None
    memory_total_mb: float | None
    temperature: float | None
    power: float | None
    power_limit: float | None
    processes: tuple[GpuProcess, ...] = ()

    @property
    def memory_percent(self) -> float | None:
        """Memory in use, in per cent of all."""
        if not self.memory_total_mb or self.memory_used_mb is None:
            return None
        return 100 * self.memory_used_mb / self.memory_total_mb


def read_gpus(nvml: Any, processes: bool = True) -> tuple[list[Gpu], str]:
    """Return all GPUs, and why there are none ("" where there are).

    nvml: the module `pynvml` of nvidia-ml-py, or one with its functions; it is initialised and shut down here.
    A single sensor that fails leaves None; only a driver that is missing or broken ends the reading.
    """
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return [], f"no NVIDIA driver ({error})"
    try:
        return [_read_one(nvml, index, processes) for index in range(nvml.nvmlDeviceGetCount())], ""
    except nvml.NVMLError as error:
        return [], f"{NO_ANSWER} ({error})"
    finally:
        with suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def local_gpus(processes: bool = True) -> tuple[list[Gpu], str]:
    """Return `read_gpus` of the real driver."""
    try:
        import pynvml
    except ImportError:
        return [], "nvidia-ml-py is not installed: pip install nvidia-ml-py"
    return read_gpus(pynvml, processes)


def _read_one(nvml: Any, index: int, processes: bool) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)

    def ask(function: Callable[..., Any], *more: Any) -> Any:
        try:
            return function(handle, *more)
        except nvml.NVMLError:
            return None

    name = ask(nvml.nvmlDeviceGetName) or "unknown"
    memory = ask(nvml.nvmlDeviceGetMemoryInfo)
    rates = ask(nvml.nvmlDeviceGetUtilizationRates)
    return Gpu(
        index=index,
        name=name.decode() if isinstance(name, bytes) else str(name),
        utilization=None if rates is None else float(rates.gpu),
        memory_used_mb=None if memory is None else memory.used / MIB,
        memory_total_mb=None if memory is None else memory.total / MIB,
        temperature=_number(ask(nvml.nvmlDeviceGetTemperature, nvml.NVML_TEMPERATURE_GPU)),
        power=_watts(ask(nvml.nvmlDeviceGetPowerUsage)),
        power_limit=_watts(ask(nvml.nvmlDeviceGetEnforcedPowerLimit)),
        processes=_processes(ask(nvml.nvmlDeviceGetComputeRunningProcesses) or []) if processes else (),
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _watts(milliwatts: Any) -> float | None:
    return None if milliwatts is None else milliwatts / 1000


def _processes(entries: list[Any]) -> tuple[GpuProcess, ...]:
    found = []
    for entry in sorted(entries, key=lambda entry: int(entry.pid)):
        memory = None if entry.usedGpuMemory is None else entry.usedGpuMemory / MIB
        found.append(GpuProcess(entry.pid, process_name(entry.pid), memory, trial_of(entry.pid)))
    return tuple(found)


def process_name(pid: int) -> str:
    """Return the title of a process: `ray::…` for Ray's workers, else the program's name; "gone" where it has ended."""
    try:
        process = psutil.Process(pid)
        title = " ".join(process.cmdline()[:1])
        return title if title.startswith("ray::") else process.name()
    except psutil.NoSuchProcess:
        return "gone"
    except psutil.AccessDenied:
        return "not ours"


def trial_of(pid: int) -> str:
    """Return the trial that a worker trains, from the name of the thread that trains it (`trial 0007`); "" if unknown.

    The name of a thread and not the process's title, which Ray writes anew at every call of an actor. The newest thread
    counts: threads that an earlier trial started, such as those of OpenMP, live on under its name.
    """
    found = {}
    for path in Path(f"/proc/{pid}/task").glob("*"):
        try:
            name = (path / "comm").read_text().strip()
            if name.startswith("trial "):
                # field 22 of proc(5)
                started = int((path / "stat").read_text().rpartition(")")[2].split()[19])
                found[started, int(path.name)] = name.removeprefix("trial ")
        # the thread has ended since it was listed
        except OSError:
            continue
    return found[max(found)] if found else ""
