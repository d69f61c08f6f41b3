"""Activations and sharpness of the best models of a run, into `activations.parquet` and `trials.parquet`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from analysis import table
from analysis.runs.lease import holding
from analysis.runs.run_folder import RunFolder
from analysis.weights.measure_run import IDENTITY, Measured, measure_jobs
from analysis.weights.model_columns import refill_trials
from analysis.weights.rows import Row, stage_files
from trainables.errors import InputError
from trainables.user_code.in_use import sources_in_use, use_sources
from trainables.user_code.source import Source


@dataclass(frozen=True)
class Model:
    """The best weights of a replicate, the root of its data, and the user's code that may be run.

    dataset: where its data lie by the run's table, which a resume brings up to date.
    """

    identity: Mapping[str, Any]
    path: Path
    data_root: Path | None
    sources: Mapping[str, Source] = field(default_factory=dict)
    dataset: str | None = None

    def files(self) -> dict[str, Path]:
        """Return the weights; the data must be on the worker's machine."""
        return {self.path.name: self.path}

    def moved(self, folder: Path) -> Model:
        """Return the job with its file in another folder."""
        return replace(self, path=folder / self.path.name)


@holding
def measure_run_on_data(
    run: RunFolder,
    data_root: Path | None = None,
    again: bool = False,
    workers: int = 1,
    address: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Measured:
    """Measure what has not been measured yet; `again`: everything. Raises `InputError`."""
    if not run.trials_table.exists():
        raise InputError(f"{run.path} has no trials.parquet yet: measure it when its first trial has ended")
    have = run.activations_table.exists() and not again
    rows: list[Row] = table.read_arrow(run.activations_table, "activations").to_pylist() if have else []
    jobs = _missing(run, {(row["trial_id"], row["seed"]) for row in rows}, data_root)
    problems = measure_jobs(
        measure_model,
        jobs,
        lambda job, result: rows.extend(result),
        lambda: save(run, rows),
        workers,
        address,
        progress,
    )
    return Measured(len(rows), len(jobs) - len(problems), problems)


def save(run: RunFolder, rows: list[Row]) -> None:
    """Write `activations.parquet`, in the order of trials and layers, and its columns of `trials.parquet`."""
    rows.sort(key=lambda row: (row["trial_id"], row["replicate"], row["position"]))
    table.write(run.activations_table, "activations", rows, run.metadata())
    refill_trials(run)


def _missing(run: RunFolder, known: set[tuple[str, int]], data_root: Path | None) -> list[Model]:
    folders = run.trials_by_key()
    models = []
    trials = table.read_arrow(run.trials_table)
    places = trials["dataset"].to_pylist() if "dataset" in trials.column_names else [None] * len(trials)
    for identity, dataset in zip(trials.select(list(IDENTITY)).to_pylist(), places, strict=True):
        if identity["trial_key"] not in folders:
            continue
        path = stage_files(folders[identity["trial_key"]].replicate(identity["seed"])).get("best")
        if path and (identity["trial_id"], identity["seed"]) not in known:
            models.append(Model(identity, path, data_root, sources_in_use(), dataset))
    return models


def measure_model(job: Model) -> list[Row]:
    """Return the rows of one model's layers, and one of the whole model; runs in a worker process."""
    from analysis.behaviour.layers import measure_behaviour

    use_sources(job.sources)
    layers, whole = measure_behaviour(job.path, job.data_root, job.dataset)
    model = {"layer": "", "position": -1, "module_type": "", **whole}
    return [{**job.identity, **row} for row in (model, *layers)]
