"""The image classifier as a trainable: its data, and its replicates trained in step on a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from trainables.config import TrialConfig
from trainables.data.arrays import MULTI_LABEL, Data, class_line, classes_without_auc
from trainables.data.batches import to_device
from trainables.data.datasets import load
from trainables.data.normalization import Normalization, normalization_of
from trainables.errors import InputError
from trainables.fused.choice import choose
from trainables.models import module_types
from trainables.network.model_size import model_size
from trainables.network.pretrained_weights import weights_digest
from trainables.network.transfer import check_weights
from trainables.parts.planned import check_parts, code_of, config_without_foreign
from trainables.trainable import EpochReport, Fuse, Trainable, TrialFacts
from trainables.training import cost
from trainables.training.checkpoint import (
    load_checkpoint,
    load_donor_state,
    save_checkpoint,
    save_weights,
    weights_metadata,
)
from trainables.training.loop import EpochMetrics, start
from trainables.training.replicates import (
    METRICS,
    epoch_row,
    last_epoch,
    one_by_one,
    train_replicates,
    trained_epochs,
)
from trainables.trial_key import trial_key
from trainables.user_code.part_names import short_name

# Dataset, image size, channels, normalisation.
DataKey = tuple[str, int | None, int | None, str]
Datasets = Mapping[DataKey, tuple[Data, Normalization]]


def data_key(config: TrialConfig) -> DataKey:
    """Return the fields that a trial's data depends on."""
    return config.dataset, config.image_size, config.channels, config.normalization


@dataclass(frozen=True)
class ImageData:
    """The datasets of all trials with their normalisation, each loaded once (a `Prepared`)."""

    datasets: Datasets

    @property
    def shared(self) -> Datasets:
        """Return the datasets."""
        return self.datasets

    @property
    def digests(self) -> dict[str, str]:
        """Return the digest of each dataset by its name."""
        return {data.info.name: data.digest for data, _ in self.datasets.values()}

    @property
    def lines(self) -> list[str]:
        """Return the classes of each dataset with their images."""
        return list(dict.fromkeys(class_line(data) for data, _ in self.datasets.values()))

    @property
    def notes(self) -> list[str]:
        """Return what the user should know of the data."""
        return sorted({note for data, _ in self.datasets.values() for note in data.notes})

    def data(self, config: TrialConfig) -> Data:
        """Return a trial's data."""
        return self.datasets[data_key(config)][0]

    def facts(self, config: TrialConfig) -> TrialFacts:
        """Return a trial's digests and size. Raises `InputError` where its model cannot be built."""
        data = self.data(config)
        if config.label_noise and data.info.task == MULTI_LABEL:
            raise InputError(f"label_noise needs one class an image, and {data.info.name} has several: leave it out")
        check_weights(config, data.info)
        check_parts(config, data.info)
        code, weights = code_of(config), weights_digest(config)
        size = model_size(config, data.info)
        key = trial_key(config, data.digest, code, weights)
        label = f"{short_name(config.model)}_{short_name(config.activation)}"
        return TrialFacts(key, code, label, data.digest, weights, size.parameters, size.macs)

    def check_metric(self, metric: str) -> None:
        """Raise `InputError` where a val AUC is asked for that the data leave undefined."""
        for data, _ in self.datasets.values() if metric.endswith("_auc") else ():
            missing = classes_without_auc(data.info, data.splits["val"])
            if missing:
                raise InputError(
                    f"{metric} is undefined on {data.info.name}, whose val lacks {', '.join(missing)}: choose "
                    "--metric val_acc or val_loss, or add images until each class has some in val"
                )

    def work(self, config: TrialConfig, macs: int) -> float:
        """Return about the operations of an epoch: training passes the images three times, each evaluation once."""
        sizes = {name: len(split.labels) for name, split in self.data(config).splits.items()}
        return max(macs, 1) * (3 * config.data_fraction * sizes["train"] + cost.images_evaluated(config, sizes))

    def needed_memory(self, config: TrialConfig, parameters: int) -> int:
        """Return about how many bytes a worker takes on a CPU, beside the images, which all workers share."""
        return cost.needed_memory(config, self.data(config).info, parameters)

    def for_measuring(self, config: TrialConfig) -> Data:
        """Return the trial's data, on which its layers are measured."""
        return self.data(config)


