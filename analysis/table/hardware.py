"""Samples of the machine that a run was driven on: read from `hardware.parquet` and its journal, and summed up."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from analysis.runs.run_folder import RunFolder
from analysis.table.definitions import columns
from analysis.table.files import read_arrow, write_arrow
from analysis.table.run_columns import schema
from trainables.atomic_files import read_regular, write_atomically

# Grams of CO2e for a kilowatt-hour: the world's mean of 2023 (Ember, Global Electricity Review 2024).
GRAMS_PER_KWH = 480.0
JOULES_PER_KWH = 3.6e6
Row = dict[str, Any]


def read_samples(run: RunFolder) -> list[Row]:
    """Return the samples so far, in their order: those of the table, then those of the journal that it lacks."""
    rows: list[Row] = []
    if run.hardware_table.is_file():
        rows = read_arrow(run.hardware_table, "hardware").to_pylist()
    last = max((row["time"] for row in rows), default=None)
    return rows + [row for row in read_journal(run.hardware_journal) if last is None or row["time"] > last]


def read_journal(path: Path) -> list[Row]:
    """Return the whole lines of a journal that hold a sample."""
    try:
        lines = read_regular(path).splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        # a line that a kill has cut, or somebody has changed
        with suppress(ValueError, TypeError, KeyError, RecursionError):
            found.append(_sample(json.loads(line)))
    return found


def _sample(row: Mapping[str, Any]) -> Row:
    """Return a line of the journal as a row of the table. Raises `ValueError` or `TypeError` for what is none."""
    time = datetime.fromisoformat(row["time"])
    found: Row = {"time": time if time.tzinfo else time.replace(tzinfo=UTC)}
    for name, column in columns("hardware").items():
        if name not in found:
            value = found[name] = pa.scalar(row.get(name), column.type).as_py()
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name} is not finite")
    if found["seconds"] is None or found["seconds"] < 0 or found["node"] is None:
        raise ValueError("no sample")
    return found


def write_samples(run: RunFolder, rows: Iterable[Row], metadata: Mapping[str, Any]) -> None:
    """Write the table whole, then empty the journal. Raises `InputError` where the disk refuses."""
    names = columns("hardware")
    content = [{name: row.get(name) for name in names} for row in rows]
    write_arrow(run.hardware_table, pa.Table.from_pylist(content, schema=schema("hardware", metadata)))
    run.hardware_journal.unlink(missing_ok=True)


@dataclass(frozen=True)
class Usage:
    """The use that a run made of its machine.

    seconds: sampled. busy: share of the time that the GPUs were busy, or without one the mean load of the processors.
    memory_gb, gpu_memory_gb: the most in use, in GiB, of the machine and of one GPU. kwh: of what could be measured
    (`measured`: gpu, cpu); None where nothing could. co2e_grams: at `grams_per_kwh`.
    """

    seconds: float
    device: str
    busy: float | None
    cpu_percent: float | None
    memory_gb: float | None
    gpu_memory_gb: float | None
    gpu_temperature: float | None
    kwh: float | None
    measured: tuple[str, ...]
    grams_per_kwh: float
    co2e_grams: float | None

    @property
    def numbers(self) -> dict[str, float]:
        """Return what is known, as trackers name it."""
        named = {
            "hardware_hours": self.seconds / 3600,
            "device_busy_share": self.busy,
            "peak_memory_gb": self.memory_gb,
            "peak_gpu_memory_gb": self.gpu_memory_gb,
            "energy_kwh": self.kwh,
            "co2e_grams": self.co2e_grams,
        }
        return {name: value for name, value in named.items() if value is not None}


def summarise(rows: Iterable[Mapping[str, Any]], grams_per_kwh: float = GRAMS_PER_KWH) -> Usage | None:
    """Sum samples up; None where there are none. Each stands for the seconds since the one before it."""
    rows = list(rows)
    machine, gpus = [row for row in rows if row["gpu"] is None], [row for row in rows if row["gpu"] is not None]
    if not machine:
        return None
    joules = {"gpu": _joules(gpus, "gpu_power_w"), "cpu": _joules(machine, "cpu_power_w")}
    known = {name: value for name, value in joules.items() if value is not None}
    kwh = sum(known.values()) / JOULES_PER_KWH if known else None
    names = dict.fromkeys(row["gpu_name"] for row in gpus if row["gpu_name"])
    load = _mean(machine, "cpu_percent")
    busy = _mean(gpus, "gpu_percent") if gpus else load
    return Usage(
        sum(row["seconds"] for row in machine), ", ".join(names) or "CPU", None if busy is None else busy / 100, load,
        _most(machine, "memory_mb", 1024), _most(gpus, "gpu_memory_mb", 1024), _most(gpus, "gpu_temperature_c"),
        kwh, tuple(known), grams_per_kwh, None if kwh is None else kwh * grams_per_kwh,
    )  # fmt: skip


def _joules(rows: Iterable[Mapping[str, Any]], name: str) -> float | None:
    """Return watts times seconds; None where no sample has watts."""
    known = [row[name] * row["seconds"] for row in rows if row.get(name) is not None]
    return sum(known) if known else None


def _mean(rows: Iterable[Mapping[str, Any]], name: str) -> float | None:
    """Return the mean over time."""
    known = [(row[name], row["seconds"]) for row in rows if row.get(name) is not None and row["seconds"] > 0]
    total = sum(seconds for _, seconds in known)
    return sum(value * seconds for value, seconds in known) / total if total else None


def _most(rows: Iterable[Mapping[str, Any]], name: str, unit: float = 1.0) -> float | None:
    return max((row[name] / unit for row in rows if row.get(name) is not None), default=None)


def write_usage(run: RunFolder, usage: Usage) -> None:
    """Write `hardware.json`."""
    write_atomically(run.hardware_summary, json.dumps(asdict(usage), indent=1).encode(), durable=False)


def read_usage(run: RunFolder) -> Usage | None:
    """Return the usage of a run, at the grams for a kilowatt-hour that it was run with; None where none was sampled.

    Raises `InputError` for a damaged table.
    """
    grams = GRAMS_PER_KWH
    # a run that goes on, or was killed, has none
    with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        said = float(json.loads(read_regular(run.hardware_summary))["grams_per_kwh"])
        grams = said if 0 <= said < math.inf else grams
    return summarise(read_samples(run), grams)
