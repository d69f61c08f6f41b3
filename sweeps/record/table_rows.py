"""The results tables of trials, made column by column from their states: what grows with epochs is left to numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean
from typing import Any

import numpy as np
import pyarrow as pa

from analysis import table
from analysis.comparison.labels import show_value
from analysis.runs.run_folder import RunFolder
from sweeps.record.history import NUMBERS, QUALITIES, History
from sweeps.record.state import TrialState
from trainables.config import TrialConfig

Row = dict[str, Any]
# Trials whose rows are made at a time.
PART = 1000
TEXT, WHOLE, REAL = table.TEXT, table.WHOLE, table.REAL


def trials_table(run: RunFolder, trials: Iterable[TrialState], metadata: Mapping[str, Any]) -> pa.Table:
    """Return a row for each replicate of the trials that ended or were interrupted; what is measured later is empty."""
    shown = [trial for trial in trials if trial.ended or trial.status == "interrupted"]
    return _in_parts(lambda *part: _trials_part(run, metadata, *part), shown)


def _trials_part(
    run: RunFolder, metadata: Mapping[str, Any], shown: Sequence[TrialState], metrics: tuple[str, ...]
) -> pa.Table:
    counts = np.array([len(trial.config["seeds"]) for trial in shown], np.int64)
    owner, number = _numbered(counts)
    lines, first = Lines.of(shown, counts, metrics), np.cumsum(counts) - counts
    columns = {name: column.take(owner) for name, column in _columns_of_trials(run, shown, metadata).items()}
    columns |= _replicates(shown, owner, number)
    columns |= _results(lines, first[lines.trial] + lines.replicate, len(owner))
    return _in_schema("trials", columns, len(owner), metadata, lines.metrics)


def epochs_table(run: RunFolder, trials: Iterable[TrialState], metadata: Mapping[str, Any]) -> pa.Table:
    """Return a row for each replicate and epoch of the trials."""
    return _in_parts(lambda *part: _epochs_part(run, metadata, *part), [trial for trial in trials if trial.epoch])


def _epochs_part(
    run: RunFolder, metadata: Mapping[str, Any], shown: Sequence[TrialState], metrics: tuple[str, ...]
) -> pa.Table:
    lines = Lines.of(shown, np.array([len(trial.config["seeds"]) for trial in shown], np.int64), metrics)
    columns = {name: column.take(pa.array(lines.trial)) for name, column in _identity(run, shown).items()}
    columns |= _replicates(shown, lines.trial, lines.replicate)
    columns |= {name: pa.array(lines.column(name), REAL) for name in lines.names}
    columns["is_best"] = pa.array(lines.is_best)
    columns["images_trained"] = pa.array(lines.column("images_trained"), REAL).cast(WHOLE, safe=False)
    columns["epoch"] = pa.array(lines.epoch)
    columns["notes"] = _notes(shown, lines)
    return _in_schema("epochs", columns, len(lines.epoch), metadata, lines.metrics)


def _in_parts(
    make: Callable[[Sequence[TrialState], tuple[str, ...]], pa.Table], trials: Sequence[TrialState]
) -> pa.Table:
    """Make a table of some trials after the others: what all of them need at once would be a tenth of the memory."""
    metrics = tuple(dict.fromkeys(name for trial in trials for name in trial.history.metrics))
    starts = range(0, max(len(trials), 1), PART)
    return pa.concat_tables([make(trials[start : start + PART], metrics) for start in starts])


def identity(run: RunFolder, trial: TrialState, number: int, seed: int) -> Row:
    """Return the columns that name a replicate. Replicates that ran apart, `0007.0` and so on, belong to trial 0007."""
    trial_id, _, part = trial.trial_id.partition(".")
    names = {"sweep": run.sweep, "run_id": run.run_id, "trial_id": trial_id, "trial_key": trial.key}
    return {**names, "replicate": int(part) if part else number, "seed": seed}


@dataclass(frozen=True)
class Lines:
    """The histories of trials under one another. trial: its number, from 0; values: shape (lines, names)."""

    trial: np.ndarray
    epoch: np.ndarray
    replicate: np.ndarray
    values: np.ndarray
    names: tuple[str, ...] = NUMBERS
    metrics: tuple[str, ...] = QUALITIES

    @classmethod
    def of(cls, trials: Sequence[TrialState], replicates: np.ndarray, metrics: tuple[str, ...]) -> Lines:
        """Return the lines of trials. replicates: how many each has, by its config. metrics: those of the whole run."""
        widths = np.array([trial.history.replicates for trial in trials], np.int64)
        names = tuple(dict.fromkeys((*NUMBERS, *metrics)))
        parts = [_values(trial.history, names) for trial in trials if trial.history.values]
        values = np.concatenate(parts) if parts else np.empty(0)
        trial, within = _numbered(np.array([trial.epoch for trial in trials], np.int64) * widths)
        epoch, replicate, values = within // widths[trial] + 1, within % widths[trial], values.reshape(-1, len(names))
        known = replicate < replicates[trial]
        if not known.all():
            trial, epoch, replicate, values = trial[known], epoch[known], replicate[known], values[known]
        return cls(trial, epoch, replicate, values, names, metrics)

    def column(self, name: str) -> np.ndarray:
        """Return the numbers of one name, for each line."""
        return self.values[:, self.names.index(name)]

    @property
    def is_best(self) -> np.ndarray:
        """Return whether each line was the best of its replicate so far."""
        best: np.ndarray = self.column("is_best") == 1
        return best


def _values(history: History, names: tuple[str, ...]) -> np.ndarray:
    """Return a history's numbers, flat, with a place for each of the names."""
    values = np.frombuffer(history.values, np.float64)
    if history.names == names:
        return values
    whole = np.full((len(values) // len(history.names), len(names)), np.nan)
    whole[:, [names.index(name) for name in history.names]] = values.reshape(-1, len(history.names))
    return whole.ravel()


def _numbered(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For `counts` items of each owner: the owner of each item, and its number among its owner's."""
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)


def _in_schema(
    kind: table.Kind, columns: Mapping[str, pa.Array], rows: int, metadata: Mapping[str, Any], metrics: Sequence[str]
) -> pa.Table:
    """Return the columns in the table's order; those that are not there yet are NaN, or null where they may be."""
    schema = table.schema(kind, metadata, metrics)
    later = {True: pa.nulls(rows, REAL), False: pa.array(np.full(rows, np.nan))}
    return pa.Table.from_arrays([columns.get(f.name, later[f.nullable]) for f in schema], schema=schema)


def _columns_of_trials(
    run: RunFolder, trials: Sequence[TrialState], metadata: Mapping[str, Any]
) -> dict[str, pa.Array]:
    """Return the columns that are the same for all replicates of a trial."""
    columns = {**table.columns("trials"), **table.columns_of("trials", metadata)}
    # a ledger of an earlier version lacks fields that came later; a user's own field has no default of ours
    defaults = {name: value for name, value in _defaults().items() if name not in table.own_fields(metadata)}
    config = {
        name: _as_column([trial.config.get(name, defaults.get(name)) for trial in trials], columns[name].type)
        for name in table.config_fields(metadata)
    }
    values = {
        "status": [trial.status for trial in trials],
        "stop_reason": [trial.stop_reason for trial in trials],
        "folder": [f"trials/{trial.folder}" if trial.folder else None for trial in trials],
        "changes": ["; ".join(map(_change, trial.changes)) or None for trial in trials],
        **config,
        "parameters": [trial.parameters for trial in trials],
        "macs": [trial.macs for trial in trials],
        "peak_memory_mb": [trial.memory_mb or np.nan for trial in trials],
        "gpu_percent": [fmean(trial.gpu_percents) if trial.gpu_percents else None for trial in trials],
        "attempts": [trial.attempts for trial in trials],
    }
    return _identity(run, trials) | {name: pa.array(part, columns[name].type) for name, part in values.items()}


@cache
def _defaults() -> dict[str, Any]:
    return {name: field.get_default(call_default_factory=True) for name, field in TrialConfig.model_fields.items()}


def _as_column(values: list[Any], kind: pa.DataType) -> list[Any]:
    """Return values of a config as their column holds them: anything but a text as its text where the column is one."""
    if kind != TEXT:
        return values
    return [value if value is None or isinstance(value, str) else show_value(value) for value in values]


def _change(change: Row) -> str:
    """Return `after epoch 4: weights of 0003, lr=0.012`."""
    values = ", ".join(f"{name}={show_value(value)}" for name, value in change["values"].items())
    return f"after epoch {change['epoch']}: weights of {change['donor']}, {values}"


def _identity(run: RunFolder, trials: Sequence[TrialState]) -> dict[str, pa.Array]:
    return {
        "sweep": pa.array([run.sweep] * len(trials), TEXT),
        "run_id": pa.array([run.run_id] * len(trials), TEXT),
        "trial_id": pa.array([trial.trial_id.partition(".")[0] for trial in trials], TEXT),
        "trial_key": pa.array([trial.key for trial in trials], TEXT),
    }


def _replicates(trials: Sequence[TrialState], owner: np.ndarray, number: np.ndarray) -> dict[str, pa.Array]:
    """Return the numbers and seeds of replicates. One that ran apart has its number in its trial's id."""
    parts = [trial.trial_id.partition(".")[2] for trial in trials]
    apart = np.array([int(part) if part else -1 for part in parts], np.int64)[owner]
    seeds = [trial.config["seeds"] for trial in trials]
    return {
        "replicate": pa.array(np.where(apart >= 0, apart, number), WHOLE),
        "seed": pa.array([seeds[i][n] for i, n in zip(owner.tolist(), number.tolist(), strict=True)], WHOLE),
    }


def _results(lines: Lines, row: np.ndarray, rows: int) -> dict[str, pa.Array]:
    """Return the results of each replicate. row: the number of each line's row in the table of trials."""
    best, last = np.full((2, rows), -1)
    # of equal indices the last one counts: the last epoch that was the best so far
    best[row[lines.is_best]] = np.flatnonzero(lines.is_best)
    last[row] = np.arange(len(row))

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(row, values, rows)

    images, seconds = total(lines.column("images_trained")), total(lines.column("train_seconds"))
    # early stopping leaves idle epochs, in which no time was spent
    trained = total((lines.column("images_trained") > 0) | (lines.column("train_seconds") > 0)).astype(np.int64)
    columns = {"epochs_trained": pa.array(trained), "best_epoch": _taken(lines.epoch, best)}
    for name in (*QUALITIES, *(name for name in lines.metrics if name not in QUALITIES)):
        columns[name] = pa.array(_reached(lines.column(name), best))
        columns[f"final_{name}"] = pa.array(_reached(lines.column(name), last))
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(seconds > 0, images / seconds, np.nan)
    return columns | {
        "train_seconds": pa.array(seconds),
        "eval_seconds": pa.array(total(lines.column("eval_seconds"))),
        "images_per_second": pa.array(rate),
    }


def _taken(values: np.ndarray, where: np.ndarray) -> pa.Array:
    """Values at indices; null where there is none (-1)."""
    return pa.array(values).take(pa.array(where, mask=where < 0))


def _reached(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Values at indices; NaN where there is none (-1)."""
    found: np.ndarray = np.append(values, np.nan)[where]
    return found


def _notes(trials: Sequence[TrialState], lines: Lines) -> pa.Array:
    """Return the notes of each line, as a rule empty."""
    texts = np.full(len(lines.epoch), "", object)
    for owner in (number for number, trial in enumerate(trials) if trial.history.notes):
        start, end = np.searchsorted(lines.trial, [owner, owner + 1])
        for line in range(start, end):
            where = int(lines.epoch[line]), int(lines.replicate[line])
            texts[line] = trials[owner].history.notes.get(where, "")
    return pa.array(texts, TEXT)
