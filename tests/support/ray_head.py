"""A Ray head of the tests' own on loopback: own ports, own folder, own token; nothing of another Ray is touched."""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import psutil
from ray.util import get_node_ip_address

from tests.conftest import ROOT

START_SECONDS = 120


@dataclass(frozen=True)
class Head:
    """A head that runs. environment: of commands that may use it, token and all."""

    gcs: str
    dashboard: str
    metrics: str
    environment: Mapping[str, str]

    def command(self, module: str, *words: str, **changes: str) -> subprocess.Popen[str]:
        """Start `python -m module` with the head's token."""
        return subprocess.Popen(
            [sys.executable, "-m", module, *words], cwd=ROOT, env={**self.environment, **changes}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip

    def run(self, module: str, *words: str, **changes: str) -> tuple[int, str, str]:
        """(exit code, stdout, stderr) of `python -m module`."""
        process = self.command(module, *words, **changes)
        out, errors = process.communicate(timeout=240)
        return process.returncode, out, errors


@contextmanager
def ray_head(home: Path, cpus: int = 2, autoscaling: Mapping[str, Any] | None = None) -> Iterator[Head]:
    """Start a head with token and dashboard; ended with all its processes. home: where its token lies.

    autoscaling: a cluster file's content; Ray's fake provider then starts nodes as processes of this machine.
    """
    token = home / ".ray" / "auth_token"
    token.parent.mkdir(parents=True)
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    gcs, dashboard, client, metrics, agent, agent_rpc = free_ports(6)
    folder = mkdtemp(prefix="rh", dir="/tmp")  # short: the paths of sockets end after 107 characters
    # an earlier test of this process may have begun a Ray with a token, whose settings the head would take over
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHONPATH", "RAY_"))}
    environment |= {
        "HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "RAY_AUTH_MODE": "token",
        "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0",
    }  # fmt: skip
    command = [
        str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", f"--port={gcs}", f"--temp-dir={folder}",
        "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}",
        f"--metrics-export-port={metrics}", f"--num-cpus={cpus}", "--num-gpus=0", "--object-store-memory=200000000",
        f"--dashboard-agent-listen-port={agent}", f"--dashboard-agent-grpc-port={agent_rpc}",
    ]  # fmt: skip
    if autoscaling is not None:
        names = ("use_node_id_as_ip", "disable_node_updaters", "disable_launch_config_check")
        address = f"{get_node_ip_address()}:{gcs}"
        provider = {"type": "fake_multinode", "gcs_address": address, **dict.fromkeys(names, True)}
        file = Path(folder) / "autoscaling.json"  # JSON is YAML
        file.write_text(json.dumps({**autoscaling, "provider": provider}))
        command.append(f"--autoscaling-config={file}")
        environment |= {"RAY_FAKE_CLUSTER": "1", "RAY_enable_autoscaler_v2": "0", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    with (Path(folder) / "head.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=home, env=environment, stdout=log, stderr=log, start_new_session=True
        )  # fmt: skip
    try:
        _wait_for(f"http://127.0.0.1:{dashboard}/api/version", token.read_text(), process, Path(folder) / "head.log")
        address = f"{_node_address(process, gcs)}:{gcs}"
        yield Head(address, f"http://127.0.0.1:{dashboard}", f"http://127.0.0.1:{metrics}/metrics", environment)
    finally:
        _end(process)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def another_node(head: Head, folder: Path) -> Iterator[None]:
    """A second node on this machine, whose workers start in a folder of its own; drained and ended."""
    agent, agent_rpc = free_ports(2)
    command = [
        str(Path(sys.executable).parent / "ray"), "start", "--block", f"--address={head.gcs}", "--num-cpus=1",
        "--num-gpus=0", "--object-store-memory=100000000", f"--dashboard-agent-listen-port={agent}",
        f"--dashboard-agent-grpc-port={agent_rpc}",
    ]  # fmt: skip
    with (folder / "node.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=dict(head.environment), stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=15)
        _end(process)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, apart from those of Ray's workers and those that the system gives away."""
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as one, suppress(OSError):
            one.bind(("", port))
            found += [port] * (port not in found)
    return found


def _wait_for(url: str, token: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    while True:
        try:
            urllib.request.urlopen(request, timeout=5).close()
            return
        except (OSError, HTTPException):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)  # between two knocks


def _node_address(process: subprocess.Popen[bytes], port: int) -> str:
    """The address that Ray gave its head."""
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.Error):  # it may end while we look
            for word in child.cmdline():
                if word.startswith("--gcs-address="):
                    return word.removeprefix("--gcs-address=").rpartition(":")[0]
    raise AssertionError(f"no raylet with a --gcs-address for port {port}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what we started, by id, never by name. At once: asked kindly, Ray takes half a minute."""
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=20)
