"""After training: complexity, figures and `run_stats.json` of each trial, over Ray's workers; then the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from analysis import table
from analysis.behaviour.layer_statistics import layer_statistics
from analysis.runs.run_folder import RunFolder
from analysis.weights.files import read_tensors
from analysis.weights.rows import measure_replicate
from analysis.weights.weights_table import add_weights, known_trials
from sweeps.record.epoch_events import EpochEvents
from sweeps.record.outcome import Outcome
from sweeps.record.state import RunState, TrialState
from sweeps.record.table_rows import identity, trials_table
from sweeps.record.trial_files import draw, kept_weights, write_run_stats
from sweeps.running.file_server import ServedFolder, borrowed_folder
from trainables.errors import InputError, at_end
from trainables.trainable import Prepared, Trainable
from trainables.user_code.in_use import sources_in_use, use_sources
from trainables.user_code.source import Source

Row = dict[str, Any]


# Seconds between two savings of what has been measured.
SAVE_SECONDS = 30.0
# Share of the time that goes into saving at most.
SAVE_SHARE = 0.05
# Rows of weights that may be unsaved, or a tenth of those that are saved.
ROWS_HELD = 50_000
# Trials for each processor that are handed out at a time.
AHEAD = 2


@dataclass(frozen=True)
class WorkerContext:
    """The means to measure a trial on a worker.

    client: set if workers may not share the driver's file system; they then get the data that `prepared` has.
    """

    trainable: Trainable
    data_root: Path | None = None
    client: ServedFolder | None = None
    prepared: Prepared | None = None
    _in_store: dict[int, Any] = field(default_factory=dict)

    def data_of(self, trial: TrialState) -> Any:
        """Return a reference to what measuring a trial needs, put into Ray's store once; None where workers load it."""
        import ray

        if not (self.client and self.prepared):
            return None
        data = self.prepared.for_measuring(self.trainable.make(trial.config))
        if data is not None and id(data) not in self._in_store:
            self._in_store[id(data)] = ray.put(data)
        return self._in_store.get(id(data))


@dataclass(frozen=True)
class Shared:
    """The things that measuring needs of all trials alike.

    metadata: what the run's tables say of themselves. title: the fields that name a trial in a figure. has_network: its
    layers can be measured. sources: the user's code that they need.
    """

    run: RunFolder
    metadata: Mapping[str, Any]
    title: tuple[str, ...]
    has_network: bool
    sources: Mapping[str, Source] = field(default_factory=dict)


def _shared(run: RunFolder, metadata: Mapping[str, Any], trainable: Trainable) -> Shared:
    title = trainable.title or _varied(metadata)
    return Shared(run, metadata, title, trainable.has_network, sources_in_use())


