"""Parts of the service: images of several requests in one batch, and the drift of inputs."""

from __future__ import annotations

import asyncio
import math
import threading
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import ray
from ray.exceptions import ActorDiedError
from scipy.stats import entropy

pytest.importorskip("fastapi")

from analysis.parallel.ray_private import LOOPBACK, start_patiently
from deployment.service.batching import Batcher
from deployment.service.drift import Drift, stability_index
from deployment.service.settings import Settings
from trainables.errors import InputError


def images(*values: int) -> np.ndarray:
    return np.array(values, np.uint8)[:, None]


async def with_batcher(batcher: Batcher, *jobs: np.ndarray) -> list[np.ndarray | BaseException]:
    running = asyncio.create_task(batcher.run())
    try:
        return await asyncio.wait_for(
            asyncio.gather(*(batcher.scores(job) for job in jobs), return_exceptions=True), timeout=30
        )
    finally:
        running.cancel()


def test_images_that_wait_are_answered_together_and_each_request_gets_its_own() -> None:
    sizes: list[int] = []

    def predict(pixels: np.ndarray) -> np.ndarray:
        sizes.append(len(pixels))
        return pixels * 2.0

    jobs = [images(1), images(2, 3), images(4), images(5, 6, 7, 8, 9), images(10)]
    found = asyncio.run(with_batcher(Batcher(predict, 4), *jobs))
    for job, scores in zip(jobs, found, strict=True):
        np.testing.assert_array_equal(scores, job * 2.0)  # type: ignore[arg-type]
    assert sizes == [4, 5, 1]


def test_what_comes_while_the_network_is_busy_is_the_next_batch() -> None:
    sizes: list[int] = []
    busy, go_on = threading.Event(), threading.Event()

    def predict(pixels: np.ndarray) -> np.ndarray:
        sizes.append(len(pixels))
        busy.set()
        assert go_on.wait(30)
        return pixels * 1.0

    async def play() -> None:
        batcher = Batcher(predict, 8)
        running = asyncio.create_task(batcher.run())
        first = asyncio.create_task(batcher.scores(images(1)))
        await asyncio.to_thread(busy.wait, 30)
        others = [asyncio.create_task(batcher.scores(images(n))) for n in (2, 3, 4)]
        await asyncio.sleep(0)
        others[1].cancel()
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.wait_for(asyncio.gather(first, others[0], others[2]), 30)
        running.cancel()

    asyncio.run(play())
    assert sizes == [1, 2]


def test_a_batch_that_fails_fails_alone() -> None:
    def predict(pixels: np.ndarray) -> np.ndarray:
        if 13 in pixels:
            raise RuntimeError("unlucky")
        return pixels * 1.0

    found = asyncio.run(with_batcher(Batcher(predict, 2), images(1, 2), images(13), images(3, 4)))
    assert isinstance(found[1], RuntimeError)
    np.testing.assert_array_equal(found[2], images(3, 4) * 1.0)  # type: ignore[arg-type]


def test_the_stability_index_is_the_symmetric_divergence_over_deciles() -> None:
    rng = np.random.default_rng(0)
    training, recent = rng.normal(size=5000), rng.normal(0.8, 1.2, size=1000)
    deciles = np.quantile(training, np.linspace(0, 1, 11))
    counts = np.array([((recent > low) & (recent <= high)).sum() for low, high in zip(
        [-np.inf, *deciles[1:-1]], [*deciles[1:-1], np.inf], strict=True)]) + 0.5  # fmt: skip
    shares = counts / counts.sum()
    expected = entropy(shares, np.full(10, 0.1)) + entropy(np.full(10, 0.1), shares)
    assert stability_index(recent.tolist(), deciles.tolist()) == pytest.approx(expected)
    assert expected > 0.25
    assert stability_index(rng.choice(training, 1000).tolist(), deciles.tolist()) < 0.05


def test_equal_deciles_are_one_class_and_too_few_values_say_nothing() -> None:
    deciles = [0.0] * 5 + [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    rng = np.random.default_rng(1)
    alike = np.where(rng.random(1000) < 0.4, 0.0, rng.uniform(0, 6, 1000))
    assert stability_index(alike.tolist(), deciles) < 0.05
    assert math.isnan(stability_index([0.0] * 99, deciles))
    assert math.isnan(stability_index([0.0] * 500, []))


def test_the_last_thousand_images_are_looked_back_on() -> None:
    drift = Drift({}, {"brightness": (10.0, 20.0)})
    for value in [50.0] * 500 + [15.0] * 750 + [21.0] * 250:
        drift.add({"brightness": value, "contrast": 1.0})
    assert drift.outside("brightness") == 0.25
    assert drift.mean("brightness") == pytest.approx((15 * 750 + 21 * 250) / 1000)
    assert math.isnan(drift.outside("contrast"))
    assert math.isnan(drift.mean("roughness"))
    assert math.isnan(drift.index("brightness"))


def test_a_ray_of_its_own_is_no_other_and_listens_on_loopback_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would join one that runs already, and put the host's address in the place of 127.0.0.1."""
    server: Any = pytest.importorskip("deployment.service.ray_server")
    services: Any = import_module("ray._private.services")
    given: dict[str, Any] = {}

    def init(**options: Any) -> None:
        given.update(options, resolved=services.resolve_ip_for_localhost("127.0.0.1"))

    monkeypatch.setattr(ray, "init", init)
    server.start_own_ray()
    assert given["address"] == "local"
    assert LOOPBACK.items() <= given.items()
    assert given["resolved"] == "127.0.0.1"
    monkeypatch.setattr(ray, "init", lambda **options: 1 / 0)
    with pytest.raises(InputError, match="Ray cannot be started on this machine: division by zero"):
        server.start_own_ray()


def test_a_ray_that_a_busy_machine_starts_too_slowly_is_started_once_more() -> None:
    tries = []

    def start() -> None:
        tries.append(len(tries))
        if len(tries) < 2:
            raise Exception("The current node timed out during startup.")

    start_patiently(start)
    assert tries == [0, 1]

    def never() -> None:
        raise Exception("The current node timed out during startup.\nMore.")

    with pytest.raises(InputError, match=r"timed out during startup; the machine may be too busy: try again, or leave"):
        start_patiently(never)


@pytest.mark.parametrize("error", [ActorDiedError(), TimeoutError("HTTP proxies not available after 60s.")])
def test_a_proxy_of_ray_that_is_not_ready_in_time_is_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray kills one that does not answer on a busy machine."""
    server: Any = pytest.importorskip("deployment.service.ray_server")

    def start(**options: Any) -> None:
        raise error

    monkeypatch.setattr(server.serve, "start", start)
    with pytest.raises(InputError, match=r"^Ray Serve's proxy did not start \(.+\): try again") as found:
        server._open_door(Settings(), 1.0)
    assert "\n" not in str(found.value)


def test_replicas_on_ray_open_no_port_at_which_pickles_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray Serve binds one on all addresses in each replica, once the replica's class has been made."""
    server: Any = pytest.importorskip("deployment.service.ray_server")
    replica: Any = import_module("ray.serve._private.replica")
    monkeypatch.setattr(server, "opened", lambda content, suffix, threads: None)
    # Serve puts its own class around the one of the file
    door = server.Door.__mro__[1]
    for make in (
        lambda: server.Network(b"", ".onnx", 1),
        lambda: door.__init__(SimpleNamespace(), None, b"", ".onnx", "", None, None),
    ):
        monkeypatch.setattr(replica, "add_port_to_grpc_server", lambda server, address: 4711)
        make()
        assert replica.add_port_to_grpc_server(None, "[::]:0") == 0
