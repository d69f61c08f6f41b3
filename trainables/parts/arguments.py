"""The arguments of a part that a sweep can set, checked against its signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from trainables.errors import InputError
from trainables.registries import registry
from trainables.user_code.in_use import object_of
from trainables.user_code.part_names import PARTS, is_library_model, is_own
from trainables.user_code.signature import (
    SCALARS,
    Argument,
    Scalar,
    arguments_of,
    check_arguments,
    parameters_of,
    takes_any_name,
)

NAMES_OF_SCALARS = tuple(kind.__name__ for kind in SCALARS)


@dataclass(frozen=True)
class Signature:
    """The callable that takes a part's arguments. given: the names among them that are ours to pass."""

    part: Callable[..., Any]
    given: tuple[str, ...]

    @property
    def arguments(self) -> dict[str, Argument]:
        """Return the arguments that a sweep can set, by name."""
        return arguments_of(self.part, self.given)

    def accepts(self, name: str) -> bool:
        """Return whether an argument of this name can be set."""
        return name in self.arguments or (name not in self.given and takes_any_name(self.part))


def callable_of(spec: str) -> Callable[..., Any]:
    """Return the class or function of a spec. Raises `InputError` where it is neither."""
    part = object_of(spec)
    if not callable(part):
        raise InputError(f"{spec} is a {type(part).__name__}: name a class or a function")
    found: Callable[..., Any] = part
    return found


def signature_of(field: str, value: str, names: Collection[str] = ()) -> Signature | None:
    """Return the signature of a user's part, or of an optimiser; None for what takes no arguments by name.

    A library's model takes any name; it says itself which it does not know. names: the arguments that are set.
    """
    if is_library_model(value):
        return Signature(_any_name, ())
    if is_own(field, value):
        part = callable_of(value)
        return Signature(part, tuple(_given(field, part, names)))
    entry = registry(field).get(value) if field == "optimizer" else None
    return Signature(entry.kind, entry.given) if entry else None


def accepts(field: str, value: str, name: str) -> bool:
    """Return whether a part takes an argument of this name."""
    signature = signature_of(field, value, (name,))
    return signature is not None and signature.accepts(name)


def _any_name(**arguments: Scalar) -> None:
    """Stand for a function of a library that hands on what it does not know."""


def _given(field: str, part: Callable[..., Any], names: Collection[str]) -> list[str]:
    """Return the arguments that come first and are ours, and those that we offer by name."""
    kind = PARTS[field]
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    ordered = [name for name, parameter in parameters_of(part).items() if parameter.kind in places]
    leading = kind.of_a_class if inspect.isclass(part) else kind.leading
    if field == "activation" and not takes_tensor(part, names):
        leading = 0
    return [*ordered[:leading], *kind.offered]


def takes_tensor(part: Callable[..., Any], names: Collection[str] = ()) -> bool:
    """Return whether an activation's function is one of a tensor, and not one that makes a module.

    A function that makes a module can be called without an argument of ours: its first one is set (among `names`), has
    a default, or is annotated as a number or text.
    """
    if inspect.isclass(part):
        return False
    parameters = list(parameters_of(part).values())
    # A function that is built in, such as `torch.tanh`, has no signature.
    if not parameters:
        return inspect.isbuiltin(part)
    first = parameters[0]
    return first.default is first.empty and first.name not in names and not _is_scalar(first.annotation)


def _is_scalar(annotation: object) -> bool:
    return annotation in SCALARS or annotation in NAMES_OF_SCALARS


def check_part(field: str, value: str, values: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return a part's arguments, whole numbers as floats where its signature wants floats.

    Raises `InputError` for a name that it does not take, for one that is missing, and for a value of another type.
    """
    if not values and not is_own(field, value):
        return {}
    signature = signature_of(field, value, values)
    if signature is None:
        raise InputError(f"{field}={value!r} takes no arguments by name: leave out {field}.{next(iter(values))}")
    check_arguments(value, signature.part, values, signature.given, f"{field}.")
    return {name: _as_annotated(item, signature.arguments.get(name)) for name, item in values.items()}


def _as_annotated(value: Scalar, argument: Argument | None) -> Scalar:
    wants_float = argument is not None and argument.annotation is float
    return float(value) if wants_float and isinstance(value, int) and not isinstance(value, bool) else value
