"""The service on a Ray of its own: real answers, its log, and what is left when it ends."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import httpx2
import numpy as np
import pytest

from deployment.export import write_exports
from deployment.formats.opening import open_artefact
from tests.deployment.hostile_minute import OwnService, png
from tests.support.deployed import drawn_network, made_data

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
pytest.importorskip("deployment.service.ray_server")
SHAPE = (12, 12, 1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    write_exports(drawn_network(made_data(SHAPE, "binary-class"), {"model": "cnn"}, "raw"), folder, ["onnx"], print)
    return folder / "model.onnx"


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder whose path is short enough for Ray's sockets."""
    folder = Path(mkdtemp(prefix="rs", dir="/tmp"))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def on_ray(model: Path, log: Path, tries: int = 3) -> OwnService:
    """A service on a Ray of its own. Ray gives up after 30 seconds, in which a busy machine may not start it."""
    try:
        return OwnService(model, log, "--ray", "--replicas", "1")
    except RuntimeError as error:
        if tries == 1 or "timed out during startup" not in str(error):
            raise
    return on_ray(model, log, tries - 1)


def test_it_answers_logs_each_request_once_and_leaves_nothing(model: Path, temporary: Path, tmp_path: Path) -> None:
    service = on_ray(model, tmp_path / "log")
    images = made_data(SHAPE, "binary-class").splits["test"].images[:3]
    files = [("images", ("scan.png", png(image))) for image in images]
    try:
        answer = httpx2.post(f"http://127.0.0.1:{service.port}/predict", files=files, timeout=300)
    finally:
        code = service.stop()

    scores = np.array([[*row["probabilities"].values()] for row in answer.json()["images"]])
    np.testing.assert_allclose(scores, open_artefact(model).predict(images), atol=1e-6)
    assert code == 0
    log = (tmp_path / "log").read_text()
    assert log.count("/predict") == 1
    assert "failed" not in log
    assert "INFO stopped" in log.splitlines()[-1]
    assert list(temporary.glob("sweeps-model-*")) == []


def test_a_taken_port_is_one_line_before_ray_starts(model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "deployment.serve", str(model), "--ray", "--port", str(port)]
        found = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert found.returncode == 2
    assert found.stderr.startswith(f"error: 127.0.0.1:{port} cannot be listened on")
    assert len(found.stderr.splitlines()) == 1
