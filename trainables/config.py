"""`TrialConfig`: everything that determines a trial. Imports neither torch nor Ray."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from trainables.config_checks import check_settings
from trainables.errors import InputError, shorten, unknown_name, validated
from trainables.json_values import without_negative_zero
from trainables.registries import ALSO_KNOWN_AS, REGISTRIES, registry
from trainables.user_code.part_names import (
    OWN_ACTIVATION,
    PARTS,
    field_of,
    is_argument,
    is_library_model,
    is_own,
)
from trainables.user_code.user_paths import user_path


def _field(default: Any, meaning: str, unit: str = "", **limits: Any) -> Any:
    return Field(default, description=meaning, json_schema_extra={"unit": unit} if unit else None, **limits)


# The limit of whole numbers that have no limit of their own.
MOST = 1_000_000
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class TrialConfig(BaseModel):
    """One trial's configuration. Equal configs give equal results on equal CPUs with as many threads.

    A field that is None takes the dataset's or the model's own value. Unknown keys and values out of range are errors
    that name the field, the value, what is allowed and the closest match. Arguments of a part, such as `model.width`,
    are fields beside the others; `trainables.parts` checks them, and no code of a user's is read here.
    """

    model_config = ConfigDict(frozen=True, extra="allow", validate_default=False, allow_inf_nan=False)
    __pydantic_extra__: dict[str, bool | int | float | str | None]

    dataset: str = _field(
        "digits", "dataset name, or data of your own (docs/data.md): folder:PATH, npz:FILE, csv:FILE, FILE.py:NAME"
    )
    image_size: int | None = _field(None, "side of the images; None: the dataset's own", "px", ge=4, le=1024)
    channels: int | None = _field(None, "1: images as grey, 3: as RGB; None: the dataset's own", ge=1, le=3)
    normalization: str = _field("dataset", "where mean and standard deviation of the inputs come from")
    data_fraction: float = _field(1.0, "share of the training images that is used, the same in every trial", gt=0, le=1)
    label_noise: float = _field(
        0.0, "share of the training labels that another class replaces, drawn once, the same in every trial", ge=0, lt=1
    )
    augmentation: str = _field("none", "preset, or operations such as flip+rotate:10, of the training images")
    sampling: Literal["shuffle", "balanced"] = _field(
        "shuffle", "each training image once an epoch, or drawn with replacement so that classes are equally frequent"
    )

    model: str = _field("cnn", "network architecture")
    activation: str = _field("relu", "activation function at every hidden layer; left out: the model's own")
    hidden_dims: tuple[Annotated[int, Field(ge=1, le=MOST)], ...] | None = _field(
        None, "widths of an mlp's hidden layers, or of those in the head of a pretrained network", "units"
    )
    width: int | None = _field(None, "channels of a cnn's first stage", "channels", ge=1, le=4096)
    depth: int | None = _field(None, "stages of a cnn", "stages", ge=1, le=16)
    blocks: int | None = _field(None, "residual blocks in each stage of a resnet", "blocks", ge=1, le=200)
    skips: bool = _field(True, "residual connections of a resnet; without them it is a plain network")
    stem: Literal["small", "imagenet"] | None = _field(
        None, "first layers: one 3x3 convolution, or ImageNet's 7x7 and max-pool; None: small below 64 px"
    )
    conv3d: Literal["3d", "2.5d", "acs"] = _field("3d", "convolutions of a 3D resnet: kxkxk, 1xkxk, or kxk in 3 views")
    dropout: float | None = _field(
        None, "probability of dropping a unit before the classifier; None: the model's own", ge=0, lt=1
    )

    transfer: str = _field("scratch", "what is trained: scratch, or of a pretrained model frozen, partial:N, full")
    weights: str | None = _field(
        None, "pretrained weights: imagenet, a .safetensors or .pt file, or a trial's folder; None: imagenet, or none"
    )
    backbone_lr_scale: float = _field(1.0, "learning rate of the pretrained layers as a share of lr", gt=0, le=1)

    stochastic: str = _field("none", "stochastic matrices in place of the weights, or random layers among the others")
    stochastic_strength: float | None = _field(
        None, "rate or spread of the random layers, or the input's total of matrices; None: the entry's own", gt=0
    )
    stochastic_temperature: float = _field(1.0, "temperature of the softmax of stochastic layers", gt=0)
    kl_weight: float = _field(1.0, "weight of a random layer's divergence from its prior in the loss", ge=0)
    evaluation_samples: int = _field(
        0, "random forward passes that an evaluation averages; 0: one deterministic pass", "passes", ge=0, le=10000
    )

    optimizer: str = _field("adamw", "optimiser")
    lr: float = _field(None, "peak learning rate; left out: the optimiser's own default", gt=0, le=1000)
    lr_scale: float = _field(1.0, "factor on lr, to search the rate in multiples of the optimiser's default", gt=0)
    momentum: float = _field(0.9, "momentum of sgd and sgd_nesterov", ge=0, lt=1)
    weight_decay: float = _field(0.0, "weight decay", ge=0)
    schedule: str = _field("cosine", "learning-rate curve over the epochs")
    loss: str = _field("cross_entropy", "training loss; the reported losses are always cross-entropy")
    focal_gamma: float | None = _field(None, "focusing exponent of the focal loss; None: 2", ge=0, le=10)
    class_weights: Literal["none", "balanced"] = _field(
        "none", "weights of the classes in the training loss; balanced: inverse to their frequency, 1 on average"
    )
    label_smoothing: float = _field(0.0, "share of a target that is spread over all classes", ge=0, lt=1)
    batch_size: int = _field(128, "training images per optimiser step", "images", ge=1, le=MOST)
    epochs: int = _field(20, "passes over the training split at most", "epochs", ge=1, le=MOST)
    accumulate: int = _field(
        1, "parts that a batch is cut into to save memory; their gradients add up", "parts", ge=1, le=MOST
    )
    clip_norm: float | None = _field(None, "largest norm of all gradients together; None: not clipped", gt=0)
    ema: float | None = _field(None, "decay a step of the averaged weights that are evaluated; None: off", gt=0, lt=1)
    patience: int | None = _field(
        None, "early stopping: epochs in a row without an improvement on val; None: off", "epochs", ge=1, le=MOST
    )
    min_delta: float = _field(0.0, "early stopping: a change of the metric must exceed this to be an improvement", ge=0)
    early_stopping_metric: Literal["val_auc", "val_acc", "val_loss"] = _field("val_auc", "what early stopping watches")
    eval_train_every: int = _field(
        1,
        "epochs from one evaluation of the train split to the next; the best epoch so far and the last have one, too",
        "epochs",
        ge=1,
        le=MOST,
    )
    precision: Literal["float32", "bfloat16", "float16"] = _field(
        "float32", "number format of the forward and backward pass, in evaluations too"
    )
    channels_last: bool = _field(True, "keep images and convolution weights in channels-last order in memory")
    compile: bool = _field(False, "compile the model with torch.compile")
    profile: Literal["none", "medical"] = _field(
        "none", "medical: gradients clipped at 1, and nothing that trades exactness for speed"
    )
    save_every: int = _field(
        0, "epochs from one set of weights that is kept along training to the next; 0: none is", "epochs", ge=0, le=MOST
    )
    seeds: tuple[Seed, ...] = _field((0,), "one replicate is trained per seed", min_length=1)

    @field_validator(*REGISTRIES)
    @classmethod
    def _known(cls, value: str, info: Any) -> str:
        if is_own(info.field_name, value) or (info.field_name == "activation" and value == OWN_ACTIVATION):
            return value
        names = registry(info.field_name)
        if info.field_name == "activation" and ":" in value:
            return str(import_module("trainables.layers.activations").canonical(value))
        if value not in names:
            raise ValueError(unknown_name(info.field_name, value, names))
        return value

    @field_validator("dataset")
    @classmethod
    def _known_dataset(cls, value: str) -> str:
        from trainables.data.datasets import canonical

        return canonical(value)

    @field_validator("channels")
    @classmethod
    def _grey_or_rgb(cls, value: int | None) -> int | None:
        if value == 2:
            raise ValueError("choose 1 (grey) or 3 (RGB)")
        return value

    @field_validator("augmentation")
    @classmethod
    def _known_augmentation(cls, value: str) -> str:
        from trainables.data.augmentation import strengths_of

        if not is_own("augmentation", value):
            strengths_of(value)
        return value

    @field_validator("*")
    @classmethod
    def _one_zero(cls, value: Any) -> Any:
        return without_negative_zero(value)

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) != len(value):
            raise ValueError("each seed may stand once")
        return value

    @model_validator(mode="before")
    @classmethod
    def _known_fields(cls, values: Any) -> Any:
        for name in values if isinstance(values, dict) else ():
            if not is_field(name):
                raise ValueError(unknown_field(name))
            if is_argument(name) and not _is_scalar(values[name]):
                raise ValueError(f"{name}={shorten(values[name])}: must be a finite number, text, true, false or none")
        return without_negative_zero(values)

    @model_validator(mode="before")
    @classmethod
    def _fill_model_defaults(cls, values: Any) -> Any:
        """Fill in the model's own defaults, so that a config says what was trained."""
        if not isinstance(values, dict):
            return values
        name = str(values.get("model", cls.model_fields["model"].default))
        if is_library_model(name) and values.get("activation") is None:
            values = {**values, "activation": OWN_ACTIVATION}
        model = registry("model").get(name)
        own = {name: value for name, value in getattr(model, "DEFAULTS", {}).items() if values.get(name) is None}
        filled = {**values, **own}
        if filled.get("weights") is None and filled.get("transfer", "scratch") != "scratch":
            filled["weights"] = "imagenet"
        return filled

    @model_validator(mode="before")
    @classmethod
    def _fill_entry_defaults(cls, values: Any) -> Any:
        """Fill in the optimiser's rate, the stochastic layer's strength and the profile's settings."""
        if not isinstance(values, dict):
            return values
        filled = {name: value for name, value in values.items() if not (name == "lr" and value is None)}
        for field, table, attribute in (("lr", "optimizer", "lr"), ("stochastic_strength", "stochastic", "strength")):
            entry = registry(table).get(str(values.get(table, cls.model_fields[table].default)))
            if filled.get(field) is None and entry is not None:
                filled[field] = getattr(entry, attribute)
        for name, value in PROFILES.get(str(values.get("profile")), {}).items():
            if filled.setdefault(name, value) != value:
                raise ValueError(f"{name}={filled[name]!r}: profile={values['profile']!r} needs {name}={value!r}")
        return filled

    @field_validator("transfer")
    @classmethod
    def _known_strategy(cls, value: str) -> str:
        if not re.fullmatch(r"scratch|frozen|full|partial:[1-9]\d*", value):
            raise ValueError("choose scratch, frozen, full or partial:N (the last N stages are trained)")
        return value

    @field_validator("weights")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        """Return a path that workers, whose working directory is another, can use."""
        return value if value in (None, "imagenet") else os.path.abspath(user_path(value))

    @model_validator(mode="after")
    def _settings_fit_one_another(self) -> TrialConfig:
        check_settings(self)
        return self

    def __hash__(self) -> int:
        return hash((tuple(self.__dict__.values()), frozenset((self.__pydantic_extra__ or {}).items())))


