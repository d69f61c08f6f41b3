"""Warnings about a sample: heat, full memory, idle GPUs; each says what to do."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.checks.findings import Finding, fail, warn
from cluster.sample import Sample
from sweeps.screen.gpu import Gpu

# degrees Celsius
HOT = 80.0
# per cent of memory
FULL = 95.0
# per cent of use and of memory: a GPU that waits while its memory is taken
LAZY, LADEN = 30.0, 80.0
# per cent of memory below which more trials fit beside
LAZY_EMPTY = 50.0


def alerts(sample: Sample) -> list[Finding]:
    """Return findings about one machine at one moment; empty where all is well."""
    found = [alert for gpu in sample.gpus for alert in _gpu(gpu, f"{sample.host} GPU {gpu.index}")]
    if sample.memory_percent > FULL:
        fix = "run fewer trials at a time: --max-concurrent, or --cpus-per-trial; Ray kills workers at 95 %"
        found.append(fail("memory", f"{sample.memory_percent:.0f} % of memory in use", fix, sample.host))
    return found


def _gpu(gpu: Gpu, where: str) -> Iterator[Finding]:
    memory = gpu.memory_percent
    if gpu.temperature is not None and gpu.temperature > HOT:
        fix = "look to fans and airflow; at its limit the GPU slows down by itself"
        yield fail("temperature", f"{gpu.temperature:.0f} °C", fix, where)
    if memory is not None and memory > FULL:
        fix = "smaller --set batch_size=..., or fewer trials a GPU: a larger --gpus-per-trial"
        yield fail("gpu memory", f"{memory:.0f} % of its memory in use", fix, where)
    if gpu.utilization is None or memory is None or gpu.utilization >= LAZY:
        return
    if memory > LADEN:
        fix = "smaller --set batch_size=..., then pack more trials: a smaller --gpus-per-trial"
        yield warn("low use", f"{gpu.utilization:.0f} % busy with {memory:.0f} % of its memory taken", fix, where)
    elif gpu.processes and memory < LAZY_EMPTY:
        fix = f"pack more trials: --gpus-per-trial {suggested_share(gpu):g}"
        yield warn("low use", f"{gpu.utilization:.0f} % busy, {100 - memory:.0f} % of its memory free", fix, where)


def suggested_share(gpu: Gpu) -> float:
    """Return a share of a GPU for one trial: as many as fit into 90 % of memory and use, as 1/2, 1/4 or 1/8."""
    here = max(1, len(gpu.processes))
    memory = max((gpu.memory_percent or 0) / here, 1.0)
    use = max((gpu.utilization or 0) / here, 1.0)
    fits = min(90 / memory, 90 / use)
    return next((1 / trials for trials in (8, 4, 2) if trials <= fits), 1.0)
