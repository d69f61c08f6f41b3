"""The trials of one or more runs as one frame, with what may be compared with what."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Literal

import pandas as pd

from analysis import table
from analysis.comparison.summary import show_value
from analysis.runs.run_folder import RunFolder
from trainables.config import TrialConfig
from trainables.errors import InputError, unknown_name

Stopped = Literal["left-out", "equal-epochs"]
QUALITIES = [f"{split}_{name}" for split in ("train", "val", "test") for name in ("auc", "acc", "loss")]
GAPS = {"gap_acc": ("train_acc", "test_acc"), "gap_auc": ("train_auc", "test_auc")}
OWN_RULE = "early stopping"  # how the stop_reason begins of a trial that ended by its own patience, not by a rung


@dataclass(frozen=True)
class Results:
    """Several runs as one.

    trials: one row per trial and replicate, and besides the columns of `trials.parquet`: `trial` (unique over runs),
    `value` and `block` (texts: the scientific value, and the context within which values are compared), `finished`
    (trained as long as it was to be), `gap_acc` and `gap_auc` (train less test).
    """

    runs: tuple[RunFolder, ...]
    abouts: tuple[Mapping[str, Any], ...]
    trials: pd.DataFrame
    scientific: tuple[str, ...]
    nuisance: tuple[str, ...]
    context: tuple[str, ...]
    metric: str
    mode: str
    equal_epochs: Mapping[str, int] | None = None  # of each block, where trials are compared at equal epochs

    @property
    def blocks(self) -> list[str]:
        return list(dict.fromkeys(self.trials["block"]))

    @property
    def values(self) -> list[str]:
        """The scientific values, in the order in which every figure colours them."""
        return list(dict.fromkeys(self.trials["value"]))

    @property
    def seeds(self) -> int:
        """Replicates of a trial, at most."""
        return int(self.trials.groupby("trial")["seed"].nunique().max()) if len(self.trials) else 0

    def frame(self, kind: table.Kind) -> pd.DataFrame:
        """The epochs or weights of the same trials, with `trial`, `value` and `block`; empty where there are none."""
        files = [getattr(run, f"{kind}_table") for run in self.runs]
        frames = [table.read(file, kind) for file in files if file.exists()]
        names = self.trials[["trial", "value", "block"]].drop_duplicates("trial")
        if not frames:
            return pd.DataFrame(columns=[*table.columns(kind), *names])
        joined = pd.concat(frames, ignore_index=True)
        joined["trial"] = joined["run_id"] + "/" + joined["trial_id"]
        return joined.merge(names, on="trial")


def load(runs: Sequence[RunFolder], metric: str | None = None) -> Results:
    """Read the trials of all runs; a trial that stands in several is taken once. Raises `InputError`."""
    frames = [table.read(run.trials_table) for run in runs if run.trials_table.exists()]
    if not frames or not sum(map(len, frames)):
        raise InputError(f"{', '.join(str(run.path) for run in runs)}: no trial has ended yet")
    abouts = tuple(_about(frame) for frame in frames)
    metric, mode = _metric(abouts, metric)
    trials = pd.concat([frame.dropna(axis=1, how="all") for frame in frames], ignore_index=True)
    trials = trials.reindex(columns=[*table.columns("trials")])
    trials = trials.drop_duplicates(["trial_key", "seed"]).reset_index(drop=True)
    scientific, nuisance, context = _roles(trials, abouts)
    found = Results(tuple(runs), abouts, trials, scientific, nuisance, context, metric, mode)
    return replace(found, trials=_with_names(found))


def _about(frame: pd.DataFrame) -> dict[str, Any]:
    """What a table's file says of itself, its JSON read."""
    about: dict[str, Any] = {}
    for name, text in frame.attrs.items():
        try:
            about[str(name)] = json.loads(text)
        except ValueError:
            about[str(name)] = text
    return about


def _metric(abouts: Sequence[Mapping[str, Any]], wanted: str | None) -> tuple[str, str]:
    metrics = {about["metric"] for about in abouts}
    metric = wanted or min(metrics)
    if metric not in (allowed := [name for name in QUALITIES if name.startswith("val_")]):
        raise InputError(unknown_name("metric", metric, allowed) + "; nothing is ever selected by test")
    if len(metrics) > 1 and wanted is None:
        raise InputError(f"the runs were selected by {' and '.join(sorted(metrics))}: say which by --metric")
    return metric, "min" if metric.endswith("loss") else "max"


