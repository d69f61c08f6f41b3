"""Arguments of a user's class or function: which there are, of which type, and what ours may pass by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from trainables.errors import InputError, unknown_name

Scalar = bool | int | float | str | None
SCALARS = (bool, int, float, str)


@dataclass(frozen=True)
class Argument:
    """One argument that a sweep can set. annotation: `Any` where neither annotation nor default gives a type."""

    name: str
    annotation: Any
    default: Any = inspect.Parameter.empty

    @property
    def is_required(self) -> bool:
        """Return whether the signature has no default."""
        return self.default is inspect.Parameter.empty


def arguments_of(part: Callable[..., Any], given: Collection[str] = ()) -> dict[str, Argument]:
    """Return the arguments of a class or function by name, without those that are `given` by us.

    Annotations go before defaults. Positional-only arguments, *args and **kwargs are none.
    """
    hints = _hints(part)
    arguments: dict[str, Argument] = {}
    for name, parameter in parameters_of(part).items():
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY) and name not in given:
            has_type = parameter.default not in (parameter.empty, None)
            own = type(parameter.default) if has_type else Any
            arguments[name] = Argument(name, hints.get(name, own), parameter.default)
    return arguments


def parameters_of(part: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a class or function; none where it is built in and has no signature."""
    try:
        return inspect.signature(part).parameters
    except ValueError:
        return {}


def _hints(part: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of a function, or of a class's `__init__`; none where they cannot be evaluated."""
    try:
        return get_type_hints(part.__init__ if inspect.isclass(part) else part)
    except (NameError, TypeError, AttributeError):
        return {}


def check_arguments(
    what: str, part: Callable[..., Any], values: Mapping[str, Scalar], given: Collection[str], prefix: str = ""
) -> None:
    """Raise `InputError` for an unknown argument, one that is missing, or a value of another type.

    what: the spec, for messages. given: the names that we pass where the signature asks for them. prefix: what an
    argument's name begins with where it is set, such as `model.`.
    """
    arguments = arguments_of(part, given)
    for name, value in values.items():
        if name not in arguments:
            if name not in given and takes_any_name(part):
                continue
            known = [f"{prefix}{known}" for known in arguments]
            wrong = unknown_name("argument", prefix + name, known) if known else _takes_none(prefix + name)
            raise InputError(f"{what}: {wrong}")
        if not fits(value, arguments[name].annotation):
            wanted = _type_name(arguments[name].annotation)
            raise InputError(f"{what}: {prefix}{name}={value!r} must be {wanted}")
    missing = [argument.name for argument in arguments.values() if argument.is_required and argument.name not in values]
    if missing:
        ours = f", or name it as we do ({', '.join(given)})" if given else ""
        raise InputError(f"{what} needs {', '.join(missing)}: set it, such as {prefix}{missing[0]}=VALUE{ours}")


def _takes_none(name: str) -> str:
    return f"it takes no arguments that can be set: leave out {name}"


def takes_any_name(part: Callable[..., Any]) -> bool:
    """Return whether a signature has **kwargs."""
    return any(p.kind is p.VAR_KEYWORD for p in parameters_of(part).values())


def passed(part: Callable[..., Any], offered: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the offered values that the signature asks for by name."""
    parameters = parameters_of(part)
    return {name: value for name, value in offered.items() if name in parameters}


def members_of(annotation: Any) -> tuple[Any, ...]:
    """Return the types of a union, those of `X | None` among them; of any other annotation itself alone."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def fits(value: Scalar, annotation: Any) -> bool:
    """Return whether a value may stand for an annotation; a whole number fits a float, and all fit what is unknown."""
    if get_origin(annotation) is Literal:
        return value in get_args(annotation)
    known = [option for option in members_of(annotation) if option in (*SCALARS, NoneType)]
    if not known:
        return True
    if isinstance(value, bool):
        return bool in known
    if isinstance(value, int):
        return int in known or float in known
    return any(isinstance(value, option) for option in known)


def parse_value(text: str, annotation: Any) -> Scalar:
    """Read a value of the command line as the type that an argument has; without one, as it reads: 3, true, none.

    Raises `InputError` where the text is no value of that type.
    """
    members = members_of(annotation)
    known = [option for option in members if option in (*SCALARS, NoneType)] or [NoneType, bool, int, float, str]
    for kind in sorted(known, key=[NoneType, bool, int, float, str].index):
        value = _as(text, kind)
        if value is not _NO:
            return value  # type: ignore[return-value]
    raise InputError(f"{text!r} must be {_type_name(annotation)}")


_NO = object()
FLAGS = {"true": True, "yes": True, "false": False, "no": False}


def _as(text: str, kind: type) -> object:
    if kind is NoneType:
        return None if text.lower() == "none" else _NO
    if kind is bool:
        return FLAGS.get(text.lower(), _NO)
    try:
        return kind(text)
    except ValueError:
        return _NO


def _type_name(annotation: Any) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text", NoneType: "none"}
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(map(str, get_args(annotation)))
    members = members_of(annotation)
    return " or ".join(names.get(option, getattr(option, "__name__", str(option))) for option in members)
