"""Measures of the weights of whole runs: missing ones are taken by several processes, and saved as they come in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from analysis import table
from analysis.measures import MEASURES
from analysis.parallel.workers import run_jobs
from analysis.runs.lease import holding
from analysis.runs.run_folder import RunFolder
from analysis.weights.files import read_epoch
from analysis.weights.own_measures import add_measure, own_sources, use_measures
from analysis.weights.rows import STAGES, Row, measure_replicate, stage_files
from analysis.weights.weights_table import write_complexity
from trainables.errors import InputError, at_end, unknown_name
from trainables.user_code.source import Source, is_user_code

# Seconds between two savings of what has been measured.
SAVE_SECONDS = 30.0
IDENTITY = tuple(table.IDENTITY)
# Share of the time that goes into saving at most.
SAVE_SHARE = 0.05
# Trial, seed, stage.
Stage = tuple[str, int, str]


class MeasureJob(Protocol):
    """Work on one replicate."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """Return the replicate's columns of `IDENTITY`."""


J = TypeVar("J", bound=MeasureJob)


@dataclass(frozen=True)
class Replicate:
    """The measures to take of one replicate: files of the same measures together.

    parts: measures, and the files by stage. sources: the user's measures among them.
    """

    identity: Mapping[str, Any]
    folder: Path
    parts: tuple[tuple[tuple[str, ...], Mapping[str, Path]], ...]
    sources: Mapping[str, Source] = field(default_factory=dict)

    def files(self) -> dict[str, Path]:
        """Return the files that it reads; the initial weights always, which the others are compared with."""
        initial = stage_files(self.folder).get("initial")
        wanted = {path for _, files in self.parts for path in files.values()} | ({initial} if initial else set())
        return {path.name: path for path in sorted(wanted)}

    def moved(self, folder: Path) -> Replicate:
        """Return the job with its files in another folder."""
        parts = tuple((names, {s: folder / path.name for s, path in files.items()}) for names, files in self.parts)
        return replace(self, folder=folder, parts=parts)


@dataclass(frozen=True)
class Known:
    """The content of `weights.parquet` for one file of weights: its epoch, and two flags for each of `MEASURES`.

    lacking: a tensor lacks the measure. had: the first tensor has it.
    """

    epoch: int | None
    lacking: np.ndarray
    had: np.ndarray


@dataclass
class Measured:
    """The counts of a measured run, and a line for each problem."""

    tensors: int
    replicates: int
    problems: list[str]


def choose(measures: str | None, definition: str = "exact") -> list[str]:
    """Return the names of `default`, `all` or `a,b,c`; with definition="reference" that study's two.

    A user's own, FILE.py:NAME, is known as NAME from now on. Raises `InputError`.
    """
    if definition == "reference":
        if measures not in (None, "default"):
            raise InputError("--measures has no effect with --definition reference, two measures: leave it out")
        return ["lmc_reference", "sample_entropy_reference"]
    if definition != "exact":
        raise InputError(unknown_name("definition", definition, ("exact", "reference")))
    if measures in (None, "default"):
        return [name for name, measure in MEASURES.items() if measure.default]
    names = list(MEASURES) if measures == "all" else [name.strip() for name in str(measures).split(",")]
    names = [add_measure(name) if is_user_code(name) else name for name in names]
    for name in names:
        if name not in MEASURES:
            raise InputError(unknown_name("measure", name, ["all", "default", *MEASURES]))
    return names


