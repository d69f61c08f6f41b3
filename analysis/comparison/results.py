"""The trials of one or more runs as one table, with the contexts in which they are comparable. Loads without pandas."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis import table
from analysis.arrays import flag_array, text_array
from analysis.comparison.labels import Column, find_roles, hashable, join_texts, telling_fields
from analysis.runs.run_folder import RunFolder
from analysis.trial_status import BY_REQUEST, trained_to_its_end
from analysis.weights.model_columns import last_means
from trainables.errors import InputError, unknown_name

if TYPE_CHECKING:
    import pandas as pd

Stopped = Literal["left-out", "equal-epochs"]
Judged = Literal["best", "last"]
GAPS = {"gap_acc": ("train_acc", "test_acc"), "gap_auc": ("train_auc", "test_auc")}
# A trial whose replicates ended differently has ended as the first of these that one of them has.
WORST_FIRST = ("failed", "diverged", "interrupted", "stopped", "completed")


@dataclass(frozen=True)
class Results:
    """Several runs as one.

    table: one row per trial and replicate, and besides the columns of `trials.parquet`: `trial` (unique over runs; one
    for all replicates of a setting), `source` (the trial that trained the replicate, where `trial` is another), `value`
    and `block` (texts: the scientific value, and the context within which values are compared), `ended` (how the trial
    ended as a whole), `finished` (every replicate was trained as long as it was to be), `gap_acc` and
    `gap_auc` (train less test). fields: the columns that hold the trials' configs.
    equal_epochs: epochs of each block, where trials are compared at equal epochs. epoch: the epoch of each trial that
    metrics and measures are of.
    """

    runs: tuple[RunFolder, ...]
    metadata: tuple[Mapping[str, Any], ...]
    table: pa.Table
    scientific: tuple[str, ...]
    nuisance: tuple[str, ...]
    context: tuple[str, ...]
    metric: str
    mode: str
    fields: tuple[str, ...]
    equal_epochs: Mapping[str, int] | None = None
    epoch: Judged = "best"

    @cached_property
    def trials(self) -> pd.DataFrame:
        """Return the table as a pandas frame."""
        return self.table.to_pandas()

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """Return the metrics that a trial of these runs has reported."""
        names = self.table.column_names
        there = (name for name in names if f"final_{name}" in names)
        return tuple(name for name in there if self.table[name].null_count < len(self.table))

    @property
    def blocks(self) -> list[str]:
        """Return the contexts within which values are compared."""
        return list(dict.fromkeys(self.table["block"].to_pylist()))

    @property
    def values(self) -> list[str]:
        """Return the scientific values, in the order in which every figure colours them."""
        return list(dict.fromkeys(self.table["value"].to_pylist()))

    def frame(
        self, kind: table.Kind, names: Sequence[str] | None = None, stages: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """Return the trials' epochs or weights, with `trial`, `value` and `block`; empty where there are none.

        names: the columns to read besides those that name a replicate (None: all). stages: of weights, those to read.
        """
        import pandas as pd

        wanted = None if names is None else list(dict.fromkeys((*table.IDENTITY, *names)))
        frames = [table.read(file, kind, wanted, stages) for file in self._files(kind)]
        settings = self.trials[["source", "seed", "trial", "value", "block"]]
        if not frames:
            return pd.DataFrame(columns=[*table.columns(kind), "trial", "value", "block"])
        joined = pd.concat(frames, ignore_index=True)
        joined["source"] = joined["sweep"] + "/" + joined["run_id"] + "/" + joined["trial_id"]
        return joined.merge(settings, on=["source", "seed"]).drop(columns="source")

    def _files(self, kind: table.Kind) -> list[Path]:
        return [file for run in self.runs if (file := getattr(run, f"{kind}_table")).exists()]


def load(runs: Sequence[RunFolder], metric: str | None = None, *, pool: bool = True) -> Results:
    """Read the trials of all runs; of a trial that stands in several runs one is kept. Raises `InputError`.

    pool: make one trial of those that differ by their seeds alone; else each is as its run trained it.
    """
    there = [run for run in runs if run.trials_table.exists()]
    there.sort(key=lambda run: run.trials_table.stat().st_mtime_ns)
    # A run that was copied stands twice: the newest copy is read.
    contents = {
        _name_of(content): (run, content) for run in there if len(content := table.read_arrow(run.trials_table))
    }
    if not contents:
        raise InputError(f"{', '.join(str(run.path) for run in runs)}: no trial has ended yet")
    metadata = tuple(table.metadata(content, run.trials_table) for run, content in contents.values())
    metric, mode = _metric(metadata, [content for _, content in contents.values()], metric)
    planned = dict(zip(contents, metadata, strict=True))
    content = table.complete([content for _, content in contents.values()], "trials")
    trials = _keep_one_of_each(_with_endings(content, planned))
    fields = tuple(dict.fromkeys(name for each in metadata for name in table.config_fields(each)))
    columns = _columns(trials, fields)
    trials = trials.append_column("source", trials["trial"])
    if pool and (pooled := _pool_replicates(trials, columns, planned)) is not trials:
        trials, columns = pooled, _columns(pooled, fields)
    roles = find_roles(columns, trials["run_id"].to_pylist(), metadata)
    context = telling_fields(columns, roles.context)
    if "dataset" in columns and "dataset" not in (*context, *roles.scientific):
        # Worth naming also where there is but one.
        context.insert(0, "dataset")
    trials = trials.append_column("value", text_array(join_texts(columns, roles.scientific, len(trials))))
    trials = trials.append_column("block", text_array(join_texts(columns, context, len(trials), named=True)))
    _check_settings(trials)
    kept = tuple(run for run, _ in contents.values())
    trials = _with_gaps(trials)
    return Results(kept, metadata, trials, roles.scientific, roles.nuisance, roles.context, metric, mode, fields)


def _check_settings(trials: pa.Table) -> None:
    """Raise `InputError` where rows of one trial are of several values: the table is damaged."""
    settings: dict[str, tuple[str, str]] = {}
    for name, *setting in zip(*(trials[name].to_pylist() for name in ("trial", "value", "block")), strict=True):
        if settings.setdefault(name, tuple(setting)) != tuple(setting):
            raise InputError(f"trials.parquet: trial {name} has rows of several settings: restore it, or move it away")


def _name_of(content: pa.Table) -> tuple[str, str]:
    return content["sweep"][0].as_py(), content["run_id"][0].as_py()


def _metric(metadata: Sequence[Mapping[str, Any]], contents: Sequence[pa.Table], wanted: str | None) -> tuple[str, str]:
    """Return the metric that selects, and its mode. Raises `InputError` for one that no run reports."""
    metrics = {each["metric"] for each in metadata}
    metric = wanted or min(metrics)
    known = [name.removeprefix("final_") for each in contents for name in each.column_names if name[:6] == "final_"]
    allowed = list(dict.fromkeys(name for name in known if name.startswith("val_")))
    if metric not in allowed:
        raise InputError(unknown_name("metric", metric, allowed) + "; nothing is ever selected by test")
    if len(metrics) > 1 and wanted is None:
        raise InputError(f"the runs were selected by {' and '.join(sorted(metrics))}: say which by --metric")
    modes = {each.get("mode") for each in metadata if each["metric"] == metric}
    return metric, str(modes.pop()) if len(modes) == 1 else "min" if metric.endswith("loss") else "max"


def _with_endings(trials: pa.Table, planned: Mapping[tuple[str, str], Mapping[str, Any]]) -> pa.Table:
    """Add `trial`, `ended` and `finished`, which are the same in all rows of a trial.

    planned: what each run's table says of itself: where replicates ran apart, a trial has one for each of its seeds.
    """
    rows = trials.select(["sweep", "run_id", "trial_id", "status", "stop_reason", "seeds"]).to_pylist()
    groups: dict[str, list[dict[str, Any]]] = {}
    names = [f"{row['sweep']}/{row['run_id']}/{row['trial_id']}" for row in rows]
    for name, row in zip(names, rows, strict=True):
        groups.setdefault(name, []).append(row)
    ended = {name: _worst([row["status"] for row in part]) for name, part in groups.items()}
    finished = {
        name: len(part) >= _replicates(part[0], planned.get((part[0]["sweep"], part[0]["run_id"]), {}))
        and all(trained_to_its_end(row["status"], row["stop_reason"]) for row in part)
        for name, part in groups.items()
    }
    trials = trials.append_column("trial", text_array(names))
    trials = trials.append_column("ended", text_array([ended[name] for name in names]))
    return trials.append_column("finished", flag_array([finished[name] for name in names]))


def _worst(statuses: Sequence[str]) -> str:
    return min(statuses, key=lambda status: WORST_FIRST.index(status) if status in WORST_FIRST else 0)


def _replicates(row: Mapping[str, Any], planned: Mapping[str, Any]) -> int:
    if planned.get("replicates") == "apart":
        return len(planned.get("seeds") or ())
    return len(row["seeds"] or ())


def _keep_one_of_each(trials: pa.Table) -> pa.Table:
    """Drop what stands twice: kept is the trial that was trained to its end, and of equals the newest.

    A trial whose values a population changed on the way never stands for one that kept its own.
    """
    keys = zip(trials["trial_key"].to_pylist(), trials["seed"].to_pylist(), strict=True)
    changes, finished = trials["changes"].to_pylist(), trials["finished"].to_pylist()
    groups: dict[str, list[tuple[int, Any]]] = {}
    for row, (name, key) in enumerate(zip(trials["trial"].to_pylist(), keys, strict=True)):
        groups.setdefault(name, []).append((row, key))

    def rank(name: str) -> tuple[bool, bool, int, int]:
        row = groups[name][0][0]
        return changes[row] is None, finished[row], len(groups[name]), row

    kept, taken = set[int](), set[Any]()
    for name in sorted(groups, key=rank, reverse=True):
        kept.update(row for row, key in groups[name] if key not in taken)
        taken |= {key for _, key in groups[name]}
    return trials.filter(flag_array([row in kept for row in range(len(trials))]))


def _columns(trials: pa.Table, fields: Sequence[str]) -> dict[str, Column]:
    return {name: list(map(hashable, trials[name].to_pylist())) for name in fields}


def _pool_replicates(
    trials: pa.Table, columns: Mapping[str, Column], planned: Mapping[tuple[str, str], Mapping[str, Any]]
) -> pa.Table:
    """Make one trial of finished ones that differ by their seeds alone, as where a run was extended by seeds.

    Else a setting would stand twice, and the luckier one would be chosen. A seed that several have is taken from the
    one with most replicates, the newest of equals. Only trials of equal data and code are made one.
    """
    vary = [values for name, values in columns.items() if name != "seeds" and len(set(values)) > 1]
    rows = trials.select(["trial", "seed", "sweep", "run_id", "ended", "finished", "changes"]).to_pylist()
    datasets = columns.get("dataset", [None] * len(rows))
    origins = {name: _origin(metadata) for name, metadata in planned.items()}
    groups: dict[Any, dict[str, list[int]]] = {}
    for number, (row, dataset, *setting) in enumerate(zip(rows, datasets, *vary, strict=True)):
        digests, code = origins[row["sweep"], row["run_id"]]
        key = (*setting, digests.get(dataset), code, row["trial"] if row["changes"] else None)
        groups.setdefault(key, {}).setdefault(row["trial"], []).append(number)
    kept, into = set(range(len(rows))), list(range(len(rows)))
    for parts in groups.values():
        whole = sorted(
            (n for n in parts.values() if rows[n[0]]["finished"]), key=lambda n: (len(n), n[0]), reverse=True
        )
        if len(parts) > 1 and whole:
            kept.difference_update(*parts.values())
            newest = {rows[number]["seed"]: number for numbers in reversed(whole) for number in numbers}
            kept.update(newest.values())
            for number in newest.values():
                into[number] = whole[0][0]
    if len(kept) == len(rows) and into == list(range(len(rows))):
        return trials
    for name in ("trial", "ended"):
        texts = text_array([rows[number][name] for number in into])
        trials = trials.set_column(trials.schema.get_field_index(name), name, texts)
    return trials.filter(flag_array([number in kept for number in range(len(rows))]))


def _origin(metadata: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """Return the digests of a run's datasets, and one text for those of its code."""
    digests, provenance = metadata.get("datasets"), metadata.get("provenance")
    code = provenance.get("code_digest") if isinstance(provenance, dict) else None
    return digests if isinstance(digests, dict) else {}, json.dumps([code, metadata.get("code")], sort_keys=True)


