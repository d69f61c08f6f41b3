"""Checks of the facts about nodes: one finding or none for each thing that can be wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cluster.checks.findings import Finding, fail, ok, warn
from cluster.checks.node_facts import Facts, Listener
from cluster.checks.ray_nodes import Node

# seconds; the ledger's times come from the driver, those of files from the nodes
MAX_SKEW = 2.0
LOW_DISK_GIB, LOW_DISK_PERCENT, LOW_INODES_PERCENT = 10.0, 5.0, 5.0
FULL_DISK_PERCENT = 2.0
LOW_MEMORY_GIB = 2.0
LOW_OBJECT_STORE_GIB = 0.5
SYNC_CODE = "copy the code again: `ray up` with the file_mounts of cluster/, then restart Ray there"
SAME_VERSIONS = "install the versions of cluster/constraints.txt there: bash ~/sweeps/cluster/setup_node.sh"


def check_machine(facts: Facts, shared: bool = False) -> Iterator[Finding]:
    """Yield findings about one machine alone. shared: it belongs to a cluster, whose token must be on."""
    where = facts.host
    yield from _disk(facts, where)
    yield from _memory(facts, where)
    yield from _gpus(facts, where)
    yield from _network(facts, where, shared)
    if facts.problem:
        yield fail("code", f"our code cannot be loaded: {facts.problem}", SYNC_CODE, where)


def _disk(facts: Facts, where: str) -> Iterator[Finding]:
    text = f"{facts.disk_free_gib:.0f} GiB ({facts.disk_free_percent:.0f} %) free for {facts.disk_folder}"
    fix = "free some: Ray stops taking work at 95 % full; old sessions lie in /tmp/ray"
    if facts.disk_free_percent < FULL_DISK_PERCENT or facts.disk_free_gib < 1:
        yield fail("disk", text, fix, where)
    elif facts.disk_free_percent < LOW_DISK_PERCENT or facts.disk_free_gib < LOW_DISK_GIB:
        yield warn("disk", text, fix, where)
    else:
        yield ok("disk", text, where)
    if facts.inodes_free_percent is not None and facts.inodes_free_percent < LOW_INODES_PERCENT:
        text = f"{facts.inodes_free_percent:.0f} % of the inodes free for {facts.disk_folder}"
        yield warn("inodes", text, "delete many small files (df -i shows where)", where)


def _memory(facts: Facts, where: str) -> Iterator[Finding]:
    text = f"{facts.memory_free_gib:.1f} of {facts.memory_gib:.1f} GiB free, {facts.cpus} CPUs"
    if facts.memory_free_gib < LOW_MEMORY_GIB:
        fix = "end other programs, or run fewer trials at a time: --max-concurrent, --cpus-per-trial"
        yield warn("memory", text, fix, where)
    else:
        yield ok("memory", text, where)


def _gpus(facts: Facts, where: str) -> Iterator[Finding]:
    if not facts.gpus:
        yield ok("gpu", f"none: {facts.gpu_problem}", where)
        return
    counted = ", ".join(f"{count} × {name}" for name, count in Counter(facts.gpus).items())
    if facts.cuda is False:
        fix = "nvidia-smi shows the driver's version; install a PyTorch built for it, or a newer driver"
        yield fail("gpu", f"{counted}, but PyTorch cannot use it", fix, where)
    else:
        yield ok("gpu", counted, where)


def _network(facts: Facts, where: str, shared: bool) -> Iterator[Finding]:
    if facts.token_problem and (shared or facts.auth_mode == "token"):
        yield fail("token", facts.token_problem[0], facts.token_problem[1], where)
    exposed = [listener for listener in facts.listening if not listener.token]
    if exposed:
        fix = "ray get-auth-token --generate, copy it to every node, and start Ray with RAY_AUTH_MODE=token"
        text = f"Ray takes connections from other machines without a token: {_ports(exposed)}"
        yield fail("authentication", text, fix, where)
    elif shared and facts.auth_mode != "token":
        fix = "ray get-auth-token --generate, copy it to every node, and start Ray with RAY_AUTH_MODE=token"
        yield warn("authentication", "Ray answers without a token, on loopback alone", fix, where)
    elif facts.listening:
        yield ok("authentication", f"by token; other machines reach {_ports(facts.listening)}", where)
    else:
        yield ok("authentication", "nothing of Ray's listens beyond loopback", where)


def _ports(listeners: Sequence[Listener]) -> str:
    shown = [f"{listener.program} {listener.address}:{listener.port}" for listener in listeners[:3]]
    return ", ".join(shown) + (f" and {len(listeners) - 3} more" if len(listeners) > 3 else "")


def check_alike(nodes: Sequence[Facts], driver: Facts) -> Iterator[Finding]:
    """Yield findings about versions, code and user, which must be the same on all nodes and here."""
    wanted: tuple[tuple[str, str, str], ...] = (
        ("python", "Python", SAME_VERSIONS),
        ("ray", "Ray", SAME_VERSIONS),
        ("code_digest", "our code's digest", SYNC_CODE),
        ("user", "user", "use one user name on all nodes: files on shared storage belong to it"),
    )
    for field, name, fix in wanted:
        here = getattr(driver, field)
        different = [node for node in nodes if getattr(node, field) != here]
        for node in different:
            level = warn if field == "user" else fail
            yield level(name, f"{getattr(node, field) or 'unknown'} there, {here} here", fix, node.host)
        if not different:
            yield ok(name, f"{here} on all {len(nodes)} nodes")


def check_ray_counts(node: Node, facts: Facts) -> Iterator[Finding]:
    """Yield findings about a node's GPUs and object store, as Ray counts them and as they are."""
    if node.gpus > len(facts.gpus):
        fix = "trials would train on the CPU: mend the driver, or start Ray with the right --num-gpus"
        yield warn("gpu", f"Ray counts {node.gpus:g} GPUs, the driver {len(facts.gpus)}", fix, facts.host)
    elif node.gpus < len(facts.gpus):
        fix = "start Ray without --num-gpus, and look at CUDA_VISIBLE_DEVICES there"
        yield warn("gpu", f"Ray counts {node.gpus:g} GPUs, the driver {len(facts.gpus)}", fix, facts.host)
    text = f"{node.object_store_gib:.1f} GiB of object store, {facts.shared_memory_gib:.1f} GiB of /dev/shm free"
    if node.object_store_gib < LOW_OBJECT_STORE_GIB:
        fix = "give /dev/shm more room (containers: an emptyDir of medium Memory, or --shm-size)"
        yield warn("object store", text, fix, facts.host)
    else:
        yield ok("object store", text, facts.host)


