"""The epoch that trials are judged at: their last one, or equal epochs where some were stopped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis import table
from analysis.comparison.results import GAPS, Results, Stopped
from analysis.trial_status import BY_REQUEST
from analysis.weights.model_columns import last_means
from trainables.errors import InputError, unknown_name


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
