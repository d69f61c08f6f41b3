"""`TrialConfig`: everything that determines a trial. Imports neither torch nor Ray."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from trainables.errors import InputError, unknown_name

# field -> the table that lists what it may be; imported when a value is checked, so that this file stays light
REGISTRIES: dict[str, str] = {
    "model": "trainables.models:MODELS",
    "activation": "trainables.activations:ACTIVATIONS",
    "optimizer": "trainables.optimizers:OPTIMIZERS",
    "schedule": "trainables.schedules:SCHEDULES",
    "normalization": "trainables.data.normalization:NORMALIZATIONS",
}


def registry(field: str) -> Mapping[str, Any]:
    """The table of names that a config field may hold."""
    module, name = REGISTRIES[field].split(":")
    table: Mapping[str, Any] = getattr(import_module(module), name)
    return table


def _field(default: Any, meaning: str, unit: str = "", **limits: Any) -> Any:
    return Field(default, description=meaning, json_schema_extra={"unit": unit} if unit else None, **limits)


Seed = Annotated[int, Field(ge=0, lt=2**31)]


class TrialConfig(BaseModel):
    """One trial's configuration. Equal configs on equal hardware give equal results.

    A field that is None takes the dataset's or the model's own value. Unknown keys and values out of range are errors
    that name the field, the value, what is allowed and the closest match.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)

    dataset: str = _field("digits", "dataset name")
    image_size: int | None = _field(None, "side of the images; None: the dataset's own", "px", ge=4, le=1024)
    normalization: str = _field("dataset", "where mean and standard deviation of the inputs come from")

    model: str = _field("cnn", "network architecture")
    activation: str = _field("relu", "activation function at every hidden layer")
    hidden_dims: tuple[Annotated[int, Field(ge=1)], ...] | None = _field(
        None, "widths of an mlp's hidden layers", "units"
    )
    width: int | None = _field(None, "channels of a cnn's first stage", "channels", ge=1, le=4096)
    depth: int | None = _field(None, "stages of a cnn", "stages", ge=1, le=16)
    dropout: float = _field(0.0, "probability of dropping a unit before the classifier", ge=0, lt=1)

    optimizer: str = _field("adamw", "optimiser")
    lr: float = _field(1e-3, "peak learning rate", gt=0, le=1000)
    momentum: float = _field(0.9, "momentum of sgd", ge=0, lt=1)
    weight_decay: float = _field(0.0, "weight decay", ge=0)
    schedule: str = _field("cosine", "learning-rate curve over the epochs")
    batch_size: int = _field(128, "training images per optimiser step", "images", ge=1)
    epochs: int = _field(20, "passes over the training split at most", "epochs", ge=1)
    precision: Literal["float32"] = _field("float32", "number format of the forward and backward pass")
    seeds: tuple[Seed, ...] = _field((0,), "one replicate is trained per seed", min_length=1)

    @field_validator(*REGISTRIES)
    @classmethod
    def _known(cls, value: str, info: Any) -> str:
        names = registry(info.field_name)
        if value not in names:
            raise ValueError(unknown_name(info.field_name, value, names))
        return value

    @field_validator("dataset")
    @classmethod
    def _known_dataset(cls, value: str) -> str:
        from trainables.data.datasets import find

        find(value)
        return value

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
            if name not in cls.model_fields:
                raise ValueError(unknown_name("field", name, cls.model_fields))
        return values

    @model_validator(mode="after")
    def _model_uses_its_options(self) -> TrialConfig:
        used = options_of(self.model)
        for name in MODEL_OPTIONS:
            if getattr(self, name) != type(self).model_fields[name].default and name not in used:
                raise ValueError(f"{name} has no effect on model {self.model!r}: leave it out, or choose another model")
        return self


MODEL_OPTIONS = ("hidden_dims", "width", "depth", "dropout")


def options_of(model: str) -> tuple[str, ...]:
    """The model options that a model reads."""
    return tuple(registry("model")[model].OPTIONS)


def make_config(values: Mapping[str, Any]) -> TrialConfig:
    """A validated config, or an `InputError` of one line."""
    try:
        return TrialConfig(**values)
    except ValidationError as error:
        raise InputError(_one_line(error)) from None


def _one_line(error: ValidationError) -> str:
    parts = []
    for item in error.errors(include_url=False):
        where = ".".join(str(part) for part in item["loc"][:1])
        text = item["msg"].removeprefix("Value error, ")
        parts.append(f"{where}={item['input']!r}: {text}" if where and not text.startswith("unknown") else text)
    return "; ".join(dict.fromkeys(parts))


def config_json(config: TrialConfig) -> str:
    """The config as canonical JSON: sorted keys, no spaces; what `trial_key` hashes."""
    return json.dumps(config.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))


def trial_key(config: TrialConfig, data_digest: str, code_digest: str) -> str:
    """The trial's identity across runs: 12 hexadecimal digits of SHA-256 over config, data and training code."""
    text = "\n".join((config_json(config), data_digest, code_digest))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
