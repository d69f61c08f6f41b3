"""The whole evaluation of one trial: its networks run over val and one more split, and every figure of them."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from analysis.evaluation.bootstrap import DRAWS, Figure, Real, estimate_figures
from analysis.evaluation.calibration import Calibration, calibrate
from analysis.evaluation.cost import Cost, measure_cost
from analysis.evaluation.gate import Gate, Thresholds, check_gate, check_positive
from analysis.evaluation.group_table import GroupTable, match_groups
from analysis.evaluation.groups import Gap, GroupRow, gaps, group_rows, image_groups
from analysis.evaluation.per_class import (
    ClassRow,
    OperatingPoint,
    absent_classes,
    averages,
    class_rows,
    mean_confusion,
    operating_points,
)
from analysis.evaluation.predictions import Predictions, ensemble, predict_split
from analysis.trial_evaluation.select_trials import ChosenTrial
from trainables.data.arrays import Data
from trainables.errors import InputError
from trainables.network.model_size import network_key
from trainables.network.trained import TrainedModel, check_same_data, load_data_of

# The largest difference from what training recorded that is no news.
SAME = 1e-6
DataKey = tuple[str, int | None, int | None]


@dataclass
class Shared:
    """The shared things of a run's trials: data that were loaded, and measured costs, one for each network."""

    data: dict[DataKey, Data] = field(default_factory=dict)
    costs: dict[Hashable, Cost] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialEvaluation:
    """The evaluation of a trial on a split.

    figures: mean over seeds; val_figures: the same on val, by which trials may be chosen. predictions: of the networks,
    `ensemble` last where there are several seeds.
    """

    chosen: ChosenTrial
    split: str
    dataset: str
    digest: str
    image_size: int | None
    channels: int | None
    epochs: Mapping[int, int]
    predictions: tuple[Predictions, ...]
    val_predictions: tuple[Predictions, ...]
    figures: Mapping[str, Figure]
    val_figures: Mapping[str, Figure]
    ensemble_figures: Mapping[str, Figure] | None
    classes: tuple[ClassRow, ...]
    averages: Mapping[str, Mapping[str, float]]
    confusion: Real
    operating: Mapping[str, tuple[OperatingPoint, ...]]
    calibration: Mapping[str, Calibration]
    cost: Cost | None
    groups: tuple[GroupRow, ...]
    gaps: tuple[Gap, ...]
    gate: Gate | None
    notes: tuple[str, ...]

    @property
    def seeds(self) -> tuple[Predictions, ...]:
        """Return the predictions of single networks."""
        return self.predictions[: len(self.chosen.weights)]

    @property
    def whole(self) -> Predictions:
        """Return the predictions of the ensemble, or of the only network."""
        return self.predictions[-1]


@dataclass(frozen=True)
class EvaluationOptions:
    """The options of an evaluation. draws 0: no intervals over images."""

    split: str = "test"
    data_root: Path | None = None
    thresholds: Thresholds | None = None
    groups: GroupTable | None = None
    cost: bool = True
    draws: int = DRAWS


def evaluate_trial(chosen: ChosenTrial, options: EvaluationOptions, shared: Shared | None = None) -> TrialEvaluation:
    """Evaluate a trial. shared: from the trials before; what is new is added. Raises `InputError`."""
    shared = Shared() if shared is None else shared
    loaded = [chosen.load(seed) for seed in chosen.weights]
    _check_options(options, loaded[0])
    data = _data_for(loaded, options.data_root, shared)
    here = [predict_split(trained, data, options.split) for trained in loaded]
    val = here if options.split == "val" else [predict_split(trained, data, "val") for trained in loaded]
    everyone, everyone_val = ([*p, *([ensemble(p)] if len(p) > 1 else [])] for p in (here, val))
    labels, task = here[0].labels, here[0].task
    figures = estimate_figures(labels, [p.scores for p in here], task, options.draws)
    rows, confusion = class_rows(here), mean_confusion(here)
    cost = _cost_of(loaded[0], shared) if options.cost else None
    grouped = _grouped(here, data, options)
    gate = None
    if options.thresholds is not None:
        train_accuracy = chosen.recorded.get("train_acc", math.nan)
        gate = check_gate(
            options.thresholds, figures, rows, len(labels), cost, train_counts(data), confusion, train_accuracy
        )
    return TrialEvaluation(
        chosen=chosen,
        split=options.split,
        dataset=loaded[0].config.dataset,
        digest=data.digest,
        image_size=loaded[0].config.image_size,
        channels=loaded[0].config.channels,
        epochs={trained.seed: trained.epoch for trained in loaded},
        predictions=tuple(everyone),
        val_predictions=tuple(everyone_val),
        figures=figures,
        val_figures=estimate_figures(val[0].labels, [p.scores for p in val], task, draws=0),
        ensemble_figures=estimate_figures(labels, [everyone[-1].scores], task, options.draws)
        if len(here) > 1
        else None,
        classes=tuple(rows),
        averages=averages(here),
        confusion=confusion,
        operating={p.model: tuple(operating_points(v, p)) for v, p in zip(everyone_val, everyone, strict=True)},
        calibration={p.model: calibrate(v, p) for v, p in zip(everyone_val, everyone, strict=True)},
        cost=cost,
        groups=tuple(grouped),
        gaps=tuple(gaps(grouped)),
        gate=gate,
        notes=tuple(_notes(chosen, options, loaded, here, val, figures)),
    )


