"""After training: complexity, figures and `run_stats.json` of every trial that has ended, spread over Ray's workers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from analysis.behaviour.layer_statistics import layer_statistics
from analysis.comparison.statistics import mean_interval
from analysis.figures import trial as plots
from analysis.runs.run_folder import RunFolder, TrialFolder
from analysis.weights.files import read_tensors
from analysis.weights.rows import known_rows, measure_replicate, write_complexity
from search_spaces.definition import Sweep
from sweeps.record.rows import QUALITIES, epoch_rows, identity, trial_rows
from sweeps.record.state import RunState, TrialState
from sweeps.running.run_home import RunHome, lent
from trainables.config import make_config
from trainables.data.arrays import Data
from trainables.data.normalization import Normalization
from trainables.image_classifier import DataKey, data_key
from trainables.training.replicates import by_layer

Row = dict[str, Any]


@dataclass(frozen=True)
class Spread:
    """What Ray's workers need to measure a trial. home: where they may not see the run's folder, nor the data's."""

    data_root: Path | None = None
    home: RunHome | None = None
    datasets: Mapping[DataKey, tuple[Data, Normalization]] = field(default_factory=dict)

    def datasets_in_store(self) -> dict[DataKey, Any]:
        """References to the data by what a trial's data depends on; none where every worker can load it itself."""
        import ray

        return {key: ray.put(data) for key, (data, _) in self.datasets.items()} if self.home else {}


def finish(
    run: RunFolder,
    state: RunState,
    sweep: Sweep,
    about: Mapping[str, Any],
    progress: Callable[[int, int], None],
    spread: Spread,
) -> list[str]:
    """Measure and draw what has not been measured and drawn yet, then write `weights.parquet` and its means.

    Returns a line for each trial that could not be measured.

    A measured trial is one with rows in `weights.parquet`; deleting that file measures everything again.
    """
    import ray

    rows = known_rows(run)
    known = {row["trial_key"] for row in rows}
    todo = [trial for trial in state.trials.values() if trial.ended and trial.epoch and trial.key not in known]
    task = ray.remote(num_cpus=1)(finish_trial)
    data = spread.datasets_in_store() if todo else {}
    waiting = {
        task.remote(run, trial, sweep, about, spread.data_root, spread.home, data.get(_data_key(trial))): trial
        for trial in todo
    }
    problems: list[str] = []
    while waiting:
        ready, _ = ray.wait(list(waiting), num_returns=1)
        trial = waiting.pop(ready[0])
        try:
            rows += ray.get(ready[0])
        except ray.exceptions.RayError as error:  # one trial's figures must not cost the others theirs
            problems.append(f"trial {trial.trial_id} could not be measured: {str(error).strip().splitlines()[-1]}")
        progress(len(todo) - len(waiting), len(todo))
    if run.trials_table.exists():
        rows.sort(key=lambda row: (row["trial_id"], row["replicate"]))
        write_complexity(run, rows, {**about, "sweep": run.sweep, "run_id": run.run_id})
    return problems


def _data_key(trial: TrialState) -> DataKey:
    return data_key(make_config(trial.config))


def finish_trial(
    run: RunFolder,
    trial: TrialState,
    sweep: Sweep,
    about: Mapping[str, Any],
    data_root: Path | None,
    home: RunHome | None = None,
    data: Data | None = None,
) -> list[Row]:
    """One trial's figures, statistics and rows of `weights.parquet`. data: loaded where None."""
    with lent(run, run.trial(trial.folder).path, home) as seen:
        return _finish_trial(seen, trial, sweep, about, data_root, data)


def _finish_trial(
    run: RunFolder, trial: TrialState, sweep: Sweep, about: Mapping[str, Any], data_root: Path | None, data: Data | None
) -> list[Row]:
    folder = run.trial(trial.folder)
    rows: list[Row] = []
    for number, seed in enumerate(trial.config["seeds"]):
        measured = measure_replicate(folder.replicate(seed))
        rows += [{**identity(run, trial, number, seed), **row} for row in measured]
    results = list(trial_rows(run, trial, sweep))
    kept = _kept_weights(folder, trial.config["seeds"][0])
    layers = layer_statistics(kept, data_root, data=data) if kept else {}
    write_run_stats(folder, trial, results, rows, layers, about)
    draw(run, trial, results)
    return rows


def write_run_stats(
    folder: TrialFolder,
    trial: TrialState,
    results: Sequence[Row],
    rows: Sequence[Row],
    layers: Mapping[str, Any],
    about: Mapping[str, Any],
) -> None:
    """`run_stats.json`: what the trial was, how it went by epoch, what came of it, and what its weights are like."""
    stats = {
        "trial_id": trial.trial_id,
        "trial_key": trial.key,
        "status": trial.status,
        "stop_reason": trial.stop_reason,
        "config": trial.config,
        "parameters": trial.parameters,
        "macs": trial.macs,
        "results": {name: _spread([row[name] for row in results]) for name in QUALITIES},
        "replicates": [_replicate(trial, number, row) for number, row in enumerate(results)],
        "weight_statistics": [_statistics(row) for row in rows if row["stage"] in ("best", "final")],
        "layers": layers,
        "provenance": about.get("provenance", {}),
    }
    folder.run_stats.write_text(json.dumps(_finite(stats), indent=1))


def _spread(values: Sequence[float]) -> dict[str, float]:
    found = mean_interval(values)
    return {"mean": found.mean, "interval_95": found.half_width, "n": found.n}


def _replicate(trial: TrialState, number: int, row: Row) -> Row:
    history = [epoch[number] for epoch in trial.epochs]
    names = ("epoch", "lr_used", *QUALITIES)
    return {
        "seed": row["seed"],
        "best_epoch": row["best_epoch"],
        "epochs_trained": row["epochs_trained"],
        **{name: row[name] for name in QUALITIES},
        "history": {name: [values[name] for values in history] for name in names},
        "gradient_norms": by_layer([values.get("gradient_norms") or {} for values in history]),
        "learned": by_layer([values.get("learned") or {} for values in history]),
    }


def _statistics(row: Row) -> Row:
    where = {name: row[name] for name in ("seed", "stage", "tensor", "module_type", "shape")}
    return {**where, **{name: value for name, value in row.items() if name.startswith("weight_")}}


def _finite(value: Any) -> Any:
    """JSON has no NaN: null in its place."""
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def draw(run: RunFolder, trial: TrialState, results: Sequence[Row]) -> None:
    """`training_curves.png` of all replicates and `weight_distributions.png` of the first."""
    folder = run.trial(trial.folder)
    title = (
        f"{trial.config['dataset']}, {trial.config['model']}, {trial.config['activation']}, lr {trial.config['lr']:g}"
    )
    bests = [row["best_epoch"] for row in results if row["best_epoch"]]
    plots.save(plots.training_curves(list(epoch_rows(run, trial)), title, bests), folder.training_curves)
    seed = trial.config["seeds"][0]
    before, after = folder.initial_model(seed), _kept_weights(folder, seed)
    if after is not None:
        tensors = read_tensors(before)[0] if before.exists() else {}
        plots.save(plots.weight_distributions(tensors, read_tensors(after)[0], title), folder.weight_distributions)


def _kept_weights(folder: TrialFolder, seed: int) -> Path | None:
    return next((path for path in (folder.best_model(seed), folder.final_model(seed)) if path.exists()), None)
