"""A cluster of several raylets on this machine: files that are sent, nodes and drivers killed, shares of GPUs, tokens.

One node has a mount namespace of its own in which the results folder is another, empty one: what a node without shared
storage sees.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest

from sweeps.record.ledger import Event, read_ledger
from tests.conftest import ROOT
from tests.support.ray_head import free_ports
from tests.whole.test_sweep import VOLATILE, only_run

pytestmark = pytest.mark.slow
TRIALS = 3
SWEEP = [
    "activations", "--set", "activation=relu,tanh,gelu", "--set", "lr=0.01", "--set", "model=mlp", "--seeds", "2",
    "--epochs", "16", "--set", "batch_size=8", "--scheduler", "fifo", "--quiet", "--max-failures", "5",
]  # fmt: skip
DEADLINE = 420
TOKEN = "5" * 64
RAY = str(Path(sys.executable).parent / "ray")
HIDE = 'mount -t tmpfs none "$0" && exec "$@"'


class Nodes:
    """`ray start --block` for each node, in a folder and with a token of its own, apart from any other Ray here."""

    def __init__(self, storage: Path) -> None:
        self.storage = storage
        self.folder = Path(tempfile.mkdtemp(prefix="sw", dir="/tmp"))  # Ray's sockets want a short path
        (port,) = free_ports(1)
        self.address = f"127.0.0.1:{port}"
        self.environment = {
            **os.environ, "RAY_TMPDIR": str(self.folder), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN,
            "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT), "RAY_worker_niceness": "0",
        }  # fmt: skip
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *options: str, hidden: bool = False) -> subprocess.Popen[bytes]:
        """Start a node. hidden: the storage is another folder there. Raises where that cannot be made.

        Ray gives a node up that a busy machine is slow to start: it is tried three times.
        """
        command = [RAY, "start", "--block", "--disable-usage-stats", "--object-store-memory", "100000000", *options]
        command += ["--min-worker-port", "0", "--max-worker-port", "0", "--node-ip-address", "127.0.0.1"]
        if hidden:
            command = ["unshare", "--mount", "bash", "-c", HIDE, str(self.storage), *command]
        for _ in range(3):
            path = self.folder / f"node-{len(self.processes)}.log"
            with path.open("wb") as log:
                process = subprocess.Popen(
                    command, env=self.environment, stdout=log, stderr=log, start_new_session=True
                )  # fmt: skip
            self.processes.append(process)
            if started(path, process):
                return process
        raise AssertionError(path.read_text())

    def head(self) -> None:
        port, (client,) = self.address.rpartition(":")[2], free_ports(1)
        self.start(
            "--head", "--port", port, "--num-cpus", "0", "--include-dashboard", "false", "--ray-client-server-port",
            str(client), "--temp-dir", str(self.folder),
        )  # fmt: skip

    def worker(self, *options: str, hidden: bool = False) -> subprocess.Popen[bytes]:
        return self.start("--address", self.address, *options, hidden=hidden)

    def driver(self, storage: Path, *more: str, token: str = TOKEN) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "sweeps.run", *SWEEP, "--storage", str(storage), "--address", self.address]
        command += more
        environment = {**self.environment, "RAY_AUTH_TOKEN": token}
        out = subprocess.PIPE
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out, text=True)

    def stop(self) -> None:
        for process in reversed(self.processes):
            for one in family(process):
                one.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def started(log: Path, process: subprocess.Popen[bytes]) -> bool:
    """Wait until a node has started, or has ended without."""
    deadline = time.monotonic() + DEADLINE
    while "Ray runtime started" not in (text := log.read_text()):
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline, text
        time.sleep(0.05)  # between two looks
    return True


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)  # between two looks


def events(storage: Path, *kinds: str) -> list[Event]:
    ledgers = storage.glob("*/*/ledger.jsonl")
    return [event for path in ledgers for event in read_ledger(path) if not kinds or event["event"] in kinds]


def carried(storage: Path) -> set[str]:
    """Trials that were trained where the storage is not seen."""
    return {event["trial_id"] for event in events(storage, "epoch") if "sent to the driver" in event.get("note", "")}


def done(process: subprocess.Popen[str]) -> str:
    out, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, out + errors
    return out


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """A run on this machine alone, under way while the nodes start."""
    command = [sys.executable, "-m", "sweeps.run", *SWEEP, "--storage", str(tmp_path_factory.getbasetemp() / "calm")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory, undisturbed: subprocess.Popen[str]) -> Iterator[Nodes]:
    """A head that trains nothing, and a node with a fake GPU that does not see the results."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("making a mount namespace needs root")
    storage = tmp_path_factory.mktemp("shared")
    made = Nodes(storage)
    try:
        made.head()
        made.worker("--num-cpus", "1", "--num-gpus", "1", hidden=True)
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, undisturbed: subprocess.Popen[str]) -> Path:
    """The storage of the undisturbed run, once that has ended."""
    done(undisturbed)
    return tmp_path_factory.getbasetemp() / "calm"