def _with_gaps(trials: pa.Table) -> pa.Table:
    for name, (train, test) in GAPS.items():
        trials = trials.append_column(name, pc.subtract(trials[train], trials[test]))
    return trials


def at_last_epoch(results: Results) -> Results:
    """Replace metrics, gaps and the complexity of the model by those after the last epoch.

    So trials of equal length are compared after equally many epochs, and no gap is narrowed by the choice of an epoch.
    A measure is NaN where the final weights were not measured. Activations and sharpness are NaN, too: they are
    measured on the best weights alone.
    """
    content = results.table
    for name in results.metrics:
        content = _set(content, name, content[f"final_{name}"])
    for name, (train, test) in GAPS.items():
        content = _set(content, name, pc.subtract(content[train], content[test]))
    content = _set(content, "best_epoch", content["epochs_trained"])
    taken = {*results.metrics, *results.fields}
    measures = [name for name in (*table.model_measures(), *table.OF_MODELS) if name in content.column_names]
    for name, values in _measured(results, [name for name in measures if name not in taken]).items():
        content = _set(content, name, pa.array(values))
    return replace(results, table=content, epoch="last")


def _measured(results: Results, measures: list[str]) -> dict[str, np.ndarray]:
    names = [results.table[name].to_pylist() for name in ("sweep", "run_id", "trial_id", "seed")]
    keys = list(zip(*names, strict=True))
    found = {name: np.full(len(keys), np.nan) for name in measures}
    for run in results.runs:
        means = last_means(run)
        if not means.rows:
            continue
        # a run that was copied keeps the names that its tables have
        identity = table.read_arrow(run.weights_table, "weights", ("sweep", "run_id")).slice(0, 1).to_pylist()[0]
        for row, key in enumerate(keys):
            model = means.rows.get(key[2:]) if key[:2] == (identity["sweep"], identity["run_id"]) else None
            for name in measures if model is not None else ():
                value = means.columns[name][model].as_py() if name in means.columns else None
                found[name][row] = np.nan if value is None else value
    return found


