"""`ray up` with cluster/local.yaml on hosts of this machine; then a cable pulled and a host killed during a sweep.

One worker shares the results folder with the head, the other does not see it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.support import hosts
from tests.whole.test_nodes import assert_equal_tables, carried, events, files_of

pytestmark = pytest.mark.slow
ACTIVATIONS = "relu,tanh,gelu,elu,silu"
TRIALS = 5
# each host would measure for itself whether to train replicates together, which changes last digits
SWEEP = [
    "activations", "--set", f"activation={ACTIVATIONS}", "--set", "lr=0.01", "--set", "model=mlp", "--seeds", "2",
    "--epochs", "12", "--set", "batch_size=8", "--scheduler", "fifo", "--quiet", "--max-failures", "5", "--no-report",
    "--cpus-per-trial", "1", "--fuse", "off",
]  # fmt: skip
DEADLINE = 300
HEAD, SHARING, APART = "gpu0", "gpu1", "gpu2"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[hosts.Lab]:
    """Where one sits, and three hosts, the last of which does not see the results."""
    if reason := hosts.reason_not():
        pytest.skip(reason)
    with hosts.lab(hidden=tmp_path_factory.mktemp("results")) as made:
        for name in ("laptop", HEAD, SHARING):
            made.host(name)
        made.host(APART, hides=True)
        yield made


@pytest.fixture(scope="module")
def cluster(lab: hosts.Lab) -> Iterator[str]:
    """The file of a cluster that `ray up` has made: as cluster/local.yaml but for the addresses and the key."""
    content = yaml.safe_load((ROOT / "cluster" / "local.yaml").read_text())
    address = {name: host.address for name, host in lab.hosts.items()}
    content["provider"] |= {"head_ip": address[HEAD], "worker_ips": [address[SHARING], address[APART]]}
    content["auth"]["ssh_private_key"] = str(lab.folder / "key")
    file = lab.folder / "local.yaml"
    file.write_text(yaml.safe_dump(content))
    laptop = lab.hosts["laptop"]
    laptop.run("ray get-auth-token --generate >/dev/null && chmod 600 ~/.ray/auth_token")
    laptop.run(f"python -m cluster.doctor {file}")
    laptop.run(f"ray up -y {file}")
    yield str(file)
    laptop.run(f"ray down -y {file}")
    assert lab.raylets(HEAD) == 0  # on the workers Ray outlives it


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The undisturbed run, on this machine alone."""
    storage = tmp_path_factory.mktemp("calm")
    command = [sys.executable, "-m", "sweeps.run", *SWEEP, "--storage", str(storage)]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE)
    assert finished.returncode == 0, finished.stderr
    return storage


def on_head(cluster: str, line: str) -> str:
    return f"ray exec {cluster} 'cd ~/sweeps && {line}'"


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)  # between two looks


def lost(storage: Path) -> set[str]:
    """Trials whose worker was given up, and which began again from their last checkpoint."""
    return {event["trial_id"] for event in events(storage, "retried")}


def one_on_each(storage: Path) -> bool:
    """Whether each of the three hosts trains; there is one CPU on each."""
    begun = {event["trial_id"] for event in events(storage, "epoch")}
    running = begun - {event["trial_id"] for event in events(storage, "completed")}
    return len(running) == 3 and bool(carried(storage) & running)


def test_a_cable_pulled_and_a_host_killed_change_no_table(calm: Path, lab: hosts.Lab, cluster: str) -> None:
    """Both are given up after a minute; the head's autoscaler starts Ray there again once they can be reached."""
    laptop, storage = lab.hosts["laptop"], lab.hidden
    found = laptop.run(on_head(cluster, f"python -m cluster.doctor --address auto --nodes 3 --storage {storage}"))
    assert " 0 failed" in found
    start = f"python -m cluster.start {' '.join(SWEEP)} --name first --storage {storage} --address auto"
    driver = laptop.start(on_head(cluster, start))
    wait_for(lambda: one_on_each(storage), driver)
    lab.ip(f"link set {SHARING} down")
    lab.kill(APART)
    wait_for(lambda: bool(lost(storage) & carried(storage)) and bool(lost(storage) - carried(storage)), driver)
    lab.ip(f"link set {SHARING} up")
    lab.host(APART, hides=True)
    laptop.run(on_head(cluster, "python -m cluster.doctor --address auto --nodes 3 --timeout 150"))
    out, _ = driver.communicate(timeout=DEADLINE)
    assert driver.returncode == 0, out
    ends = [event["trial_id"] for event in events(storage, "completed")]
    assert len(ends) == len(set(ends)) == TRIALS
    assert_equal_tables(storage, calm)
    assert files_of(storage) == files_of(calm)
