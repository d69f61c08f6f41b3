"""The choice of the trials of a run to evaluate, with their weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from analysis.comparison.labels import distinct_texts, hashable, join_words
from analysis.comparison.results import Results, load
from analysis.comparison.standings import best_of, group_trials
from analysis.runs.run_folder import RunFolder, TrialFolder
from trainables.atomic_files import folders_in
from trainables.errors import InputError, unknown_name

if TYPE_CHECKING:
    from trainables.network.trained import TrainedModel

BEST, ALL = "best", "all"
RECORDED = [f"{split}_{name}" for split in ("train", "val", "test") for name in ("acc", "auc")]
Row = Mapping[str, Any]


@dataclass(frozen=True)
class ChosenTrial:
    """A trial with the best weights of its seeds.

    settings: its values of fields that vary in the run. lost: seeds without weights. recorded: its figures in the run's
    table, mean over seeds. dataset: where its data lie by that table, which a resume brings up to date; the weights say
    where they lay.
    """

    run: RunFolder
    trial_id: str
    status: str
    settings: Mapping[str, str]
    weights: Mapping[int, Path]
    lost: tuple[int, ...]
    recorded: Mapping[str, float]
    dataset: str | None = None

    @property
    def label(self) -> str:
        """Return `0003 (activation gelu, lr 0.01)`."""
        inside = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        return f"{self.trial_id} ({inside})" if inside else self.trial_id

    def load(self, seed: int | None = None) -> TrainedModel:
        """Build the network of a seed with its best weights, by default of the first. Raises `InputError`."""
        # Choosing a trial needs no torch.
        from trainables.network.trained import load_trained, with_data_at

        seed = next(iter(self.weights)) if seed is None else seed
        if seed not in self.weights:
            kept = ", ".join(map(str, self.weights))
            raise InputError(f"trial {self.trial_id} kept no weights of seed {seed}: choose one of {kept}")
        return with_data_at(load_trained(self.weights[seed]), self.dataset)


def choose_trials(run: RunFolder, which: str) -> list[ChosenTrial]:
    """Find `best` (by the run's validation metric), `all`, or one trial by its id. Raises `InputError`.

    A trial that kept no weights is an error if it was asked for by its id, and is left out of `all`.
    """
    trials = {trial.trial_id: trial for trial in _all_trials(load([run], pool=False))}
    if not any(trial.weights for trial in trials.values()):
        raise InputError(f"{run.path} keeps no trained weights under trials/, so that nothing can be evaluated: fetch "
                         "the whole run, or use a run of the image classifier")  # fmt: skip
    if which == ALL:
        return [trial for trial in trials.values() if trial.weights]
    trial_id = (
        _best(load([run]))
        if which == BEST
        else next((name for name in trials if name in (which, which.zfill(4))), which)
    )
    if trial_id not in trials:
        raise InputError(unknown_name("trial", which, [BEST, ALL, *trials]))
    if not trials[trial_id].weights:
        kept = [trial.trial_id for trial in trials.values() if trial.weights]
        raise InputError(
            f"trial {trial_id} ({trials[trial_id].status}) kept no weights: choose one of {', '.join(kept[:8])}"
        )
    return [trials[trial_id]]


def _best(results: Results) -> str:
    trials = group_trials(results, [results.metric])
    datasets = set(results.table["dataset"].to_pylist()) if "dataset" in results.fields else set()
    if len(datasets) > 1:
        each = {block: best_of([t for t in trials if t.block == block], results.metric, results.mode)
                for block in results.blocks}  # fmt: skip
        known = [f"{one.name.rpartition('/')[2]} on {block}" for block, one in each.items() if one]
        raise InputError(
            f"{results.runs[0].path} trained on {len(datasets)} datasets, and none of their scores is better than "
            f"another's: name a trial by its id ({join_words(known)} are the best), or --trial all"
        )
    best = best_of(trials, results.metric, results.mode)
    if best is None:
        why = f"was trained to its end with a defined {results.metric}"
        raise InputError(f"no trial of {results.runs[0].path} {why}: name a trial by its id, or --trial all")
    return best.name.rpartition("/")[2]


def _all_trials(results: Results) -> list[ChosenTrial]:
    run = results.runs[0]
    folders = {path.name.rpartition("_")[2]: TrialFolder(path) for path in folders_in(run.trials)}
    varies = dict.fromkeys((*results.context, *results.scientific, *results.nuisance))
    texts = {name: distinct_texts([hashable(v) for v in results.table[name].to_pylist()]) for name in varies}
    texts = {name: values for name, values in texts.items() if len(set(values)) > 1}
    rows: dict[str, list[tuple[int, Row]]] = {}
    for number, row in enumerate(results.table.to_pylist()):
        rows.setdefault(str(row["trial_id"]), []).append((number, row))
    return [
        _chosen(
            run, trial_id, [row for _, row in part], folders, {n: values[part[0][0]] for n, values in texts.items()}
        )
        for trial_id, part in rows.items()
    ]


def _chosen(
    run: RunFolder,
    trial_id: str,
    rows: Sequence[Row],
    folders: Mapping[str, TrialFolder],
    settings: Mapping[str, str],
) -> ChosenTrial:
    weights: dict[int, Path] = {}
    for row in rows:
        folder = folders.get(str(row["trial_key"]))
        if folder and folder.best_model(row["seed"]).is_file():
            weights[row["seed"]] = folder.best_model(row["seed"])
    recorded = {name: _mean([row[name] for row in rows]) for name in RECORDED}
    lost = tuple(row["seed"] for row in rows if row["seed"] not in weights)
    return ChosenTrial(run, trial_id, str(rows[0]["ended"]), settings, weights, lost, recorded, rows[0].get("dataset"))


def _mean(values: Sequence[float | None]) -> float:
    return fmean(math.nan if value is None else value for value in values)
