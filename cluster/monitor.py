"""python -m cluster.monitor: GPUs, processors and memory of this machine or of every node, with advice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.live import Live

from analysis.command_line import new_app, refuse_unused, start
from analysis.parallel.ray_connection import connected
from cluster.alerts import alerts
from cluster.checks.ray_nodes import ask_all, living_nodes, start_probes
from cluster.monitor_screen import screen
from cluster.prometheus import exposition
from cluster.sample import take_sample
from trainables.atomic_files import append_whole, write_atomically
from trainables.errors import InputError

if TYPE_CHECKING:
    from cluster.sample import Sample

    Take = Callable[[], list[Sample]]

app = new_app()
FORMATS = (".jsonl", ".prom")
EXAMPLES = """
[bold]Examples[/bold]

  python -m cluster.monitor                       this machine, every 3 seconds, until Ctrl-C

  python -m cluster.monitor --once --json

  python -m cluster.monitor --address auto        every node of the Ray cluster (on the head)

  python -m cluster.monitor -i 10 --save gpu.jsonl

  python -m cluster.monitor --save /var/lib/node_exporter/sweeps.prom
"""


@app.command(epilog=EXAMPLES)
def monitor(
    context: typer.Context,
    interval: Annotated[
        float, typer.Option("-i", "--interval", min=0.5, max=86400, help="Seconds between two looks.")
    ] = 3.0,
    once: Annotated[bool, typer.Option("--once", help="Look once.")] = False,
    save: Annotated[
        Path | None, typer.Option(help="Also keep the samples: .jsonl (one line a look) or .prom (the last, replaced).")
    ] = None,
    processes: Annotated[bool, typer.Option(help="Who uses the GPUs, and which trial it trains.")] = True,
    address: Annotated[str | None, typer.Option(help="All nodes of a Ray cluster: auto, or HOST:PORT.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document a look, on one line.")] = False,
    prometheus: Annotated[bool, typer.Option("--prometheus", help="Prometheus' text format.")] = False,
) -> None:
    """Show use, memory, temperature, power and processes of all GPUs, and warn of heat, full memory and idle GPUs."""
    if json and prometheus:
        raise InputError("--json and --prometheus cannot both be printed: choose one, and --save the other")
    if save is not None and save.suffix not in FORMATS:
        raise InputError(f"{save}: the name must end in {' or '.join(FORMATS)}")
    if once:
        refuse_unused(context, ("interval",), "--once looks once")
    with _source(address, processes) as take:
        try:
            _watch(take, interval, once, save, "json" if json else "prometheus" if prometheus else "screen")
        except KeyboardInterrupt:
            raise typer.Exit(130 if once else 0) from None


@contextmanager
def _source(address: str | None, processes: bool) -> Iterator[Take]:
    """Yield a function that takes samples of this machine, or of all nodes of a cluster."""
    if address is None:
        yield lambda: [take_sample(processes)]
        return
    with connected(address):
        yield _Cluster(processes).take


class _Cluster:
    """The nodes of a cluster and a probe on each; nodes may come and go between two looks."""

    # seconds; the first answer of a node waits for a worker to start there
    TIMEOUT = 60.0

    def __init__(self, processes: bool) -> None:
        self.processes = processes
        self.probes: dict[str, Any] = {}

    def take(self) -> list[Sample]:
        """Return a sample of each node that answers, the head first. Raises `InputError` where none does."""
        # a machine with several nodes is looked at once
        nodes = list({node.address: node for node in reversed(living_nodes())}.values())[::-1]
        known = {node.node_id: self.probes[node.node_id] for node in nodes if node.node_id in self.probes}
        self.probes = known | start_probes([node for node in nodes if node.node_id not in known])
        probes = {node.node_id: self.probes[node.node_id] for node in nodes}
        answers = ask_all(probes, "sample", self.processes, timeout=self.TIMEOUT)
        silent = [node_id for node_id, answer in answers.items() if isinstance(answer, Exception)]
        for node_id in silent:
            # asked afresh next time, where the node is still alive then
            del self.probes[node_id]
        if len(silent) == len(answers):
            raise InputError("no node of the cluster answers: `python -m cluster.doctor --address ...` says why")
        return [answer for answer in answers.values() if not isinstance(answer, Exception)]


def _watch(take: Take, interval: float, once: bool, save: Path | None, form: str) -> None:
    console = Console()
    live = Live(console=console, auto_refresh=False) if form == "screen" and console.is_terminal and not once else None
    if live is not None:
        live.start()
    try:
        while True:
            began = time.monotonic()
            samples = take()
            if save is not None:
                _keep(samples, save)
            if live is not None:
                live.update(screen(samples), refresh=True)
            elif form == "screen":
                console.print(screen(samples))
            else:
                print(as_text(samples, form), flush=True)
            if once:
                return
            time.sleep(max(0.0, interval - (time.monotonic() - began)))
    finally:
        if live is not None:
            live.stop()


def as_text(samples: list[Sample], form: str) -> str:
    """Return samples with their alerts as one line of JSON, or in Prometheus' format."""
    if form == "prometheus":
        return exposition(samples).rstrip("\n")
    found = [asdict(alert) for sample in samples for alert in alerts(sample)]
    return dumps({"nodes": [asdict(sample) for sample in samples], "alerts": found})


def _keep(samples: list[Sample], path: Path) -> None:
    """Append a line of JSON, or replace the Prometheus file in one step: its reader never sees half of it."""
    try:
        if path.suffix == ".prom":
            write_atomically(path, (as_text(samples, "prometheus") + "\n").encode())
        else:
            append_whole(path, (as_text(samples, "json") + "\n").encode())
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): choose another --save") from None


if __name__ == "__main__":
    start(app)
