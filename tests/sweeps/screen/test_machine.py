"""The line on the machine's load: GPUs by the one reader of NVIDIA's driver."""

from __future__ import annotations

import psutil
import pytest

from sweeps.screen.gpu import NO_ANSWER, Gpu
from sweeps.screen.machine import Machine

BUSY = Gpu(0, "H100", 88.0, 10445.0, 81920.0, 60.0, 300.0, 700.0)
BARE = Gpu(1, "old", None, None, None, None, None, None)


@pytest.mark.parametrize(
    ("answer", "tail"),
    [
        (([BUSY, BARE], ""), ", GPU 0 88 % 10.2 of 80.0 GiB, GPU 1"),
        (([], "no NVIDIA driver (NVML Shared Library Not Found)"), " GiB"),
        (([], f"{NO_ANSWER} (Unknown Error)"), f", {NO_ANSWER} (Unknown Error)"),
    ],
)
def test_gpus_stand_beside_cpu_and_memory(answer: tuple[list[Gpu], str], tail: str) -> None:
    text = Machine(read=lambda: answer).describe()
    assert text.startswith("this machine: CPU ")
    assert f"of {psutil.virtual_memory().total / 2**30:.1f} GiB" in text
    assert text.endswith(tail)


def test_a_machine_without_a_driver_is_asked_once_and_one_whose_driver_is_silent_again() -> None:
    for reason, times in (("no NVIDIA driver (none)", 1), (f"{NO_ANSWER} (busy)", 3)):
        asked: list[str] = []

        def read(reason: str = reason, asked: list[str] = asked) -> tuple[list[Gpu], str]:
            asked.append(reason)
            return [], reason

        machine = Machine(read=read)
        for _ in range(3):
            machine.due = 0.0
            machine.describe()
        assert len(asked) == times