@dataclass
class UnsavedWeights:
    """Rows of `weights.parquet` that are not on the disk yet; few enough for the memory, often enough for a crash."""

    run: RunFolder
    parts: list[pa.Table] = field(default_factory=list)
    saved_rows: int = 0
    due: float = field(default_factory=lambda: time.monotonic() + SAVE_SECONDS)

    def add(self, rows: pa.Table) -> None:
        """Take the rows of a trial, and save where enough is unsaved or enough time has gone."""
        self.parts.append(rows)
        if time.monotonic() >= self.due or sum(map(len, self.parts)) > max(ROWS_HELD, self.saved_rows // 10):
            self.save()

    def save(self) -> None:
        """Write what is unsaved."""
        if self.parts:
            began = time.monotonic()
            rows = pa.concat_tables(self.parts)
            add_weights(self.run, rows)
            self.saved_rows, self.parts = self.saved_rows + len(rows), []
            ended = time.monotonic()
            self.due = ended + max(SAVE_SECONDS, (ended - began) / SAVE_SHARE)


def measure_trials(
    run: RunFolder,
    state: RunState,
    metadata: Mapping[str, Any],
    progress: Callable[[int, int], None],
    context: WorkerContext,
    stop_requested: Callable[[], bool] = lambda: False,
) -> list[str]:
    """Measure and draw the trials that have ended and were not measured yet, into `weights.parquet` and their folders.

    Returns a line for each trial that could not be measured. What was measured is saved now and then, and when a stop
    is requested. A measured trial is one with rows in `weights.parquet`; deleting that file measures everything again.
    """
    import ray

    known = known_trials(run)
    todo = [trial for trial in state.trials.values() if trial.ended and trial.epoch and trial.key not in known]
    epochs = EpochEvents(run.ledger, [trial.trial_id for trial in todo])
    task = ray.remote(num_cpus=1)(measure_trial)
    shared = ray.put(_shared(run, metadata, context.trainable)) if todo else None
    most, coming = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1))), iter(todo)
    waiting: dict[Any, TrialState] = {}
    problems: list[str] = []
    unsaved, done = UnsavedWeights(run), 0
    with at_end(unsaved.save):
        while not stop_requested():
            for trial in islice(coming, most - len(waiting)):
                own, rows = context.data_of(trial), epochs.of(trial.trial_id)
                waiting[task.remote(shared, trial, rows, context.data_root, context.client, own)] = trial
            if not waiting:
                break
            ready, _ = ray.wait(list(waiting), num_returns=1, timeout=1.0)
            for reference in ready:
                trial = waiting.pop(reference)
                try:
                    unsaved.add(ray.get(reference))
                # one trial's figures must not cost the others theirs
                except ray.exceptions.RayError as error:
                    cause = str(error).strip().splitlines()[-1]
                    problems.append(f"trial {trial.trial_id} could not be measured: {cause}")
                done += 1
                progress(done, len(todo))
    if done < len(todo):
        problems.append(f"interrupted: measured the weights of {done} of {len(todo)} trials; --resume does the rest")
    return problems


def measure_trial(
    shared: Shared,
    trial: TrialState,
    epochs: list[list[Row]],
    data_root: Path | None,
    client: ServedFolder | None = None,
    data: Any = None,
) -> pa.Table:
    """Draw a trial's figures, write its `run_stats.json` and return its rows of `weights.parquet`.

    epochs: the ledger's, [epoch][replicate]. data: loaded where None.
    """
    use_sources(shared.sources)
    run = shared.run
    with borrowed_folder(run, run.trial(trial.folder).path, client) as seen:
        rows = _measure_trial(replace(shared, run=seen), trial, epochs, data_root, data)
    return pa.Table.from_pylist(rows, schema=table.schema("weights", shared.metadata))


def _measure_trial(
    shared: Shared, trial: TrialState, epochs: list[list[Row]], data_root: Path | None, data: Any
) -> list[Row]:
    run, metadata = shared.run, shared.metadata
    folder = run.trial(trial.folder)
    rows: list[Row] = []
    # layers and figures are of the first replicate
    read_first = cache(read_tensors)
    for number, seed in enumerate(trial.config["seeds"]):
        measured = measure_replicate(folder.replicate(seed), read=cache(read_tensors) if number else read_first)
        rows += [{**identity(run, trial, number, seed), **row} for row in measured]
    results = trials_table(run, [trial], metadata).to_pylist()
    kept = kept_weights(folder, trial.config["seeds"][0])
    layers = {}
    if kept and shared.has_network:
        layers = layer_statistics(kept, data_root, data=data, read=read_first, dataset=trial.config.get("dataset"))
    write_run_stats(folder, trial, epochs, results, rows, layers, metadata)
    draw(run, trial, results, metadata, shared.title, read_first)
    return rows


def _varied(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the fields that a run varies."""
    roles = metadata.get("roles", {})
    return (*roles.get("scientific", {}), *roles.get("nuisance", {}))


def with_report(outcome: Outcome) -> Outcome:
    """Write `report.html` of a run that has ended, and say in its outcome where, or why not.

    Figures as files, which take three times as long, are left to `python -m analysis.report`.
    """
    if outcome.signal is not None:
        return outcome
    run = outcome.run
    try:
        from analysis.page.write import write_report

        page = write_report([run], run.path / "report.html", None)
    except KeyboardInterrupt:
        return replace(outcome, report="left out at your Ctrl-C")
    except InputError as error:
        return replace(outcome, report=f"not written: {error}")
    # a figure that cannot be drawn must not cost a run its exit code
    except Exception as error:
        return replace(outcome, report=f"not written ({type(error).__name__}: {' '.join(str(error).split())[:200]})")
    return replace(outcome, report=str(page))
