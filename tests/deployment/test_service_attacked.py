"""The service as a process: real and hostile clients at once, and a stop under load. The minute's short form."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import numpy as np
import pytest

from deployment.export import write_exports
from tests.support.deployed import drawn_network, made_data

pytest.importorskip("fastapi")
pytest.importorskip("httpx2")

from tests.deployment.hostile_minute import OwnService, attack


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    network = drawn_network(made_data((28, 28, 1), "multi-class", 3), {"model": "cnn", "width": 2, "depth": 1})
    write_exports(network, folder, ["onnx"])
    return folder / "model.onnx"


@pytest.mark.slow
def test_real_clients_are_answered_among_hostile_ones_and_none_is_lost_at_a_stop(model: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (40, 28, 28, 1), np.uint8)
    tally, after, lost = attack(model, images, tmp_path / "log", 8)
    assert tally.wrong == []
    assert after.wrong == []
    assert lost == set()
    assert tally.real[200] > 0
    assert after.real[200] > 0
    assert {name.partition(":")[0] for name in tally.hostile} >= {"wrong type", "PNG bomb", "1 GB body", "truncated"}
    # One body of a gigabyte, kept, would be more.
    assert max(tally.memory) - tally.memory[0] < 200 * 2**20
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    accepted, answered = re.findall(r"(\d+)(?: requests accepted| answered)", log.splitlines()[-1])
    assert accepted == answered


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_that_is_asked_for_is_no_failure(number: int, model: Path, tmp_path: Path) -> None:
    service = OwnService(model, tmp_path / "log")
    try:
        assert service.stop(number) == 0
    finally:
        service.process.kill()
    assert "stopped: 0 requests accepted, 0 answered" in (tmp_path / "log").read_text()
