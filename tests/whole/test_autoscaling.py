"""A cluster that begins with no GPU: nodes with fake GPUs come for the trials, trials share one, nodes go."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.ray_head import Head, ray_head
from tests.whole.test_nodes import events

pytestmark = pytest.mark.slow
TRIALS = 4
SWEEP = [
    "activations", "--set", "activation=relu,tanh,gelu,elu", "--set", "lr=0.01", "--set", "model=mlp", "--seeds", "2",
    "--epochs", "8", "--set", "batch_size=8", "--scheduler", "fifo", "--quiet", "--no-report",
]  # fmt: skip
CLUSTER = {
    "cluster_name": "fake",
    "max_workers": 2,
    "idle_timeout_minutes": 0.1,
    "available_node_types": {
        "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        "gpu": {"resources": {"CPU": 1, "GPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 2},
    },
    "head_node_type": "ray.head.default",
    "upscaling_speed": 1.0,
    "auth": {}, "docker": {}, "cluster_synced_files": [], "file_mounts_sync_continuously": False, "file_mounts": {},
    "setup_commands": [], "initialization_commands": [], "head_setup_commands": [],
    "worker_setup_commands": [], "head_start_ray_commands": [], "worker_start_ray_commands": [],
}  # fmt: skip
DEADLINE = 240


def gpu_nodes(head: Head) -> int | None:
    """How many nodes with a GPU Ray has now; None where the dashboard does not say."""
    token = (Path(head.environment["HOME"]) / ".ray" / "auth_token").read_text()
    request = urllib.request.Request(f"{head.dashboard}/api/v0/nodes", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            nodes = json.load(answer)["data"]["result"]["result"]
    except (OSError, HTTPException):
        return None
    return sum(node["state"] == "ALIVE" and node["resources_total"].get("GPU", 0) == 1 for node in nodes)


def wait_for(head: Head, nodes: int) -> None:
    deadline = time.monotonic() + DEADLINE
    while gpu_nodes(head) != nodes:
        assert time.monotonic() < deadline
        time.sleep(0.3)  # between two looks


def test_nodes_come_for_the_trials_and_go(tmp_path: Path) -> None:
    storage = tmp_path / "results"
    with ray_head(tmp_path / "home", 0, CLUSTER) as head:
        wait_for(head, 0)
        share = ["--gpus-per-trial", "0.5", "--cpus-per-trial", "0.5"]
        driver = head.command("sweeps.run", *SWEEP, *share, "--storage", str(storage), "--address", head.gcs)
        most, shared, deadline = 0, False, time.monotonic() + DEADLINE
        while driver.poll() is None:
            trials, nodes = running(storage), gpu_nodes(head)
            most, shared = max(most, nodes or 0), shared or bool(nodes and trials > nodes)
            assert time.monotonic() < deadline
            time.sleep(0.3)  # between two looks
        out, errors = driver.communicate()
        assert driver.returncode == 0, out + errors
        assert out.count("waiting for nodes: a trial wants 0.5 CPU and 0.5 GPU, but Ray has 0 CPU and 0 GPU now") == 1
        assert 1 <= most <= 2
        assert shared
        wait_for(head, 0)
    assert len(events(storage, "completed")) == TRIALS


def running(storage: Path) -> int:
    """How many trials run now."""
    return len(events(storage, "started")) - len(events(storage, "completed"))


def test_this_machine_alone_refuses_what_it_can_never_give(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sweeps.run", *SWEEP, "--cpus-per-trial", "4096", "--storage", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 2
    assert "a trial wants 4096 CPU and 0 GPU, but Ray has" in done.stderr
