"""The files that a trial gets once it has been measured: `run_stats.json` and its figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.comparison.labels import show_value
from analysis.figures import trial as plots
from analysis.figures.small_charts import draw_png
from analysis.runs.run_folder import RunFolder, TrialFolder
from analysis.statistics.estimates_and_tests import mean_interval
from analysis.weights.files import Reader, read_tensors
from analysis.weights.rows import read_weights
from sweeps.record.state import TrialState
from sweeps.record.table_rows import epochs_table
from trainables.atomic_files import write_atomically
from trainables.json_values import as_json_value
from trainables.training.replicates import by_layer

Row = dict[str, Any]


def write_run_stats(
    folder: TrialFolder,
    trial: TrialState,
    epochs: Sequence[Sequence[Row]],
    results: Sequence[Row],
    rows: Sequence[Row],
    layers: Mapping[str, Any],
    metadata: Mapping[str, Any],
) -> None:
    """Write `run_stats.json`: config, history by epoch, results, statistics of the weights and layers."""
    stats = {
        "trial_id": trial.trial_id,
        "trial_key": trial.key,
        "status": trial.status,
        "stop_reason": trial.stop_reason,
        "config": trial.config,
        "parameters": trial.parameters,
        "macs": trial.macs,
        "results": {name: _spread([row[name] for row in results]) for name in trial.history.metrics},
        "replicates": [
            _replicate([epoch[n] for epoch in epochs], row, trial.history.metrics) for n, row in enumerate(results)
        ],
        "weight_statistics": [_statistics(row) for row in rows if row["stage"] in ("best", "final")],
        "layers": layers,
        "provenance": metadata.get("provenance", {}),
    }
    write_atomically(folder.run_stats, json.dumps(as_json_value(stats), indent=1).encode(), durable=False)


def _spread(values: Sequence[float]) -> dict[str, float]:
    found = mean_interval(values)
    return {"mean": found.mean, "interval_95": found.half_width, "n": found.n}


def _replicate(history: Sequence[Row], row: Row, metrics: Sequence[str]) -> Row:
    names = ("epoch", "lr_used", *metrics)
    return {
        "seed": row["seed"],
        "best_epoch": row["best_epoch"],
        "epochs_trained": row["epochs_trained"],
        **{name: row[name] for name in metrics},
        "history": {name: [values.get(name) for values in history] for name in names},
        "gradient_norms": by_layer([values.get("gradient_norms") or {} for values in history]),
        "learned": by_layer([values.get("learned") or {} for values in history]),
    }


def _statistics(row: Row) -> Row:
    where = {name: row[name] for name in ("seed", "stage", "tensor", "module_type", "shape")}
    return {**where, **{name: value for name, value in row.items() if name.startswith("weight_")}}


def draw(
    run: RunFolder, trial: TrialState, results: Sequence[Row], metadata: Mapping[str, Any], named_by: Sequence[str],
    read: Reader = read_tensors,
) -> None:  # fmt: skip
    """Draw `training_curves.png` of all replicates and `weight_distributions.png` of the first.

    named_by: the fields whose values make the title.
    """
    folder = run.trial(trial.folder)
    title = ", ".join(_setting(name, trial.config[name]) for name in named_by if name in trial.config)
    bests = [row["best_epoch"] for row in results if row["best_epoch"]]
    epochs = epochs_table(run, [trial], metadata).to_pylist()
    seeds = trial.config["seeds"]
    shade = f"mean and range of {len(seeds)} seeds" if len(seeds) > 1 else ""
    curves = plots.training_curves(epochs, bests, trial.history.metrics)
    _write(folder.training_curves, draw_png(curves, title, shade, "best epoch of a seed"))
    before, after = folder.initial_model(seeds[0]), kept_weights(folder, seeds[0])
    if after is not None:
        tensors = read_weights(before, read)[0] if before.exists() else {}
        _write(folder.weight_distributions, draw_png(plots.weight_charts(tensors, read_weights(after, read)[0]), title))


def _write(path: Path, content: bytes) -> None:
    write_atomically(path, content, durable=False)


def _setting(name: str, value: Any) -> str:
    """Return a text as it is, a number with its name."""
    return value if isinstance(value, str) else f"{name} {show_value(value)}"


def kept_weights(folder: TrialFolder, seed: int) -> Path | None:
    """Return the file of a replicate's best weights, else of its final ones; None where there is neither."""
    return next((path for path in (folder.best_model(seed), folder.final_model(seed)) if path.exists()), None)
