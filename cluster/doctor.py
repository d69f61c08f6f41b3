"""python -m cluster.doctor: is this machine, a cluster file or a running cluster fit for a sweep?"""

from __future__ import annotations

import secrets
import tempfile
import time
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from analysis.command_line import new_app, refuse_unused, start
from analysis.parallel.ray_connection import connected
from analysis.parallel.ray_private import temporary_folder
from analysis.runs.remote import check_writable, is_uri, open_remote
from analysis.terminal.plain_text import plain
from cluster.checks.cluster_file import check_cluster_file, read_cluster_file
from cluster.checks.findings import STYLES, as_json, exit_code, fail, ok
from cluster.checks.node_checks import (
    SYNC_CODE,
    check_alike,
    check_machine,
    check_ray_counts,
    check_skew,
    check_storage,
)
from cluster.checks.node_facts import gather
from cluster.checks.ray_nodes import ask_all, gather_answers, start_probes, wait_for_cluster_size
from cluster.checks.shared_storage import read, remove, write
from cluster.checks.ssh import check_hosts
from trainables.errors import InputError

if TYPE_CHECKING:
    from cluster.checks.findings import Finding

app = new_app()
EXAMPLES = """
[bold]Examples[/bold]

  python -m cluster.doctor                                     this machine

  python -m cluster.doctor cluster/cluster.yaml                a cluster file, before `ray up`

  ray exec cluster/cluster.yaml 'cd ~/sweeps && python -m cluster.doctor --address auto --storage s3://BUCKET/results'

  python -m cluster.doctor --address auto --nodes 4 --timeout 300 --json
"""


