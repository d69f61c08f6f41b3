"""What this machine is busy with, in one line for the live view; `cluster.monitor` shows every node in full."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

import psutil

INTERVAL = 1.0  # seconds between two looks
GIB = 2**30


@dataclass
class Machine:
    """Remembers its last look, so that a view may ask as often as it likes."""

    due: float = 0.0
    text: str = ""
    gpus: bool = True  # False once no driver has answered

    def describe(self) -> str:
        """`this machine: CPU 97 %, memory 5.1 of 23.5 GiB, GPU 0 88 % 10.2 of 80.0 GiB`."""
        now = time.monotonic()
        if now >= self.due:
            self.due = now + INTERVAL
            memory = psutil.virtual_memory()
            used = memory.total - memory.available
            parts = [f"CPU {psutil.cpu_percent():.0f} %", f"memory {used / GIB:.1f} of {memory.total / GIB:.1f} GiB"]
            self.text = "this machine: " + ", ".join(parts + self._gpus())
        return self.text

    def _gpus(self) -> list[str]:
        if not self.gpus:
            return []
        import pynvml

        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError:  # no driver
            self.gpus = False
            return []
        try:
            return [_gpu(number) for number in range(pynvml.nvmlDeviceGetCount())]
        except pynvml.NVMLError as error:
            return [f"GPUs do not answer ({error})"]
        finally:
            with suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()


def _gpu(number: int) -> str:
    import pynvml

    handle = pynvml.nvmlDeviceGetHandleByIndex(number)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    share = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu
    return f"GPU {number} {share} % {memory.used / GIB:.1f} of {memory.total / GIB:.1f} GiB"