def _roles(
    trials: pd.DataFrame, abouts: Sequence[Mapping[str, Any]]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Scientific, nuisance and context fields that vary.

    Scores on different datasets cannot be told better or worse, so that the dataset is context wherever anything else
    is compared; so is every other field that differs between runs. What differs within a run only because a config
    fills it in from a compared field (an optimiser's own rate, the weights of transfer) is no context.
    """
    vary = {name: trials[name].map(as_text).nunique() > 1 for name in TrialConfig.model_fields if name != "seeds"}
    named = {role: _union(about["roles"].get(role, {}) for about in abouts) for role in ("scientific", "nuisance")}
    scientific = [name for name in named["scientific"] if vary.get(name)]
    if len(scientific) > 1 and "dataset" in scientific:
        scientific.remove("dataset")
    nuisance = [name for name in named["nuisance"] if vary.get(name) and name not in scientific]
    context = [name for name, varies in vary.items() if varies and name not in (*scientific, *nuisance)]
    context = [name for name in context if name == "dataset" or not _is_filled_in(trials, name, scientific, nuisance)]
    return tuple(scientific or named["scientific"][:1]), tuple(nuisance), tuple(context)


def _is_filled_in(trials: pd.DataFrame, name: str, scientific: Sequence[str], nuisance: Sequence[str]) -> bool:
    """Whether a field without a role varies within a run, and follows from the fields that have one in all of them."""
    text = trials[[name, *scientific, *nuisance]].map(as_text)
    within = bool((text[name].groupby(trials["run_id"]).nunique() > 1).any())
    given = text.groupby([*scientific, *nuisance])[name].nunique() if scientific or nuisance else None
    return within and given is not None and bool((given == 1).all())


def _union(names: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(name for part in names for name in part))


def as_text(value: Any) -> str:
    """A config value as one writes it; what was left out is `-`."""
    if value is None or (isinstance(value, float) and value != value):
        return "-"
    return show_value(value.tolist() if hasattr(value, "tolist") else value)


def _with_names(found: Results) -> pd.DataFrame:
    trials = found.trials.copy()
    early = trials["stop_reason"].fillna("").str.startswith(OWN_RULE)
    trials["trial"] = trials["run_id"] + "/" + trials["trial_id"]
    trials["value"] = _label(trials, found.scientific)
    context = telling_fields(trials, found.context)
    if "dataset" not in (*context, *found.scientific):
        context.insert(0, "dataset")  # worth naming also where there is but one
    trials["block"] = _label(trials, context, named=True)
    trials["finished"] = (trials["status"] == "completed") | ((trials["status"] == "stopped") & early)
    for name, (train, test) in GAPS.items():
        trials[name] = trials[train] - trials[test]
    return trials


def _label(trials: pd.DataFrame, fields: Sequence[str], *, named: bool = False) -> pd.Series:
    """`gelu, 0.5`; named: with the names of all fields but the dataset."""
    if not fields:
        return pd.Series("", index=trials.index)
    parts = [
        trials[name].map(as_text).radd(f"{name} " if named and name != "dataset" else "") for name in fields
    ]  # fmt: skip
    return reduce(lambda left, right: left + ", " + right, parts)


def telling_fields(trials: pd.DataFrame, fields: Sequence[str]) -> list[str]:
    """The fields that tell contexts apart, the dataset first; those that follow from the ones before are left out."""
    kept: list[str] = []
    text = trials[list(fields)].map(as_text)
    for name in sorted(fields, key=lambda name: name != "dataset"):
        before = text.groupby(kept).ngroups if kept else 1
        if text.groupby([*kept, name]).ngroups > before:
            kept.append(name)
    return kept


def with_stopped(results: Results, stopped: Stopped) -> Results:
    """Trials that a rung stopped: left out, or all trials judged by what they had reached at equal epochs.

    Equal epochs: in each block, the fewest that a trial which neither failed nor diverged was trained; every replicate
    stands for its best epoch up to there, selected by the validation metric. Raises `InputError` for other words.
    """
    if stopped == "left-out":
        return results
    if stopped != "equal-epochs":
        raise InputError(unknown_name("way with stopped trials", stopped, ("left-out", "equal-epochs")))
    trials = results.trials[results.trials["status"].isin(["completed", "stopped"])]
    limits = trials.groupby("block", sort=False)["epochs_trained"].min().clip(lower=1)
    epochs = results.frame("epochs")
    epochs = epochs[epochs["epoch"] <= epochs["block"].map(limits)]
    worst = float("-inf") if results.mode == "max" else float("inf")
    pick: Callable[[pd.Series], Any] = pd.Series.idxmax if results.mode == "max" else pd.Series.idxmin
    best = epochs[results.metric].fillna(worst).groupby([epochs["trial"], epochs["seed"]]).agg(pick)
    at_best = epochs.loc[best].set_index(["trial", "seed"])
    frame = trials.set_index(["trial", "seed"])
    for name in QUALITIES:
        frame[name] = at_best[name].reindex(frame.index)
    frame["best_epoch"] = at_best["epoch"].reindex(frame.index)
    frame["epochs_trained"] = frame["block"].map(limits)
    frame["finished"] = True
    for name, (train, test) in GAPS.items():
        frame[name] = frame[train] - frame[test]
    return replace(results, trials=frame.reset_index(), equal_epochs={str(k): int(v) for k, v in limits.items()})
