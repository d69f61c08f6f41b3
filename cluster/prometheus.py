"""Samples in the text format that Prometheus reads (node_exporter's textfile collector, or a push gateway).

Format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cluster.sample import Sample

METRICS = {
    "sweeps_node_cpu_percent": "Load of all processors together, in per cent.",
    "sweeps_node_memory_used_bytes": "Memory in use.",
    "sweeps_node_memory_total_bytes": "Memory of the machine.",
    "sweeps_gpu_utilization_percent": "Share of the time in which a kernel ran on the GPU.",
    "sweeps_gpu_memory_used_bytes": "The GPU's memory in use.",
    "sweeps_gpu_memory_total_bytes": "The GPU's memory.",
    "sweeps_gpu_temperature_celsius": "Temperature of the GPU.",
    "sweeps_gpu_power_watts": "Power that the GPU draws.",
}
MIB = 2**20


def exposition(samples: Sequence[Sample]) -> str:
    """Return all samples as gauges; a sensor that is missing has no line."""
    values: dict[str, list[str]] = {name: [] for name in METRICS}
    for sample in samples:
        for name, labels, value in _gauges(sample):
            if value is not None:
                text = ",".join(f'{key}="{_escaped(label)}"' for key, label in labels.items())
                values[name].append(f"{name}{{{text}}} {value:.10g}")
    lines = []
    for name, entries in values.items():
        if entries:
            lines += [f"# HELP {name} {METRICS[name]}", f"# TYPE {name} gauge", *entries]
    return "\n".join(lines) + "\n"


def _gauges(sample: Sample) -> Iterator[tuple[str, dict[str, str], float | None]]:
    node = {"host": sample.host}
    yield "sweeps_node_cpu_percent", node, sample.cpu_percent
    yield "sweeps_node_memory_used_bytes", node, sample.memory_used_mb * MIB
    yield "sweeps_node_memory_total_bytes", node, sample.memory_total_mb * MIB
    for gpu in sample.gpus:
        labels = {**node, "gpu": str(gpu.index), "name": gpu.name}
        yield "sweeps_gpu_utilization_percent", labels, gpu.utilization
        yield "sweeps_gpu_memory_used_bytes", labels, _bytes(gpu.memory_used_mb)
        yield "sweeps_gpu_memory_total_bytes", labels, _bytes(gpu.memory_total_mb)
        yield "sweeps_gpu_temperature_celsius", labels, gpu.temperature
        yield "sweeps_gpu_power_watts", labels, gpu.power


def _bytes(mib: float | None) -> float | None:
    return None if mib is None else mib * MIB


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