@app.command(epilog=EXAMPLES)
def doctor(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="A Ray cluster file, such as cluster/cluster.yaml.")] = None,
    address: Annotated[str | None, typer.Option(help="A running cluster: auto, or HOST:PORT.")] = None,
    nodes: Annotated[int, typer.Option(min=1, help="Wait until there are so many nodes.")] = 1,
    timeout: Annotated[float, typer.Option(min=1, max=86400, help="Seconds to wait for nodes, for an answer.")] = 60.0,
    storage: Annotated[
        str | None, typer.Option(help="Folder or URI of the results: who can write and read it.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Check versions, code, user, clock, ports, token, storage, disk, GPUs and memory; every finding says its fix.

    Exit code 0: nothing failed. 1: something did. 2: the command itself was wrong.
    """
    if address is None:
        refuse_unused(context, ("nodes",), "it counts the nodes of --address")
        if file is None:
            refuse_unused(context, ("timeout",), "it is for a cluster file and --address")
        else:
            refuse_unused(context, ("storage",), "it is asked of --address, or of this machine")
    findings = list(examine(file, address, nodes, timeout, storage))
    if json:
        print(dumps(as_json(findings), indent=1))
    else:
        show(findings)
    raise typer.Exit(exit_code(findings))


def examine(
    file: Path | None, address: str | None, nodes: int, timeout: float, storage: str | None
) -> list[Finding]:  # fmt: skip
    """Return all findings about a file and a cluster, or with neither about this machine."""
    findings: list[Finding] = []
    if file is not None:
        content = read_cluster_file(file)
        findings += check_cluster_file(content, Path.cwd(), file.name)
        findings += check_hosts(content, min(timeout, 20.0))
    if address is not None:
        findings += examine_cluster(address, nodes, timeout, storage)
    elif file is None:
        findings += examine_this_machine(storage)
    return findings


def examine_this_machine(storage: str | None) -> list[Finding]:
    """Return the findings about this machine. storage: a folder or URI to write to and read from."""
    facts = gather(Path(tempfile.gettempdir()))
    findings = list(check_machine(facts))
    if storage is not None:
        problem = write(storage, "here", b"1")
        found = {"driver": read(storage, ["here"])}
        findings += check_storage(storage, {"here": facts.host}, {"here": problem}, {"here": b"1"}, found)
        if not problem:
            remove(storage, ["here"])
    return findings


def examine_cluster(address: str, wanted: int, timeout: float, storage: str | None) -> list[Finding]:
    """Ask every node of a running cluster and return the findings. Raises `InputError` where no cluster answers."""
    with connected(address):
        nodes = wait_for_cluster_size(wanted, timeout)
        if len(nodes) < wanted:
            text = f"{len(nodes)} of {wanted} nodes came within {timeout:g} s"
            fix = "`ray status` and `ray monitor cluster/cluster.yaml` show why; spot nodes may not be had for a while"
            findings = [fail("nodes", text, fix)]
        else:
            findings = [ok("nodes", f"{len(nodes)} alive")]
        folder = temporary_folder()
        probes = start_probes(nodes)
        calls = {node.node_id: probes[node.node_id].facts.remote(folder, node.node_id) for node in nodes}
        answers = gather_answers(calls, timeout)
        facts = {node_id: answer for node_id, answer in answers.items() if not isinstance(answer, Exception)}
        findings += _judge_nodes(nodes, answers)
        findings += check_alike(list(facts.values()), gather(Path(folder)))
        answering = {node_id: probes[node_id] for node_id in facts}
        hosts = {node_id: node.host for node_id, node in facts.items()}
        findings += _clocks(answering, hosts, timeout)
        if storage is not None and answering:
            findings += _storage(storage, answering, hosts, timeout)
    return findings


def _judge_nodes(nodes: list[Any], answers: dict[str, Any]) -> list[Finding]:
    findings: list[Finding] = []
    for node in nodes:
        answer = answers[node.node_id]
        if isinstance(answer, Exception):
            text = f"does not answer: {str(answer).strip().splitlines()[-1]}"
            findings.append(fail("node", text, SYNC_CODE, f"{node.address} ({node.node_id[:6]})"))
        else:
            findings += check_machine(answer, shared=True)
            findings += check_ray_counts(node, answer)
    return findings


def _clocks(probes: dict[str, Any], hosts: dict[str, str], timeout: float) -> list[Finding]:
    """Compare the nodes' clocks, one node after the other, since each answer is timed."""
    findings = []
    for node_id, probe in probes.items():
        before = time.time()
        answer = ask_all({node_id: probe}, "clock", timeout=timeout)[node_id]
        if not isinstance(answer, Exception):
            findings.append(check_skew(hosts[node_id], answer, before, time.time()))
    return findings


def _bucket(storage: str) -> Finding:
    """Check that the driver can use a URI; workers send their files to the driver and need no access."""
    try:
        check_writable(open_remote(storage))
    except InputError as error:
        return fail("storage", str(error), "")
    return ok("storage", f"{storage}: written and read back by the driver, the one that needs it")


def _storage(storage: str, probes: dict[str, Any], hosts: dict[str, str], timeout: float) -> list[Finding]:
    """Let every node write a file of its own, then let every node and the driver read all. A URI is for the driver."""
    if is_uri(storage):
        return [_bucket(storage)]
    written = {node_id: secrets.token_bytes(16) for node_id in probes}
    calls = {node: probe.write.remote(storage, node, written[node]) for node, probe in probes.items()}
    problems = {node: str(answer).strip() for node, answer in gather_answers(calls, timeout).items()}
    found = ask_all(probes, "read", storage, list(probes), timeout=timeout)
    found["driver"] = read(storage, list(probes))
    findings = list(check_storage(storage, hosts, problems, written, found))
    if not all(problems.values()):
        remove(storage, list(probes))
    return findings


def show(findings: list[Finding]) -> None:
    """Print a table, the failures last, where the eye is; then one line that counts."""
    console = Console()
    order = {"ok": 0, "warn": 1, "fail": 2}
    ordered = sorted(findings, key=lambda finding: order[finding.level])
    console.print(_table(ordered))
    counts = {level: sum(finding.level == level for finding in findings) for level in order}
    console.print(f"{counts['ok']} ok, {counts['warn']} to look at, {counts['fail']} failed", highlight=False)


def _table(findings: list[Finding]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("", "what", "where"):
        table.add_column(name, no_wrap=name != "where")
    table.add_column("found", ratio=1)
    for finding in findings:
        text = plain(finding.text) + (f"\n[dim]→ {plain(finding.fix)}[/dim]" if finding.fix else "")
        level = f"[{STYLES[finding.level]}]{finding.level}[/]"
        table.add_row(level, finding.subject, plain(finding.where), text)
    return table


if __name__ == "__main__":
    start(app)