def check_skew(host: str, there: float, before: float, after: float) -> Finding:
    """Compare a node's clock with ours. there: its time; before, after: ours around the question; s since 1970."""
    skew = there - (before + after) / 2
    uncertain = (after - before) / 2
    if abs(skew) - uncertain > MAX_SKEW:
        return fail("clock", f"{skew:+.1f} s off", "run an NTP client there (chrony): times and tokens go by it", host)
    return ok("clock", f"{skew:+.2f} s off (within {uncertain:.2f} s)", host)


def check_storage(
    storage: str,
    hosts: Mapping[str, str],
    problems: Mapping[str, Any],
    written: Mapping[str, bytes],
    read_by: Mapping[str, Mapping[str, bytes | None] | Exception],
) -> Iterator[Finding]:
    """Yield findings on whether every node can write the folder, and every other and the driver can read that.

    hosts: names by node id. problems: "" or what went wrong, by node id. written: what each wrote, by node id.
    read_by: what each reader (a node id, or "driver") found of it.
    """
    names = {**hosts, "driver": "the driver"}
    for node, problem in problems.items():
        if problem:
            fix = "trials there send their files to the driver, which is slower; or mount it and let the user write"
            level = warn if any(not other for other in problems.values()) else fail
            yield level("storage", f"cannot write {storage}: {problem}", fix, hosts[node])
    writers = [node for node, problem in problems.items() if not problem]
    torn = 0
    for reader, found in read_by.items():
        for writer in writers:
            if isinstance(found, Exception) or found.get(writer) != written[writer]:
                torn += 1
                fix = "trials there send their files to the driver, which is slower; or mount one folder on all nodes"
                text = f"{names[reader]} does not see in {storage} what this node wrote"
                yield warn("storage", text, fix, hosts[writer])
    if writers and len(writers) == len(problems) and not torn:
        yield ok("storage", f"{storage}: written by all {len(writers)} nodes, read back by all and the driver")
