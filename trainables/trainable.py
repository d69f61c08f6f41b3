"""`Trainable`: what trains one trial, as the engine knows it. Imports neither torch nor Ray.

The engine (`sweeps/`), the tables and the report know only what stands here. The image classifier is one trainable; a
training function of a user's own, named as FILE.py:NAME, is another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from math import isfinite, nan
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, Protocol

from pydantic import BaseModel

from trainables.config import CHANGEABLE, DATA_FIELDS, TrialConfig, check_field, is_changeable, make_config
from trainables.errors import InputError, unknown_name
from trainables.metric_names import quality_names
from trainables.registries import ALSO_KNOWN_AS
from trainables.trial_key import without_paths
from trainables.user_code.part_names import PARTS
from trainables.user_code.source import is_user_code

Row = dict[str, Any]
Values = Mapping[str, Any]
IMAGE_CLASSIFIER = "image_classifier"
USER_FUNCTION = "trainables.user_function.training"
Fuse = Literal["auto", "on", "off"]
# The fields of an epoch's row of a replicate that are no metrics.
ROW_FIELDS = frozenset(
    {
        "seed", "epoch", "lr_used", "is_best", "train_seconds", "eval_seconds", "images_trained", "gradient_norm",
        "gradient_norms", "learned", "notes", "stop_reason", "step_losses", "histograms",
    }
)  # fmt: skip


@dataclass(frozen=True)
class TrialFacts:
    """The facts about a trial that are known before it starts.

    key: its identity across runs. code, data, weights: digests. label: short, for the name of its folder. parameters,
    macs: 0 where unknown.
    """

    key: str
    code: str
    label: str
    data: str = ""
    weights: str = ""
    parameters: int = 0
    macs: int = 0


class Prepared(Protocol):
    """The things that a run's trials share, such as data. The driver makes them; each worker gets `shared` once."""

    @property
    def shared(self) -> Any:
        """Return the object that `begin` gets on a worker."""
        ...

    @property
    def digests(self) -> Mapping[str, str]:
        """Return the digest of each dataset by its name."""
        ...

    @property
    def lines(self) -> Sequence[str]:
        """Return what a run says of its data at its start, a line each."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """Return what the user should know of the data, a line each."""
        ...

    def facts(self, config: Any) -> TrialFacts:
        """Return the facts about a trial. Raises `InputError` where it cannot be trained."""
        ...

    def check_metric(self, metric: str) -> None:
        """Raise `InputError` where the data leave a metric undefined."""
        ...

    def work(self, config: Any, macs: int) -> float:
        """Return the work of an epoch of one replicate, to scale a measured time to a trial that was not measured."""
        ...

    def needed_memory(self, config: Any, parameters: int) -> int:
        """Return about how many bytes of a CPU's memory a trial takes; 0 where that is unknown."""
        ...

    def for_measuring(self, config: Any) -> Any:
        """Return the part of `shared` that measuring a trained trial needs; None where it needs none."""
        ...


@dataclass(frozen=True)
class EpochReport:
    """The rows of all replicates after an epoch. metrics: their names; finite: False where a replicate has diverged.

    fused: how the replicates are trained, where that was chosen: its `key` and why.
    """

    rows: list[Row]
    metrics: tuple[str, ...]
    finite: bool
    fused: Mapping[str, Any] | None = None


def means_over_replicates(rows: Sequence[Row], names: Sequence[str]) -> dict[str, float]:
    """Return the mean of each metric; NaN where a replicate's value is not finite, or the mean is too large."""
    return {name: _mean([row[name] for row in rows]) for name in names}


def _mean(values: Sequence[float]) -> float:
    with suppress(OverflowError):
        return fmean(values) if all(map(isfinite, values)) else nan
    return nan


class Training(Protocol):
    """One trial on a worker: all of its replicates, in step."""

    @property
    def epoch(self) -> int:
        """Return the number of epochs that have been trained."""
        ...

    def load(self, path: Path, most: int | None = None) -> bool:
        """Go on from a checkpoint. Raises `InputError` where it cannot be used.

        Returns False, unchanged, for one of more than `most` epochs.
        """
        ...

    def load_donor(self, path: Path) -> None:
        """Take the weights of another trial's checkpoint, and keep the own hyperparameters."""
        ...

    def last(self) -> EpochReport:
        """Return the report of the last epoch before the checkpoint."""
        ...

    def train(self, fuse: Fuse = "auto") -> Iterator[EpochReport]:
        """Train on, and yield after every epoch; end after the last one, or the one in which a replicate diverged.

        fuse: whether replicates are trained as one network, where the trainable can: on, off, or auto: where that is
        quicker. The numbers are the same within the last bits.
        """
        ...

    def save(self, path: Path) -> bool:
        """Write a checkpoint. Returns False where there is nothing to go on from."""
        ...

    def save_weights(self, folder_of: Callable[[int], Path]) -> None:
        """Write the weights that are due after an epoch (before the first: the initial ones).

        folder_of: the folder of the replicate of a seed.
        """
        ...