def data_key(evaluation: TrialEvaluation) -> DataKey:
    """Return the key of an evaluation's data in `Shared`."""
    return evaluation.dataset, evaluation.image_size, evaluation.channels


def _check_options(options: EvaluationOptions, trained: TrainedModel) -> None:
    """Refuse what does not go with a network before its data are loaded, which may take long."""
    if options.groups and options.split == "train" and trained.config.data_fraction < 1:
        raise InputError("--groups with --split train: the trial was trained on a part of it; choose val or test")
    if options.thresholds:
        check_positive(options.thresholds, trained.info.class_names)


def _data_for(loaded: Sequence[TrainedModel], data_root: Path | None, shared: Shared) -> Data:
    config = loaded[0].config
    key = (config.dataset, config.image_size, config.channels)
    if key not in shared.data:
        shared.data[key] = load_data_of(loaded[0], data_root)
    for trained in loaded:
        check_same_data(trained, shared.data[key])
    return shared.data[key]


def _cost_of(trained: TrainedModel, shared: Shared) -> Cost:
    """Measure once for each network: trials that differ by their weights alone cost the same."""
    config = trained.config
    key = network_key(config, trained.info), config.precision, config.channels_last
    if key not in shared.costs:
        shared.costs[key] = measure_cost(trained)
    return replace(shared.costs[key], disk_mb=trained.n_bytes / 2**20)


def _grouped(predictions: Sequence[Predictions], data: Data, options: EvaluationOptions) -> list[GroupRow]:
    # With data_fraction a part of the training split was used.
    if len(data.splits[options.split]) != len(predictions[0]):
        return []
    groups = image_groups(predictions[0], data.splits[options.split].images)
    groups |= match_groups(options.groups, predictions[0]) if options.groups else {}
    return group_rows(predictions, groups)


def train_counts(data: Data) -> list[int]:
    """Count the training images of each class, or with each label."""
    labels = data.splits["train"].labels
    if labels.ndim == 2:
        return [int(n) for n in labels.sum(axis=0)]
    return [int(n) for n in np.bincount(labels, minlength=data.info.n_classes)]


def _notes(
    chosen: ChosenTrial,
    options: EvaluationOptions,
    loaded: Sequence[TrainedModel],
    here: Sequence[Predictions],
    val: Sequence[Predictions],
    figures: Mapping[str, Figure],
) -> list[str]:
    notes = [
        f"{part.split} lacks {', '.join(absent)}: figures of that class, and AUC, are undefined there"
        for part in {p.split: p for p in (here[0], val[0])}.values()
        if (absent := absent_classes(part))
    ]
    if chosen.lost:
        notes.append(f"no weights of seed {', '.join(map(str, chosen.lost))}: left out")
    if options.split == "val":
        notes.append(
            "val chose the epoch, fitted the temperature and the thresholds: on val they look better than they are"
        )
    if options.split == "train":
        notes.append("train taught the network: its figures say nothing of other images")
    recorded = chosen.recorded.get(f"{options.split}_acc", math.nan)
    if not chosen.lost and math.isfinite(recorded) and abs(recorded - figures["acc"].value) > SAME:
        config = loaded[0].config
        why = "random layers are sampled" if config.evaluation_samples else "another device or version computes"
        if options.split == "train" and config.label_noise:
            why = f"then {100 * config.label_noise:g} % of the labels were replaced (label_noise)"
        notes.append(f"accuracy is {figures['acc'].value:.4f} here, {recorded:.4f} when it was trained: {why}")
    return notes
