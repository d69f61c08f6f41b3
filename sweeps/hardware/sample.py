"""One sample of this machine: load, memory, and of each GPU use, memory, temperature and power."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from sweeps.screen.gpu import MIB, NO_ANSWER, Gpu, local_gpus

Row = dict[str, Any]
# Intel's counters of energy, one for each processor package: a number in a name means a package, two a part of one.
RAPL = Path("/sys/class/powercap")


@dataclass
class Rapl:
    """The energy counters of this machine's processors, in microjoules; none where they cannot be read.

    Most systems let root alone read them (CVE-2020-8694).
    """

    root: Path = RAPL
    last: dict[str, int] = field(default_factory=dict)

    def joules(self) -> float | None:
        """Return the energy since the last call; None at the first, and where no counter can be read."""
        now = {path.name: value for path in self._packages() if (value := _number_in(path / "energy_uj")) is not None}
        parts = [self._since(name, value) for name, value in now.items() if name in self.last]
        self.last = now
        return sum(parts) / 1e6 if parts else None

    def _packages(self) -> list[Path]:
        return sorted(path for path in self.root.glob("intel-rapl:*") if path.name.count(":") == 1)

    def _since(self, name: str, value: int) -> int:
        """Return what was added to a counter, which begins again at its largest value."""
        difference = value - self.last[name]
        largest = _number_in(self.root / name / "max_energy_range_uj") or 0
        return difference if difference >= 0 else difference + largest


def _number_in(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


@dataclass
class Machine:
    """This machine, to be sampled again and again. read: as `local_gpus`; a driver that is not there is asked once."""

    read: Callable[[], tuple[list[Gpu], str]] = lambda: local_gpus(processes=False)
    rapl: Rapl = field(default_factory=Rapl)
    has_gpus: bool = True

    def __post_init__(self) -> None:
        # what is measured is counted from here on
        psutil.cpu_percent()
        self.rapl.joules()

    def sample(self, seconds: float) -> list[Row]:
        """Return a row of the machine and one of each GPU. seconds: since the last call."""
        memory, joules = psutil.virtual_memory(), self.rapl.joules()
        common: Row = {"time": datetime.now(UTC), "seconds": round(seconds, 3), "node": platform.node()}
        machine = {
            "gpu": None,
            "cpu_percent": psutil.cpu_percent(),
            "memory_mb": round((memory.total - memory.available) / MIB, 1),
            "memory_total_mb": round(memory.total / MIB, 1),
            "cpu_power_w": None if joules is None or seconds <= 0 else round(joules / seconds, 3),
        }
        return [{**common, **machine}, *({**common, **_of_gpu(gpu)} for gpu in self._gpus())]

    def _gpus(self) -> list[Gpu]:
        if not self.has_gpus:
            return []
        found, reason = self.read()
        self.has_gpus = bool(found) or reason.startswith(NO_ANSWER)
        return found


def _of_gpu(gpu: Gpu) -> Row:
    return {
        "gpu": gpu.index,
        "gpu_name": gpu.name,
        "gpu_percent": gpu.utilization,
        "gpu_memory_mb": gpu.memory_used_mb,
        "gpu_memory_total_mb": gpu.memory_total_mb,
        "gpu_temperature_c": gpu.temperature,
        "gpu_power_w": gpu.power,
    }