@dataclass(frozen=True)
class Trainable:
    """The way one trial is trained: its config, and the module that has `prepare`, `begin` and `measure`.

    config_type: the fields of a trial with types, limits and defaults, `epochs` and `seeds` among them. make: a config
    of values. metrics: those that it reports; empty: they are known from its reports. always_apart: fields that change
    a metric's scale or a trial's length. changeable: fields whose new value takes effect on training that goes on.
    data_fields: fields that data are loaded by. path_fields: fields that may hold a path. title: the fields that name a
    trial in a figure; empty: what varies. part_fields: fields that may name a part of a user's own, with arguments.
    without_paths: a config's values without paths whose content a digest stands for. has_network: its weights and data
    rebuild a network that can be evaluated. fields_known: False where any name may be a field.
    """

    name: str
    module: str
    config_type: type[BaseModel]
    make: Callable[[Values], Any]
    metrics: tuple[str, ...] = ()
    always_apart: tuple[str, ...] = ("epochs",)
    changeable: tuple[str, ...] = ()
    data_fields: tuple[str, ...] = ()
    path_fields: tuple[str, ...] = ()
    title: tuple[str, ...] = ()
    part_fields: tuple[str, ...] = ()
    without_paths: Callable[[Values], Values] = field(default=lambda values: values)
    has_network: bool = False
    fields_known: bool = True

    @property
    def code_fields(self) -> tuple[str, ...]:
        """The names of the fields that may name code of a user's own."""
        return ("dataset", *self.part_fields) if self.part_fields else ()

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the config's fields."""
        return tuple(self.config_type.model_fields)

    def check_field(self, name: str, what: str = "field") -> None:
        """Raise `InputError` for a name that is no field of the config."""
        if self.part_fields:
            check_field(name, what)
        elif self.fields_known and name not in self.fields:
            raise InputError(unknown_name(what, name, self.fields, ALSO_KNOWN_AS))

    def may_change(self, name: str) -> bool:
        """Return whether a field's new value takes effect on training that goes on."""
        return name in self.changeable or (bool(self.part_fields) and is_changeable(name))

    def describe(self, configs: Sequence[Values]) -> dict[str, Any]:
        """Return what `run.json` holds of it: its name, and the fields of `configs` that no `TrialConfig` has.

        own: its tables have these columns alone, and not those of the image classifier. A field's type is that of its
        values: flag, whole, number or text.
        """
        own = self.config_type is not TrialConfig
        names = dict.fromkeys(name for config in configs for name in config if name != "seeds")
        fields = {
            name: {"type": type_of_values([config.get(name) for config in configs]), "meaning": self._meaning(name)}
            for name in names
            if own or name not in TrialConfig.model_fields
        }
        return {"name": self.name, "own": own, "fields": fields}

    def _meaning(self, name: str) -> str:
        known = self.config_type.model_fields.get(name)
        return (known and known.description) or name

    def plan(self, values: dict[str, Any], rows: Sequence[Values], tuned: Mapping[str, Sequence[Any]]) -> Any:
        """Return the config of a planned trial, its defaults filled in and all of it checked. Raises `InputError`.

        Values that only others of the compared settings read are dropped. rows: the settings that are compared; tuned:
        the values of each nuisance field that lists them.
        """
        return import_module(self.module).plan(self, values, rows, tuned)

    def prepare(self, configs: Sequence[Any], data_root: Path | None) -> Prepared:
        """Return what trials of these configs share. Raises `InputError`."""
        prepared: Prepared = import_module(self.module).prepare(self, configs, data_root)
        return prepared

    def begin(self, config: Any, shared: Any, metric: str, mode: str) -> Training:
        """Return a trial before its first epoch. metric, mode: what the sweep goes by."""
        training: Training = import_module(self.module).begin(self, config, shared, metric, mode)
        return training

    def measure(self, config: Any, shared: Any, threads: int) -> Any:
        """Train a few steps, to estimate a sweep: a `trainables.training.cost.Cost`."""
        return import_module(self.module).measure(self, config, shared, threads)


def type_of_values(values: Sequence[Any]) -> str:
    """Return flag, whole, number or text: the narrowest that holds all values, None apart.

    >>> type_of_values([1, 2.5, None])
    'number'
    """
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, bool) for value in known):
        return "flag"
    if not known or any(isinstance(value, bool) or not isinstance(value, int | float) for value in known):
        return "text"
    return "whole" if all(isinstance(value, int) for value in known) else "number"


def trainable_of(name: str) -> Trainable:
    """Return the trainable of a name: image_classifier, or FILE.py:NAME. Raises `InputError`."""
    if is_user_code(name):
        found: Trainable = import_module(USER_FUNCTION).function_trainable(name)
        return found
    if name != IMAGE_CLASSIFIER:
        raise InputError(f"{unknown_name('trainable', name, [IMAGE_CLASSIFIER])}; or write FILE.py:NAME")
    return _image_classifier()


@cache
def _image_classifier() -> Trainable:
    return Trainable(
        name=IMAGE_CLASSIFIER,
        module="trainables.image_classifier",
        config_type=TrialConfig,
        make=make_config,
        metrics=tuple(quality_names()),
        always_apart=("dataset", "image_size", "data_fraction", "label_noise", "loss", "epochs"),
        changeable=CHANGEABLE,
        data_fields=DATA_FIELDS,
        path_fields=("dataset", "weights", *PARTS),
        title=("dataset", "model", "activation", "optimizer", "lr"),
        part_fields=tuple(PARTS),
        without_paths=without_paths,
        has_network=True,
    )