def plan(
    trainable: Trainable, values: dict[str, Any], rows: Sequence[Mapping[str, Any]], tuned: Mapping[str, Sequence[Any]]
) -> TrialConfig:
    """Return the config of a planned trial. Raises `InputError`."""
    return config_without_foreign(values, rows, tuned)


def prepare(trainable: Trainable, configs: Sequence[TrialConfig], data_root: Path | None) -> ImageData:
    """Load the data of all configs, each dataset once. Raises `InputError`."""
    loaded: dict[tuple[str, int | None, int | None], Data] = {}
    datasets: dict[DataKey, tuple[Data, Normalization]] = {}
    for config in configs:
        where = config.dataset, config.image_size, config.channels
        if where not in loaded:
            loaded[where] = load(config.dataset, config.image_size, data_root, config.channels)
        if data_key(config) not in datasets:
            datasets[data_key(config)] = loaded[where], normalization_of(config.normalization, loaded[where])
    return ImageData(datasets)


def measure(trainable: Trainable, config: TrialConfig, shared: Datasets, threads: int) -> cost.Cost:
    """Train one replicate for a few batches, to estimate a sweep."""
    return cost.measure(config, *shared[data_key(config)], threads)


def begin(trainable: Trainable, config: TrialConfig, shared: Datasets, metric: str, mode: str) -> ImageTraining:
    """Return a trial before its first epoch. Raises `InputError` where it cannot be trained."""
    return ImageTraining(config, *shared[data_key(config)])


class ImageTraining:
    """The replicates of a trial, trained in step (a `Training`)."""

    def __init__(self, config: TrialConfig, data: Data, normalization: Normalization) -> None:
        self.config, self.data, self.normalization = config, data, normalization
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.states = [start(config, seed, data.info, self.device) for seed in config.seeds]

    @property
    def epoch(self) -> int:
        """Return the number of epochs that have been trained."""
        return trained_epochs(self.states)

    @cached_property
    def metadata(self) -> dict[int, dict[str, str]]:
        """Return what the weights of each seed say of themselves."""
        return {
            state.seed: weights_metadata(
                self.config, self.data, self.normalization, module_types(state.model), state.seed
            )
            for state in self.states
        }

    def load(self, path: Path, most: int | None = None) -> bool:
        """Go on from a checkpoint of at most `most` epochs. Raises `InputError` where it cannot be used."""
        states = load_checkpoint(path, self.config, self.data, self.device)
        if most is not None and trained_epochs(states) > most:
            return False
        self.states = states
        return True

    def load_donor(self, path: Path) -> None:
        """Take the weights of another trial's checkpoint."""
        load_donor_state(self.states, load_checkpoint(path, self.config, self.data, self.device))

    def last(self) -> EpochReport:
        """Return the report of the last epoch before the checkpoint."""
        return _report(last_epoch(self.states))

    def train(self, fuse: Fuse = "auto") -> Iterator[EpochReport]:
        """Train on, and yield after every epoch."""
        splits = to_device(self.data, self.normalization, self.device)
        choice = choose(fuse, self.config, self.data.info, splits, self.states)
        way, described = (choice.way, asdict(choice)) if choice else (one_by_one, None)
        for metrics in train_replicates(self.config, self.data.info, splits, self.states, way):
            yield replace(_report(metrics), fused=described)

    def save(self, path: Path) -> bool:
        """Write a checkpoint of all replicates."""
        save_checkpoint(path, self.states)
        return True

    def save_weights(self, folder_of: Callable[[int], Path]) -> None:
        """Write an epoch's weights before its report, since a trial that is stopped never returns from it."""
        for state in self.states:
            replicate, metadata = folder_of(state.seed), self.metadata[state.seed]
            names = ["final_model"] if state.epoch else ["initial_model"]
            every = self.config.save_every
            if every and state.epoch and state.epoch % every == 0:
                names.append(f"epoch_{state.epoch:04d}_model")
            for name in names:
                save_weights(replicate / f"{name}.safetensors", state.model.state_dict(), metadata, state.epoch)
            best = replicate / "best_model.safetensors"
            if state.best and state.best_weights and (state.best.epoch == state.epoch or not best.exists()):
                save_weights(best, state.best_weights, metadata, state.best.epoch)


def _report(metrics: Sequence[EpochMetrics]) -> EpochReport:
    return EpochReport([epoch_row(each) for each in metrics], METRICS, all(each.finite for each in metrics))
