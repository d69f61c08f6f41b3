"""The monitor's screen: machines, GPUs, the processes on them, and what to do. It fits 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.terminal.plain_text import plain
from cluster.alerts import FULL, HOT, LAZY, alerts
from cluster.checks.findings import STYLES
from cluster.sample import Sample
from sweeps.screen.gpu import Gpu, GpuProcess

# the width of a bar, in characters
BAR = 10


def screen(samples: Sequence[Sample]) -> RenderableType:
    """Return the tables and warnings for one look at each machine."""
    parts: list[RenderableType] = [_machines(samples)]
    if any(sample.gpus for sample in samples):
        parts.append(_gpus(samples))
    problems = sorted({sample.gpu_problem for sample in samples if not sample.gpus})
    parts += [Text(f"No GPUs shown: {problem}. Processors and memory are above.", style="dim") for problem in problems]
    if any(_users(sample) for sample in samples):
        parts.append(_processes(samples))
    parts.extend(_alert_lines(samples))
    return Group(*parts)


def _machines(samples: Sequence[Sample]) -> Table:
    table = _table(("node", "left"), ("CPUs", "right"), ("load", "left"), ("memory", "left"), ("GiB", "right"))
    for sample in samples:
        gib = f"{sample.memory_used_mb / 1024:.1f} of {sample.memory_total_mb / 1024:.1f}"
        memory = _bar(sample.memory_percent, FULL)
        table.add_row(plain(sample.host), str(sample.cpus), _bar(sample.cpu_percent), memory, gib)
    return table


def _gpus(samples: Sequence[Sample]) -> Table:
    table = _table(
        ("GPU", "left"), ("use", "left"), ("memory", "left"), ("GiB", "right"), ("°C", "right"), ("W", "right")
    )
    for sample in samples:
        for gpu in sample.gpus:
            name = f"{sample.host}:{gpu.index} {gpu.name.removeprefix('NVIDIA ')}"
            cells = (_bar(gpu.utilization), _bar(gpu.memory_percent, FULL), _gib(gpu), _heat(gpu), _power(gpu))
            table.add_row(plain(name), *cells)
    return table


def _gib(gpu: Gpu) -> str:
    if gpu.memory_used_mb is None or gpu.memory_total_mb is None:
        return "–"
    return f"{gpu.memory_used_mb / 1024:.1f}/{gpu.memory_total_mb / 1024:.0f}"


def _heat(gpu: Gpu) -> str:
    if gpu.temperature is None:
        return "–"
    text = f"{gpu.temperature:.0f}"
    return f"[bold red]{text}[/]" if gpu.temperature > HOT else text


def _power(gpu: Gpu) -> str:
    if gpu.power is None:
        return "–"
    return f"{gpu.power:.0f}" + ("" if gpu.power_limit is None else f"/{gpu.power_limit:.0f}")


def _users(sample: Sample) -> list[tuple[str, GpuProcess]]:
    """Return (`host:GPU`, process) of what runs on GPUs, and (`host`, process) of Ray's other workers."""
    on_gpus = [(f"{sample.host}:{gpu.index}", process) for gpu in sample.gpus for process in gpu.processes]
    seen = {process.pid for _, process in on_gpus}
    return on_gpus + [(sample.host, worker) for worker in sample.workers if worker.pid not in seen]


def _processes(samples: Sequence[Sample]) -> Table:
    table = _table(("on", "left"), ("pid", "right"), ("process", "left"), ("MiB", "right"), ("trial", "left"))
    for sample in samples:
        for device, process in _users(sample):
            memory = "–" if process.memory_mb is None else f"{process.memory_mb:.0f}"
            table.add_row(plain(device), str(process.pid), plain(process.name), memory, process.trial or "–")
    return table


def _alert_lines(samples: Sequence[Sample]) -> list[Text]:
    lines = []
    for sample in samples:
        for alert in alerts(sample):
            line = Text.assemble((f"{alert.where}: {alert.text}", STYLES[alert.level]), f" → {alert.fix}")
            lines.append(line)
    return lines


def _table(*columns: tuple[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for number, (name, justify) in enumerate(columns):
        table.add_column(name, justify=justify, no_wrap=True, overflow="ellipsis", ratio=None if number else 1)  # type: ignore[arg-type]
    return table


def _bar(percent: float | None, limit: float | None = None) -> str:
    """Return a bar and the number; red above the limit, yellow where a GPU is hardly used."""
    if percent is None:
        return "–"
    filled = round(BAR * min(percent, 100) / 100)
    style = "green" if percent >= LAZY or limit is not None else "yellow"
    if limit is not None and percent > limit:
        style = "bold red"
    return f"[{style}]{'━' * filled}[/][dim]{'━' * (BAR - filled)}[/] {percent:3.0f} %"
