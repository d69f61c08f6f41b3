"""The monitor with a driver that plays NVIDIA's: what is shown, saved and warned of; and without any driver."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from cluster.alerts import alerts, suggested_share
from cluster.monitor import app
from cluster.prometheus import METRICS, exposition
from cluster.sample import Sample, take_sample
from sweeps.screen.gpu import Gpu, GpuProcess, trial_of
from trainables.errors import InputError
from trainables.worker.train_trial import name_thread

MIB = 2**20


class PlayedError(Exception):
    """Takes the place of pynvml.NVMLError."""


class Played(ModuleType):
    """pynvml with one GPU whose sensors are set by a test; None: the sensor is missing."""

    NVMLError = PlayedError
    NVML_TEMPERATURE_GPU = 0

    def __init__(self, driver: bool = True, **sensors: Any) -> None:
        super().__init__("pynvml")
        self.driver, self.opened = driver, 0
        self.sensors = {"use": 70, "used": 8000, "total": 16000, "heat": 60, "power": 50_000, "limit": 70_000}
        self.sensors |= {"pids": (), **sensors}

    def ask(self, name: str) -> Any:
        assert self.opened == 1
        if self.sensors[name] is None:
            raise PlayedError("Not Supported")
        return self.sensors[name]

    def nvmlInit(self) -> None:
        if not self.driver:
            raise PlayedError("NVML Shared Library Not Found")
        self.opened += 1

    def nvmlShutdown(self) -> None:
        self.opened -= 1

    def nvmlDeviceGetCount(self) -> int:
        return 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetName(self, handle: int) -> bytes:
        return b"NVIDIA T4"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return SimpleNamespace(used=self.ask("used") * MIB, total=self.ask("total") * MIB)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:
        return SimpleNamespace(gpu=self.ask("use"))

    def nvmlDeviceGetTemperature(self, handle: int, kind: int) -> int:
        return int(self.ask("heat"))

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        return int(self.ask("power"))

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: int) -> int:
        return int(self.ask("limit"))

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[Any]:
        return [SimpleNamespace(pid=pid, usedGpuMemory=memory) for pid, memory in self.ask("pids")]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a played driver in the place of pynvml."""

    def put(**sensors: Any) -> Played:
        driver = Played(**sensors)
        monkeypatch.setitem(sys.modules, "pynvml", driver)
        return driver

    return put


def shown(*words: str) -> str:
    result = CliRunner().invoke(app, ["--once", *words], catch_exceptions=False, env={"COLUMNS": "120"})
    assert result.exit_code == 0, result.output
    return result.output


def warned(sample: Sample) -> dict[str, str]:
    return {alert.subject: alert.fix for alert in alerts(sample)}


def test_every_sensor_is_read_and_the_driver_let_go(play: Any) -> None:
    driver = play(pids=((os.getpid(), 3000 * MIB), (2**22 + 1, None)))
    (gpu,) = take_sample().gpus
    assert (gpu.name, gpu.utilization, gpu.memory_percent, gpu.temperature) == ("NVIDIA T4", 70, 50, 60)
    assert (gpu.power, gpu.power_limit) == (50, 70)
    assert [(process.pid, process.memory_mb) for process in gpu.processes] == [(os.getpid(), 3000), (2**22 + 1, None)]
    assert gpu.processes[1].name == "gone"
    assert driver.opened == 0


def test_missing_sensors_are_left_out(play: Any) -> None:
    play(use=None, used=None, heat=None, power=None, limit=None, pids=None)
    (gpu,) = take_sample().gpus
    assert gpu == Gpu(0, "NVIDIA T4", None, None, None, None, None, None, ())
    assert "T4" in shown()


CASES: list[tuple[dict[str, Any], set[str]]] = [
    ({}, set()),
    ({"heat": 80}, set()),
    ({"heat": 81}, {"temperature"}),
    ({"used": 15200}, set()),
    ({"used": 15201}, {"gpu memory"}),
    ({"used": 14000, "use": 10}, {"low use"}),
    ({"used": 14000, "use": 30}, set()),
    ({"used": 2000, "use": 10}, set()),  # nobody uses it: nothing to pack
    ({"used": 2000, "use": 10, "pids": ((os.getpid(), 2000 * MIB),)}, {"low use"}),
    ({"used": 15900, "use": 5, "heat": 90}, {"temperature", "gpu memory", "low use"}),
]


