"""The nodes of a Ray cluster that we are connected to: waiting for them, and one small actor on each."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.checks import node_facts, shared_storage
from cluster.sample import take_sample

# seconds between two looks at the list of nodes
POLL = 0.5


@dataclass(frozen=True)
class Node:
    """A living node of the cluster. gpus, cpus: what Ray counts; object_store_gib: of its shared memory."""

    node_id: str
    address: str
    cpus: float
    gpus: float
    object_store_gib: float
    head: bool


def living_nodes() -> list[Node]:
    """Return the nodes that are alive now, the head first."""
    import ray

    found = []
    for entry in ray.nodes():
        if entry["Alive"]:
            resources = entry["Resources"]
            store = resources.get("object_store_memory", 0) / 2**30
            head = "node:__internal_head__" in resources
            cpus, gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
            found.append(Node(entry["NodeID"], entry["NodeManagerAddress"], cpus, gpus, store, head))
    return sorted(found, key=lambda node: (not node.head, node.node_id))


def wait_for_cluster_size(wanted: int, timeout: float) -> list[Node]:
    """Return the living nodes once there are `wanted` of them, or those that came within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while len(nodes := living_nodes()) < wanted and time.monotonic() < deadline:
        time.sleep(POLL)
    return nodes


class Probe:
    """An actor on one node that answers for it. It needs no CPU, so that it fits beside any trial."""

    def facts(self, folder: str, node_id: str) -> Any:
        """Return the node's `Facts`."""
        return node_facts.gather(Path(folder), node_id)

    def clock(self) -> float:
        """Return the node's time, in seconds since 1970."""
        return node_facts.clock()

    def write(self, storage: str, name: str, content: bytes) -> str:
        """Write a file from this node; return what went wrong, "" if nothing."""
        return shared_storage.write(storage, name, content)

    def read(self, storage: str, names: list[str]) -> dict[str, bytes | None]:
        """Return the files' contents as this node sees them; None for a file that it does not see."""
        return shared_storage.read(storage, names)

    def sample(self, processes: bool) -> Any:
        """Return a `Sample` of this node."""
        return take_sample(processes)


def start_probes(nodes: list[Node]) -> dict[str, Any]:
    """Start a `Probe` on each node and return them by node id. A node without our code answers calls with an error."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    actor = ray.remote(num_cpus=0, max_restarts=0)(Probe)
    return {
        node.node_id: actor.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.node_id, soft=False)
        ).remote()
        for node in nodes
    }  # fmt: skip


def ask_all(probes: dict[str, Any], method: str, *arguments: Any, timeout: float) -> dict[str, Any]:
    """Call a method of every probe. Returns the answers by node id, or the exception of a node that failed."""
    calls = {node_id: getattr(probe, method).remote(*arguments) for node_id, probe in probes.items()}
    return gather_answers(calls, timeout)


def gather_answers(calls: dict[str, Any], timeout: float) -> dict[str, Any]:
    """Return the results of calls that are under way, or the exception of each that failed or was too slow."""
    import ray

    ready, _ = ray.wait(list(calls.values()), num_returns=len(calls), timeout=timeout)
    answers: dict[str, Any] = {}
    for key, call in calls.items():
        try:
            answers[key] = ray.get(call) if call in ready else TimeoutError(f"no answer in {timeout:g} s")
        except Exception as error:
            # a node's failure is a finding, whatever it was
            answers[key] = error
    return answers