def assert_equal_tables(found: Path, expected: Path) -> None:
    for file in ("trials_table", "epochs_table", "weights_table"):
        ours, theirs = (
            pd.read_parquet(getattr(only_run(storage), file)).drop(columns=VOLATILE, errors="ignore")
            for storage in (found, expected)
        )
        pd.testing.assert_frame_equal(ours, theirs, check_exact=True)


def files_of(storage: Path) -> set[str]:
    """The files of a run's trials, without the time in their names; checkpoints are written when time allows."""
    trials = only_run(storage).trials
    found = (path.relative_to(trials) for path in trials.rglob("*") if path.is_file())
    names = {"/".join((path.parts[0].rpartition("_")[2], *path.parts[1:])) for path in found}
    return {name for name in names if "/checkpoint/" not in name}


def test_files_reach_the_driver_from_a_node_that_does_not_see_the_storage(nodes: Nodes, calm: Path) -> None:
    """Two trials share a fake GPU, all on the one node that has it."""
    storage = nodes.storage / "carried"
    done(nodes.driver(storage, "--gpus-per-trial", "0.5", "--cpus-per-trial", "0.5"))
    assert len(carried(storage)) == TRIALS
    assert_equal_tables(storage, calm)
    assert files_of(storage) == files_of(calm)
    running, most = set[str](), 0
    for event in events(storage, "started", "completed"):
        (running.add if event["event"] == "started" else running.discard)(event["trial_id"])
        most = max(most, len(running))
    assert most == 2


def test_a_raylet_killed_and_then_the_driver_changes_no_table(nodes: Nodes, calm: Path) -> None:
    storage = nodes.storage / "killed"
    node = nodes.worker("--num-cpus", "1")  # it sees the storage
    driver = nodes.driver(storage, "--gpus-per-trial", "0")
    wait_for(lambda: bool(seen_by_shared(storage)) and bool(carried(storage)), driver)
    (raylet,) = (process for process in family(node) if process.name() == "raylet")
    lost = seen_by_shared(storage)
    raylet.send_signal(signal.SIGKILL)
    wait_for(lambda: bool(events(storage, "retried")), driver)
    before = len(events(storage, "epoch"))
    wait_for(lambda: len(events(storage, "epoch")) > before or len(events(storage, "completed")) == TRIALS, driver)
    driver.kill()
    driver.communicate()
    assert {event["trial_id"] for event in events(storage, "retried")} <= lost
    done(nodes.driver(storage, "--gpus-per-trial", "0", "--resume"))
    assert_equal_tables(storage, calm)
    assert files_of(calm) <= files_of(storage)
    ends = [event["trial_id"] for event in events(storage, "completed")]
    assert sorted(ends) == sorted(set(ends))
    assert len(ends) == TRIALS


def seen_by_shared(storage: Path) -> set[str]:
    """Trials that were trained in the storage itself."""
    return {event["trial_id"] for event in events(storage, "epoch")} - carried(storage)


def test_a_wrong_token_and_a_dead_address_are_refused_in_one_line(nodes: Nodes, tmp_path: Path) -> None:
    refused = nodes.driver(tmp_path, token="6" * 64)
    out, errors = refused.communicate(timeout=DEADLINE)
    assert refused.returncode == 2, out + errors
    assert "token is missing or wrong" in errors
    assert len(errors.splitlines()) == 1
    (unused,) = free_ports(1)
    dead = nodes.driver(tmp_path, "--address", f"127.0.0.1:{unused}")
    out, errors = dead.communicate(timeout=DEADLINE)
    assert dead.returncode == 2, out + errors
    assert "nothing answers at" in errors
    assert len(errors.splitlines()) == 1
    assert not events(tmp_path)
