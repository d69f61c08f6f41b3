"""The trials of one or more runs as one table, with the contexts in which they are comparable. Loads without pandas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from analysis import table
from analysis.arrays import text_array
from analysis.comparison.labels import Column, find_roles, hashable, join_texts, telling_fields
from analysis.comparison.trial_rows import keep_one_of_each, pool_replicates, with_endings
from analysis.runs.run_folder import RunFolder
from trainables.errors import InputError, unknown_name

if TYPE_CHECKING:
    import pandas as pd

Stopped = Literal["left-out", "equal-epochs"]
Judged = Literal["best", "last"]
GAPS = {"gap_acc": ("train_acc", "test_acc"), "gap_auc": ("train_auc", "test_auc")}


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
    trials = keep_one_of_each(with_endings(content, planned))
    fields = tuple(dict.fromkeys(name for each in metadata for name in table.config_fields(each)))
    columns = _columns(trials, fields)
    trials = trials.append_column("source", trials["trial"])
    if pool and (pooled := pool_replicates(trials, columns, planned)) is not trials:
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


def _columns(trials: pa.Table, fields: Sequence[str]) -> dict[str, Column]:
    return {name: list(map(hashable, trials[name].to_pylist())) for name in fields}


def _with_gaps(trials: pa.Table) -> pa.Table:
    for name, (train, test) in GAPS.items():
        trials = trials.append_column(name, pc.subtract(trials[train], trials[test]))
    return trials


def config_columns(results: Results) -> dict[str, Column]:
    """Return every config field of the trials, as values that can be keys."""
    return {name: list(map(hashable, results.table[name].to_pylist())) for name in results.fields}