@holding
def measure_run(
    run: RunFolder,
    measures: Sequence[str],
    every: int = 0,
    again: bool = False,
    workers: int = 1,
    address: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Measured:
    """Add measures to a run's `weights.parquet` and `trials.parquet`; what they hold already is kept, unless `again`.

    Saves every 30 s and when interrupted, so that the same call goes on where it was. Raises `InputError`.
    """
    if not run.trials_table.exists():
        raise InputError(f"{run.path} has no trials.parquet yet: measure it when its first trial has ended")
    jobs = list(missing(run, known_stages(run), measures, every, again))
    count, unsaved, metadata = 0, list[Row](), run.metadata()

    def add(job: Replicate, rows: Sequence[Row]) -> None:
        nonlocal count
        unsaved.extend({**job.identity, **row} for row in rows)
        count += len(rows)

    def save() -> None:
        write_complexity(run, unsaved, metadata)
        unsaved.clear()

    problems = measure_jobs(measure, jobs, add, save, workers, address, progress)
    return Measured(count, len(jobs), problems)


def measure_jobs(
    work: Callable[[J], list[Row]],
    jobs: Sequence[J],
    add: Callable[[J, list[Row]], None],
    save: Callable[[], None],
    workers: int,
    address: str | None,
    progress: Callable[[int, int], None],
) -> list[str]:
    """Do jobs side by side and hand each result to `add`; `save` every 30 s, less often where that takes long, and at
    any end.

    Returns a line for each job that failed.
    """
    problems: list[str] = []
    due, unsaved = time.monotonic() + SAVE_SECONDS, False
    with at_end(lambda: save() if unsaved else None):
        for done, (job, result) in enumerate(run_jobs(work, jobs, workers, address), start=1):
            if isinstance(result, InputError):
                problems.append(f"trial {job.identity['trial_id']}, seed {job.identity['seed']}: {result}")
            else:
                add(job, result)
                unsaved = True
            progress(done, len(jobs))
            began = time.monotonic()
            if unsaved and began >= due:
                save()
                ended, unsaved = time.monotonic(), False
                due = ended + max(SAVE_SECONDS, (ended - began) / SAVE_SHARE)
    return problems


def known_stages(run: RunFolder) -> dict[Stage, Known]:
    """Return what `weights.parquet` holds of each file of weights. Memory: flags of its rows, and not the rows."""
    if not run.weights_table.exists():
        return {}
    content = table.read_arrow(run.weights_table, "weights", ["trial_id", "seed", "stage", "epoch", *MEASURES])
    keys = list(zip(*(content[name].to_pylist() for name in ("trial_id", "seed", "stage")), strict=True))
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    owner = np.array([numbers[key] for key in keys], np.int64)
    missing = np.column_stack([content[name].is_null().to_numpy() for name in MEASURES])
    lacking = np.zeros((len(numbers), len(MEASURES)), bool)
    np.logical_or.at(lacking, owner, missing)
    first = np.unique(owner, return_index=True)[1]
    epochs = content["epoch"].take(first).to_pylist()
    return {key: Known(epochs[n], lacking[n], ~missing[first[n]]) for key, n in numbers.items()}


def missing(
    run: RunFolder, known: Mapping[Stage, Known], measures: Sequence[str], every: int, again: bool
) -> Iterator[Replicate]:
    """Yield the work that is left for each replicate with weights. Raises `InputError` where `every` finds nothing."""
    folders = run.trials_by_key()
    along = False
    for identity in table.read_arrow(run.trials_table).select(list(IDENTITY)).to_pylist():
        if identity["trial_key"] not in folders:
            continue
        folder = folders[identity["trial_key"]].replicate(identity["seed"])
        files = stage_files(folder, every)
        along = along or len(files) > len(STAGES)
        parts: dict[tuple[str, ...], dict[str, Path]] = {}
        for stage, path in files.items():
            have = known.get((identity["trial_id"], identity["seed"], stage))
            if wanted := tuple(measures) if again else due(have, path, measures):
                parts.setdefault(wanted, {})[stage] = path
        if parts:
            yield Replicate(identity, folder, tuple(parts.items()), own_sources(measures))
    if every and not along:
        raise InputError(
            f"{run.path} has no weights by epoch: leave out --every, or train with --set save_every={every}"
        )


def due(known: Known | None, path: Path, measures: Sequence[str]) -> tuple[str, ...]:
    """Return the measures that a file's rows lack; all of them where the rows are of an earlier epoch than the file."""
    if known is None:
        return tuple(measures)
    if known.epoch != read_epoch(path):
        return tuple(dict.fromkeys([*measures, *compress(MEASURES, known.had)]))
    lacking = set(compress(MEASURES, known.lacking))
    return tuple(name for name in measures if name in lacking)


def measure(job: Replicate) -> list[Row]:
    """Return the rows of one replicate; runs in a worker process."""
    use_measures(job.sources)
    return [row for measures, files in job.parts for row in measure_replicate(job.folder, measures, files)]
