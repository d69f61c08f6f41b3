"""The quantised files of a run's trials as a table in its folder, with units and meanings as its other tables have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from analysis import table
from analysis.runs.run_folder import RunFolder
from deployment.quantization.figures import FileFigures


def rows_of(run: RunFolder, trial_id: str, seed: int, files: Sequence[FileFigures]) -> Iterator[dict[str, Any]]:
    """Yield the rows of one trial's files."""
    for one in files:
        auc, acc, same = one.auc.images, one.acc.images, one.agreement_95
        yield {
            "sweep": run.sweep, "run_id": run.run_id, "trial_id": trial_id, "seed": seed, "file": one.name,
            "bytes": one.bytes, "test_auc": one.auc.value, "test_auc_low": auc.low, "test_auc_high": auc.high,
            "test_acc": one.acc.value, "test_acc_low": acc.low, "test_acc_high": acc.high,
            "agreement": one.agreement, "agreement_low": same.low, "agreement_high": same.high,
            "largest_difference": one.difference, "latency_p50": one.timing.latency_p50,
            "latency_p95": one.timing.latency_p95, "images_per_second": max(one.timing.throughput.values()),
        }  # fmt: skip


def add_rows(run: RunFolder, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows into the run's table; those that it had of the same trial, seed and file go. Raises `InputError`."""
    path = run.quantization_table
    new = {_key(row): row for row in rows}
    before = table.read_arrow(path, "quantization").to_pylist() if path.is_file() else []
    kept = {_key(row): row for row in before} | new
    table.write(path, "quantization", [kept[key] for key in sorted(kept)], {})


def _key(row: dict[str, Any]) -> tuple[str, int, str]:
    return row["trial_id"], row["seed"], row["file"]
