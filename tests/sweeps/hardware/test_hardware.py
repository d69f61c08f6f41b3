"""Samples of a machine: what is read, kept over a kill, and summed up."""

from __future__ import annotations

import json
import math
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.page.hardware import words
from analysis.runs.run_folder import RunFolder
from analysis.table.hardware import GRAMS_PER_KWH, read_samples, read_usage, summarise, write_samples
from sweeps.hardware.sample import Machine, Rapl
from sweeps.hardware.sampler import Sampler
from sweeps.screen.gpu import Gpu

GPU = Gpu(0, "H100", 80.0, 2048.0, 81920.0, 60.0, 300.0, 700.0)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def machine(gpus: list[Gpu] | None = None, root: Path = Path("/nowhere")) -> Machine:
    return Machine(lambda: (gpus or [], "" if gpus else "no NVIDIA driver"), Rapl(root))


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "s" / "run")
    made.path.mkdir(parents=True)
    content = {"metric": "val_auc", "mode": "max", "roles": {}, "question": "?"}
    made.description.write_text(json.dumps(content))
    return made


def sample_rows(count: int, seconds: float = 10.0, **gpu: Any) -> list[dict[str, Any]]:
    rows = []
    for number in range(count):
        common = {"time": BEGAN + timedelta(seconds=seconds * number), "seconds": seconds, "node": "n"}
        rows.append({**common, "gpu": None, "cpu_percent": 50.0, "memory_mb": 1024.0 * (number + 1), **NOTHING})
        if gpu:
            alone = {**NOTHING, "cpu_percent": None, "memory_mb": None, "gpu": 0, "gpu_name": "H100"}
            rows.append({**common, **alone, **gpu})
    return rows


NOTHING: dict[str, Any] = dict.fromkeys(("gpu_name", "gpu_power_w", "cpu_power_w", "gpu_percent", "gpu_memory_mb"))
NOTHING["gpu_temperature_c"] = None


def test_a_sample_is_a_row_of_the_machine_and_one_of_each_gpu() -> None:
    first, second = machine([GPU]).sample(5.0)
    assert (first["gpu"], second["gpu"]) == (None, 0)
    assert 0 <= first["cpu_percent"] <= 100
    assert 0 < first["memory_mb"] < first["memory_total_mb"]
    assert first["cpu_power_w"] is None
    assert (second["gpu_power_w"], second["gpu_temperature_c"], second["gpu_percent"]) == (300.0, 60.0, 80.0)


def test_a_driver_that_is_not_there_is_asked_once() -> None:
    asked = []

    def read() -> tuple[list[Gpu], str]:
        asked.append(1)
        return [], "no NVIDIA driver"

    found = Machine(read, Rapl(Path("/nowhere")))
    assert [len(found.sample(1.0)) for _ in range(3)] == [1, 1, 1]
    assert len(asked) == 1