@pytest.mark.parametrize(("sensors", "expected"), CASES)
def test_alerts_say_what_to_do(play: Any, sensors: dict[str, Any], expected: set[str]) -> None:
    play(**sensors)
    found = warned(take_sample())
    assert set(found) - {"memory"} == expected
    assert all(found.values())
    assert ("smaller --set batch_size" in found.get("low use", "")) == (
        sensors.get("used", 0) > 12800 and "low use" in found
    )


@pytest.mark.parametrize(
    ("use", "memory", "trials", "share"),
    [(10, 10, 1, 1 / 8), (20, 20, 1, 1 / 4), (40, 10, 1, 1 / 2), (80, 10, 1, 1), (20, 20, 2, 1 / 8)],
)
def test_the_share_that_is_suggested_fits(use: float, memory: float, trials: int, share: float) -> None:
    processes = tuple(GpuProcess(number, "ray::x", 1.0) for number in range(trials))
    gpu = Gpu(0, "T4", use, memory, 100.0, None, None, None, processes)
    assert suggested_share(gpu) == share


def test_without_a_driver_it_says_so(play: Any) -> None:
    play(driver=False)
    assert "No GPUs shown: no NVIDIA driver" in " ".join(shown().split())


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "pip install nvidia-ml-py" in " ".join(shown().split())


def test_one_json_document_with_alerts(play: Any) -> None:
    play(heat=95)
    document = json.loads(shown("--json"))
    (node,) = document["nodes"]
    assert node["gpus"][0]["temperature"] == 95
    assert "temperature" in {alert["subject"] for alert in document["alerts"]}


def test_samples_are_kept_line_by_line(play: Any, tmp_path: Path) -> None:
    play()
    path = tmp_path / "gpu.jsonl"
    for _ in range(2):
        shown("--save", str(path))
    times = [json.loads(line)["nodes"][0]["time"] for line in path.read_text().splitlines()]
    assert len(times) == 2
    assert times[0] < times[1]


def test_prometheus_reads_the_text(play: Any, tmp_path: Path) -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    play(power=None)
    path = tmp_path / "sweeps.prom"
    for text in (shown("--prometheus", "--save", str(path)), path.read_text()):
        families = {family.name: family for family in parser.text_string_to_metric_families(text)}
        assert set(families) == set(METRICS) - {"sweeps_gpu_power_watts"}
        (sample,) = families["sweeps_gpu_memory_used_bytes"].samples
        assert sample.value == 8000 * MIB
        assert sample.labels["gpu"] == "0"
        assert sample.labels["name"] == "NVIDIA T4"


def test_odd_names_do_not_break_the_text() -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    gpu = Gpu(0, 'a "b"\\c\n', 1.0, 1.0, 2.0, 3.0, 4.0, None)
    text = exposition([Sample(0.0, "h", 1, 1.0, 1.0, 2.0, (gpu,), "")])
    families = {family.name: family for family in parser.text_string_to_metric_families(text)}
    assert families["sweeps_gpu_power_watts"].samples[0].labels["name"] == 'a "b"\\c\n'


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--json", "--prometheus"], "choose one"),
        (["--save", "gpu.csv"], "must end in"),
        (["--save", "/no/such/folder/a.jsonl"], "cannot be written"),
    ],
)
def test_bad_input_is_one_line(words: list[str], reason: str) -> None:
    result = CliRunner().invoke(app, ["--once", *words])
    assert isinstance(result.exception, InputError)
    assert reason in str(result.exception)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads' names are Linux's")
def test_the_newest_thread_names_the_trial() -> None:
    """Threads that an earlier trial started keep its name as long as the process lives."""
    assert trial_of(os.getpid()) == ""
    end, named = threading.Event(), threading.Semaphore(0)

    def train(name: str) -> None:
        name_thread(name)
        named.release()
        end.wait()

    threads = [threading.Thread(target=train, args=(f"trial {number:04d}",)) for number in (7, 3)]
    try:
        for thread, trial in zip(threads, ("0007", "0003"), strict=True):
            thread.start()
            named.acquire()
            assert trial_of(os.getpid()) == trial
    finally:
        end.set()
        for thread in threads:
            thread.join()
    assert trial_of(2**22 + 1) == ""
