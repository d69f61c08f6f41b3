"""The config of a training function: the fields of its dataclass or pydantic model, or any where it takes a dict."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, field_validator, model_validator
from pydantic_core import PydanticUndefined

from trainables.config import MOST, Seed
from trainables.errors import InputError, one_line, unknown_name, validated
from trainables.json_values import without_negative_zero
from trainables.metric_names import RESERVED
from trainables.registries import ALSO_KNOWN_AS
from trainables.user_code.in_use import object_of, source_of
from trainables.user_code.source import first_line

# Fields that we fill: a trial's replicates are our business.
OURS = ("seeds",)
Epochs = Annotated[int, Field(ge=1, le=MOST)]
Scalar = bool | int | float | str | None


class FunctionConfig(BaseModel):
    """The fields that every training function's config has. Equal values, equal hash."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True)

    epochs: Epochs = Field(1, description="epochs a trial is trained at most")
    seeds: tuple[Seed, ...] = Field((0,), description="one replicate is trained per seed", min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _one_zero_of_extras(cls, values: Any) -> Any:
        return without_negative_zero(values)

    @field_validator("*")
    @classmethod
    def _one_zero(cls, value: Any) -> Any:
        return without_negative_zero(value)

    def __hash__(self) -> int:
        """Return a hash over all values, those of open fields too."""
        return hash(json.dumps(self.model_dump(mode="json"), sort_keys=True))


class OpenConfig(FunctionConfig):
    """The config of a function that takes a plain dict: any field, with a number, a text or a list of them."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Scalar | tuple[Scalar, ...]] = Field(init=False)


@dataclass(frozen=True)
class Signature:
    """A training function's config. own: the class that the function wants; None: a dict."""

    config_type: type[FunctionConfig]
    own: type | None


def signature_of(spec: str) -> Signature:
    """Return what a training function takes. Raises `InputError` for what is no generator of a config and a trial."""
    return _signature(spec, source_of(spec).digest)


@cache
def _signature(spec: str, digest: str) -> Signature:
    function = object_of(spec)
    if not inspect.isgeneratorfunction(function):
        raise InputError(
            f"{spec} is no generator function: write def NAME(config, trial) that yields one report an epoch, such as "
            'yield {"val_score": 0.9}'
        )
    names = [p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    if len(names) != 2:
        raise InputError(f"{spec} takes {', '.join(names) or 'nothing'}: write def NAME(config, trial)")
    own = _hints(function, spec).get(names[0])
    if isinstance(own, type) and dataclasses.is_dataclass(own):
        return Signature(_closed(spec, own, _fields_of_dataclass(own)), own)
    if isinstance(own, type) and issubclass(own, BaseModel):
        return Signature(_closed(spec, own, {name: (f.annotation, f) for name, f in own.model_fields.items()}), own)
    return Signature(OpenConfig, None)


def _hints(function: Callable[..., Any], spec: str) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise InputError(f"{spec}: its annotations cannot be read ({error})") from None


def _fields_of_dataclass(own: type) -> dict[str, Any]:
    hints = get_type_hints(own, include_extras=True)
    found: dict[str, Any] = {}
    for field in dataclasses.fields(own):
        default: Any = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = Field(default_factory=field.default_factory)
        found[field.name] = (hints[field.name], PydanticUndefined if default is dataclasses.MISSING else default)
    return found


def _closed(spec: str, own: type, fields: Mapping[str, Any]) -> type[FunctionConfig]:
    """Return a config with these fields and ours."""
    for name in OURS:
        if name in fields:
            raise InputError(f"{spec}: {own.__name__}.{name} is taken: a trial's seed is trial.seed; leave it out")
    return create_model(own.__name__, __base__=FunctionConfig, **dict(fields))


def _check_names(spec: str, names: Iterable[str]) -> None:
    """Raise `InputError` for a field whose name cannot be a column of the tables."""
    for name in names:
        if name not in OURS and (not name.isidentifier() or name in RESERVED):
            raise InputError(f"{spec}: a field cannot be named {name!r}, which is a column of the tables: rename it")


def make(spec: str, values: Mapping[str, Any]) -> FunctionConfig:
    """Return a validated config, as the function's own class takes it, too. Raises `InputError` of one line."""
    known = signature_of(spec)
    names = known.config_type.model_fields
    for name in values if known.own else ():
        if name not in names:
            raise InputError(unknown_name("field", name, names, ALSO_KNOWN_AS))
    _check_names(spec, (*names, *values))
    config = validated(known.config_type, values)
    for name, value in config.model_dump(mode="json").items():
        if not all(isinstance(item, Scalar) for item in (value if isinstance(value, list) else [value])):
            raise InputError(
                f"{spec}: {name}={value!r}: a field holds a number, a text, a flag, none, or a list of them"
            )
    own_config(spec, config)
    return config


def own_config(spec: str, config: FunctionConfig) -> Any:
    """Return a config as the function takes it: an object of its own class, or a dict. Raises `InputError`."""
    own = signature_of(spec).own
    values = {name: value for name, value in config.model_dump().items() if name not in OURS}
    if own is None:
        return values
    if "epochs" not in _names_of(own):
        del values["epochs"]
    try:
        return own(**values)
    except ValidationError as error:
        raise InputError(f"{spec}: {one_line(error, '')}") from None
    # the user's own check of the values
    except (Exception, SystemExit) as error:
        raise InputError(f"{spec}: {own.__name__} refuses these values ({first_line(error)})") from None


def _names_of(own: type) -> set[str]:
    if issubclass(own, BaseModel):
        return set(own.model_fields)
    fields: Any = dataclasses.fields(own)  # type: ignore[arg-type]
    return {field.name for field in fields if field.init}