def test_the_power_of_processors_is_what_their_counters_gain(tmp_path: Path) -> None:
    for name, energy in (("intel-rapl:0", 5_000_000), ("intel-rapl:1", 9_000_000), ("intel-rapl:0:0", 1)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(str(energy))
        (tmp_path / name / "max_energy_range_uj").write_text("10000000")
    found = machine(root=tmp_path)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("25000000")
    # it began again at its largest value
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("4000000")
    (tmp_path / "intel-rapl:0:0" / "energy_uj").write_text("99999999")
    assert found.sample(10.0)[0]["cpu_power_w"] == pytest.approx((20 + 5) / 10)


def test_energy_is_power_by_time_and_unknown_where_nothing_is_measured() -> None:
    usage = summarise(sample_rows(6, gpu_power_w=360.0, gpu_percent=75.0, gpu_memory_mb=2048.0), 100.0)
    assert usage
    assert usage.kwh == pytest.approx(360 * 60 / 3.6e6)
    assert usage.co2e_grams == pytest.approx(0.6)
    assert (usage.busy, usage.device, usage.measured) == (0.75, "H100", ("gpu",))
    assert (usage.memory_gb, usage.gpu_memory_gb) == (6.0, 2.0)
    assert "100 g for a kWh" in " ".join(words(usage))
    alone = summarise(sample_rows(2))
    assert alone
    assert (alone.kwh, alone.co2e_grams, alone.busy, alone.grams_per_kwh) == (None, None, 0.5, GRAMS_PER_KWH)
    assert "No energy" in " ".join(words(alone))
    assert summarise([]) is None


def test_samples_are_one_table_that_others_read_also_after_a_kill(run: RunFolder) -> None:
    rows = sample_rows(3, gpu_power_w=100.0)
    write_samples(run, rows[:4], run.metadata())
    lines = [json.dumps({**row, "time": row["time"].isoformat()}) for row in rows]
    # killed after the table was written and before the journal was emptied, then in the middle of a line
    run.hardware_journal.write_text("\n".join(lines) + '\n{"time": "2026')
    assert [(row["time"], row["gpu"]) for row in read_samples(run)] == [(row["time"], row["gpu"]) for row in rows]
    entered = threading.Event()

    class Once(Machine):
        def sample(self, seconds: float) -> list[dict[str, Any]]:
            entered.set()
            return super().sample(seconds)

    def make() -> Once:
        return Once(lambda: ([], "no NVIDIA driver"), Rapl(Path("/nowhere")))

    with Sampler(run, 250.0, print, make, interval=0.01):
        assert entered.wait(20)
    assert not run.hardware_journal.exists()
    after = read_samples(run)
    assert [(row["time"], row["gpu"]) for row in after[:6]] == [(row["time"], row["gpu"]) for row in rows]
    assert len(after) > 6
    usage = read_usage(run)
    assert usage
    assert usage.grams_per_kwh == 250.0
    for frame in (
        pd.read_parquet(run.hardware_table),
        pl.read_parquet(run.hardware_table).to_pandas(),
        duckdb.sql(f"select * from '{run.hardware_table}'").df(),
    ):
        assert len(frame) == len(after)
        assert frame["gpu_power_w"].sum() == pytest.approx(300.0)


def test_a_line_of_the_journal_that_is_no_sample_costs_itself_alone(run: RunFolder) -> None:
    """A line of another type, or a time without its zone, is one that somebody has changed."""
    rows = sample_rows(2)
    write_samples(run, rows[:2], run.metadata())
    good = {**rows[-1], "time": "2030-01-01T00:00:00"}
    bad: list[Any] = [
        [1], "x", {"time": "2030-01-02T00:00:00"}, {**good, "seconds": "many"}, {**good, "seconds": None},
        {**good, "memory_mb": [1]}, {**good, "node": 7},
    ]  # fmt: skip
    text = "\n".join(json.dumps(line) for line in [*bad[:4], good, *bad[4:]])
    run.hardware_journal.write_text(f"{text}\n{'[' * 100_000}\n")
    found = read_samples(run)
    assert [row["time"].year for row in found[2:]] == [2030]
    assert read_usage(run)
    with Sampler(run, machine=machine, interval=0.01):
        pass
    assert [row["time"] for row in read_samples(run)[:3]] == [row["time"] for row in found]


def test_a_disk_that_refuses_costs_samples_alone(run: RunFolder) -> None:
    run.hardware_journal.mkdir()
    said: list[str] = []
    with Sampler(run, say=said.append, machine=machine, interval=0.01):
        pass
    assert read_samples(run) == []
    assert len(said) == 1
    assert "no longer sampled" in said[0]


GOOD = {"time": "2099-01-01T00:00:00+00:00", "seconds": 5.0, "node": "n", "gpu": None, "cpu_percent": 50.0}
VALUES = st.none() | st.booleans() | st.floats() | st.text(max_size=3) | st.lists(st.none(), max_size=1) | st.just({})


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from([*GOOD, "gpu_power_w", "cpu_power_w", "memory_mb", "gpu_name"]), VALUES))
def test_a_journal_that_somebody_changed_costs_its_lines_alone(change: dict[str, object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder))
        lines = [json.dumps(GOOD), json.dumps({**GOOD, **change}), "[" * 100_000, "null", "{", json.dumps(GOOD)]
        run.hardware_journal.write_text("\n".join(lines))
        usage = read_usage(run)
    assert usage is not None
    assert 10.0 <= usage.seconds < math.inf


@pytest.mark.parametrize(
    "text", ['{"grams_per_kwh": 1e999}', '{"grams_per_kwh": NaN}', '{"grams_per_kwh": -4}', "[" * 10**5]
)
def test_grams_that_cannot_be_are_the_worlds_mean(tmp_path: Path, text: str) -> None:
    run = RunFolder(tmp_path)
    run.hardware_journal.write_text(json.dumps(GOOD))
    run.hardware_summary.write_text(text)
    usage = read_usage(run)
    assert usage is not None
    assert usage.grams_per_kwh == GRAMS_PER_KWH


def test_no_grams_are_no_grams(tmp_path: Path) -> None:
    assert Sampler(RunFolder(tmp_path), 0.0).grams == 0.0
    assert Sampler(RunFolder(tmp_path)).grams == GRAMS_PER_KWH