def _set(content: pa.Table, name: str, values: pa.ChunkedArray | pa.Array) -> pa.Table:
    return content.set_column(content.schema.get_field_index(name), name, values)


def config_columns(results: Results) -> dict[str, Column]:
    """Return every config field of the trials, as values that can be keys."""
    return {name: list(map(hashable, results.table[name].to_pylist())) for name in results.fields}


def with_stopped(results: Results, stopped: Stopped) -> Results:
    """Leave out trials that a rung stopped, or judge all trials by what they had reached at equal epochs.

    Equal epochs: in each block, the fewest that a trial which neither failed nor diverged was trained; every replicate
    stands for the epoch up to there whose weights would have been kept. A trial that somebody stopped by hand is left
    out either way: all others would be judged by how far it had come. Raises `InputError` for other words.
    """
    if stopped == "left-out":
        return results
    if stopped != "equal-epochs":
        raise InputError(unknown_name("way with stopped trials", stopped, ("left-out", "equal-epochs")))
    by_hand = results.trials["stop_reason"].fillna("").str.startswith(BY_REQUEST)
    asked = results.trials["trial"].isin(results.trials.loc[by_hand, "trial"])
    trials = results.trials[results.trials["ended"].isin(["completed", "stopped"]) & ~asked]
    limits = trials.groupby("block", sort=False)["epochs_trained"].min().clip(lower=1)
    epochs = results.frame("epochs", ["epoch", "is_best", *results.metrics])
    if epochs.empty:
        raise InputError("equal-epochs needs the run's epochs.parquet, which is not there: use left-out")
    epochs = epochs[(epochs["epoch"] <= epochs["block"].map(limits)) & epochs["is_best"].astype(bool)]
    kept = epochs.sort_values("epoch").drop_duplicates(["trial", "seed"], keep="last").set_index(["trial", "seed"])
    frame = trials.set_index(["trial", "seed"])
    for name in results.metrics:
        frame[name] = kept[name].reindex(frame.index)
    frame["best_epoch"] = kept["epoch"].reindex(frame.index)
    frame["epochs_trained"] = frame["block"].map(limits)
    frame["finished"] = True
    for name, (train, test) in GAPS.items():
        frame[name] = frame[train] - frame[test]
    content = pa.Table.from_pandas(frame.reset_index(), preserve_index=False)
    return replace(results, table=content, equal_epochs={str(k): int(v) for k, v in limits.items()})
