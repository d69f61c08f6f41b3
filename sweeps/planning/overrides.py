"""`--set FIELD=V[,V...]`: values typed by the config field they are for, put into a sweep's roles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from search_spaces.definition import Sweep
from trainables.config import TrialConfig
from trainables.errors import InputError, unknown_name


def parse_assignment(text: str) -> tuple[str, list[Any]]:
    """`"lr=1e-4,1e-3"` to `("lr", [0.0001, 0.001])`. `seeds=0:5` and `seeds=0,1,2` are one value, a tuple."""
    name, equals, values = text.partition("=")
    name = name.strip()
    if not equals or not values.strip():
        raise InputError(f"--set {text!r}: write FIELD=VALUE or FIELD=VALUE,VALUE")
    if name not in TrialConfig.model_fields:
        raise InputError(unknown_name("field", name, TrialConfig.model_fields))
    annotation = TrialConfig.model_fields[name].annotation
    if name == "seeds":
        return name, [parse_seeds(values)]
    return name, [_parse(name, value.strip(), annotation) for value in values.split(",")]


def parse_seeds(text: str) -> tuple[int, ...]:
    """`"0:5"` is 0, 1, 2, 3, 4; `"3,7"` is 3 and 7."""
    try:
        if ":" in text:
            first, last = text.split(":")
            return tuple(range(int(first), int(last)))
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"seeds={text}: write 0:5 or 0,1,2") from None


def _parse(field: str, text: str, annotation: Any) -> Any:
    """One value as the type its field has; the config checks the range."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        if text.lower() == "none" and NoneType in get_args(annotation):
            return None
        return _parse(field, text, next(arg for arg in get_args(annotation) if arg is not NoneType))
    if hasattr(annotation, "__metadata__"):
        return _parse(field, text, annotation.__origin__)
    if origin is tuple:
        return tuple(_parse(field, part, get_args(annotation)[0]) for part in text.split("-"))
    if origin is Literal:
        return text
    if annotation is bool:
        return _parse_flag(field, text)
    try:
        return annotation(text)
    except ValueError:
        kind = {int: "a whole number", float: "a number"}.get(annotation, annotation.__name__)
        raise InputError(f"{field}={text}: must be {kind}") from None


def _parse_flag(field: str, text: str) -> bool:
    flags = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in flags:
        raise InputError(f"{field}={text}: must be true or false")
    return flags[text.lower()]


def override(sweep: Sweep, assignments: Sequence[str], fixed: Sequence[str], options: Mapping[str, Any]) -> Sweep:
    """A sweep with `--set` and `--fix` assignments and the options of the same meaning (None: not given) put in.

    With --set, a field that the sweep varies keeps its role; several values of another field make it a scientific one;
    values of a field of the cases choose among the cases, and another value replaces the field in all of them.
    """
    given = [parse_assignment(text) for text in assignments]
    given += [(name, [value]) for name, value in options.items() if value is not None]
    for name, values in given:
        sweep = _set(sweep, name, values)
    for text in fixed:
        name, values = parse_assignment(text)
        if len(values) != 1 or name == "seeds":
            raise InputError(f"--fix {text}: one value of one field, other than seeds")
        sweep = _fix(sweep, name, values[0])
    return sweep


def _without(sweep: Sweep, name: str) -> tuple[Mapping[str, Any], ...]:
    """The cases without one of their fields; a case that is left empty is none."""
    rest = ({key: value for key, value in case.items() if key != name} for case in sweep.cases)
    return tuple(case for case in rest if case)


def _fix(sweep: Sweep, name: str, value: Any) -> Sweep:
    varied = {role: {k: v for k, v in getattr(sweep, role).items() if k != name} for role in ("scientific", "nuisance")}
    return replace(sweep, **varied, cases=_without(sweep, name), fixed={**sweep.fixed, name: value})  # type: ignore[arg-type]


def _set(sweep: Sweep, name: str, values: list[Any]) -> Sweep:
    if name == "seeds":
        return replace(sweep, seeds=tuple(values[0]))
    if any(name in case for case in sweep.cases):
        chosen = tuple(case for case in sweep.cases if case.get(name) in values)
        if {case.get(name) for case in chosen} == set(values):
            return replace(sweep, cases=chosen)
        sweep = replace(sweep, cases=_without(sweep, name))
    grid = {"grid_search": values}
    if name in sweep.scientific:
        return replace(sweep, scientific={**sweep.scientific, name: grid})
    if name in sweep.nuisance:
        return replace(sweep, nuisance={**sweep.nuisance, name: grid})
    if len(values) > 1:
        fixed = {key: value for key, value in sweep.fixed.items() if key != name}
        return replace(sweep, scientific={**sweep.scientific, name: grid}, fixed=fixed)
    return replace(sweep, fixed={**sweep.fixed, name: values[0]})
