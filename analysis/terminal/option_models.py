"""Options of a command as one model: the command line, its help, files and checks all follow from it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from trainables.errors import InputError, one_line
from trainables.user_code.signature import members_of


class OptionModel(BaseModel):
    """Options of a command, each an `option`: the command line, its help and all checks follow from the model."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    if not TYPE_CHECKING:
        # A type checker takes the arguments from the fields.

        def __init__(self, **values: Any) -> None:
            """Raises `InputError` of one line."""
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise InputError(one_line(error)) from error

    @field_validator("*", mode="before")
    @classmethod
    def _not_empty(cls, value: Any, info: ValidationInfo) -> Any:
        extra: Any = cls.model_fields[str(info.field_name)].json_schema_extra or {}
        if isinstance(value, str) and not value.strip() and not extra.get("bare"):
            raise ValueError("is empty: leave it out, or give it a value")
        return value


def option(
    default: Any, text: str, panel: str, *flags: str, metavar: str = "", bare: bool = False, **limits: Any
) -> Any:
    """Declare a field of an `OptionModel`.

    text: its help. panel: the box of `--help`. flags: where `--its-name` is not it.

    bare: it may stand without a value, and is then "".
    """
    extra: Any = {"panel": panel, "flags": [*flags], "metavar": metavar, "bare": bare}
    return Field(default, description=text, json_schema_extra=extra, **limits)


def flags_of(name: str, field: FieldInfo) -> list[str]:
    """Return an option's flags; for a pair such as `--measure/--no-measure` both."""
    given: Any = field.json_schema_extra
    return list(given["flags"]) or [f"--{name.replace('_', '-')}"]


def parameters_of(model: type[OptionModel]) -> list[inspect.Parameter]:
    """Return the parameters that Typer makes a model's options from; their default is None, for a list empty."""
    return [_parameter(name, field) for name, field in _options(model)]


def _options(model: type[OptionModel]) -> list[tuple[str, FieldInfo]]:
    """Return the fields that are options; others are arguments."""
    return [(name, field) for name, field in model.model_fields.items() if field.json_schema_extra]


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    extra: Any = field.json_schema_extra
    shown = field.default not in (None, (), False, True)
    many, flag = get_origin(field.annotation) is tuple, field.annotation is bool
    kind: Any = list[str] | None if many else bool | None if flag else str | None
    written = typer.Option(
        "/".join(flags_of(name, field)),
        help=field.description,
        metavar=None if flag else extra["metavar"] or _metavar(field.annotation),
        rich_help_panel=extra["panel"],
        show_default=str(field.default) if shown else False,
    )
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, written])


def _metavar(annotation: Any) -> str:
    """Return `N` for whole numbers, `X` for others, the choices of a literal, else TEXT."""
    members = [member for member in members_of(annotation) if member is not type(None)]
    for member in members:
        if get_origin(member) is Literal:
            return "|".join([*(["X"] if float in members else []), *map(str, get_args(member))])
    return "N" if int in members else "X" if float in members else "TEXT"


def given(model: type[OptionModel], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Select from a command's parameters those that are a model's options and were given."""
    return {name: parameters[name] for name, _ in _options(model) if parameters[name] not in (None, [])}


def words_of(options: OptionModel) -> list[str]:
    """Return the words of a command line that mean the same as the options."""
    words: list[str] = []
    for name, field in _options(type(options)):
        value, flags = getattr(options, name), flags_of(name, field)
        if value == field.default:
            continue
        if isinstance(value, bool) or value == "":
            words.append(flags[-1] if value is False else flags[0])
            continue
        for item in value if isinstance(value, tuple) else (value,):
            words += [f"{flags[0]}={item}"] if str(item).startswith("-") else [flags[0], str(item)]
    return words