def _is_scalar(value: object) -> bool:
    return math.isfinite(value) if isinstance(value, float) else isinstance(value, bool | int | str | None)


# A profile sets these fields; another value beside it is refused.
PROFILES: dict[str, dict[str, Any]] = {
    "medical": {
        "precision": "float32",
        "channels_last": False,
        "compile": False,
        "accumulate": 1,
        "ema": None,
        "clip_norm": 1.0,
    },
}


# Fields whose new value takes effect on training that goes on: no weight's shape follows from them.
CHANGEABLE = (
    "lr", "lr_scale", "backbone_lr_scale", "momentum", "weight_decay", "label_smoothing", "focal_gamma", "kl_weight",
    "clip_norm", "dropout",
)  # fmt: skip
# Fields that data are loaded by, before any trial starts.
DATA_FIELDS = ("dataset", "image_size", "channels", "normalization")


def is_changeable(name: str) -> bool:
    """Return whether a field's new value takes effect on training that goes on."""
    return name in CHANGEABLE or (is_argument(name) and field_of(name) == "optimizer")


def is_field(name: str) -> bool:
    """Return whether a config may have a value of this name: a field, or an argument of a part."""
    return name in TrialConfig.model_fields or is_argument(name)


def unknown_field(name: str, what: str = "field") -> str:
    """Return one line for a name that no config has, with the closest match."""
    argument = name.rpartition(".")[2]
    known = [f"{part}.{argument}" for part in PARTS] if "." in name else []
    return unknown_name(what, name, [*known, *TrialConfig.model_fields], ALSO_KNOWN_AS)


def check_field(name: str, what: str = "field") -> None:
    """Raise `InputError` for a name that no config has."""
    if not is_field(name):
        raise InputError(unknown_field(name, what))


def make_config(values: Mapping[str, Any]) -> TrialConfig:
    """Return a validated config. Raises `InputError` of one line."""
    return validated(TrialConfig, values)
