"""`--set`, `--tune` and `--fix`: values typed by the config field they are for, put into a sweep's roles."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from functools import cache
from types import NoneType
from typing import Annotated, Any, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from search_spaces.definition import IMAGE_CLASSIFIER, Pbt, Sweep
from search_spaces.domains import is_grid, values_of
from trainables.config_checks import MODEL_OPTIONS, options_of
from trainables.errors import InputError, one_line, shorten, unknown_name
from trainables.parts.arguments import signature_of
from trainables.registries import registry
from trainables.trainable import Trainable, trainable_of
from trainables.user_code.part_names import PARTS, is_argument, is_own
from trainables.user_code.signature import members_of, parse_value
from trainables.user_code.source import is_user_code

# one value, in double quotes where it has a comma
VALUE = re.compile(r'\s*+(?:"((?:[^"]|"")*)"\s*|([^",][^,]*|))(?:,|$)')
MOST_SEEDS = 10_000


def quote(text: str) -> str:
    """Return a value as `split_values` reads it: quoted where it holds a comma, a quote, or a space at an end."""
    return '"' + text.replace('"', '""') + '"' if "," in text or '"' in text or text != text.strip() else text


def split_values(text: str) -> list[str]:
    """Split text at its commas: `"folder:/a, b",digits` is two values, the first with one. Raises `InputError`."""
    values, position = [], 0
    while position <= len(text):
        found = VALUE.match(text, position)
        if found is None:
            raise InputError(f"{shorten(text)}: a value in double quotes ends at its quote; a quote within is doubled")
        quoted, plain = found.groups()
        values.append(plain.strip() if quoted is None else quoted.replace('""', '"'))
        position = found.end() + (found.end() == len(text) and text[found.end() - 1 :] != ",")
        if position == len(text) and text[-1:] == ",":
            values.append("")
            break
    return values


def parse_assignment(text: str, option: str = "--set", trainable: str = IMAGE_CLASSIFIER) -> tuple[str, list[Any]]:
    """Turn `"lr=1e-4,1e-3"` into `("lr", [0.0001, 0.001])`. `seeds=0:5` and `seeds=0,1,2` are one value, a tuple.

    trainable: whose fields these are.
    """
    known = trainable_of(trainable)
    name, equals, values = text.partition("=")
    name = name.strip()
    if not equals or not values.strip():
        raise InputError(f"{option} {shorten(text)}: write FIELD=VALUE or FIELD=VALUE,VALUE")
    known.check_field(name)
    if name == "seeds":
        return name, [parse_seeds(values)]
    found = [_parse(known, name, value) for value in split_values(values)]
    if name == "dataset" and name in known.data_fields:
        # not at the top: --help needs no numpy
        from trainables.data.datasets import find

        # before Ray is started, and torch imported
        for value in found:
            find(value)
    return name, found


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read seeds: `"0:5"` is 0, 1, 2, 3, 4; `"3,7"` is 3 and 7. Raises `InputError`."""
    try:
        first, colon, last = text.partition(":")
        found = range(int(first), int(last)) if colon else [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"seeds={text}: write 0:5 or 0,1,2") from None
    if not 0 < len(found) <= MOST_SEEDS:
        raise InputError(f"seeds={text}: name 1 to {MOST_SEEDS} seeds, such as 0:5 or 0,1,2")
    return tuple(found)


def _parse(trainable: Trainable, field: str, text: str) -> Any:
    """Return one value as its field's type; a list's parts are written with dashes. Raises `InputError`.

    The type of an argument of a part is known once the parts are: see `_typed`.
    """
    if field not in trainable.fields:
        return _Text(text) if trainable.part_fields and is_argument(field) else parse_value(text, Any)
    annotation = trainable.config_type.model_fields[field].annotation
    members = members_of(annotation)
    if text.lower() == "none" and NoneType in members:
        return None
    listed = any(get_origin(member) is tuple for member in members)
    try:
        return _adapter(trainable.config_type, field).validate_python(tuple(text.split("-")) if listed else text)
    except ValidationError as error:
        raise InputError(f"{field}={text}: {one_line(error, '').split(': ', 1)[-1]}") from None


@cache
def _adapter(config_type: type[BaseModel], field: str) -> TypeAdapter[Any]:
    """Return what reads a field's type and limits out of text."""
    info = config_type.model_fields[field]
    limited: Any = Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
    return TypeAdapter(limited, config=config_type.model_config)


def override(
    sweep: Sweep,
    assigned: Sequence[str],
    fixed: Sequence[str],
    options: Mapping[str, Any],
    tuned: Sequence[str] = (),
) -> Sweep:
    """Return a sweep with `--set`, `--tune`, `--fix` and the options of the same meaning (None: not given) put in.

    With --set, a field that the sweep varies keeps its role; several values of another field make it a scientific one;
    values of a field of the cases choose among the cases, and another value replaces the field in all of them. With
    --tune a field becomes a nuisance one, with --fix it is held still. Raises `InputError`.
    """
    own = sweep.trainable
    _check_named(sweep, (*assigned, *fixed, *tuned))
    given = [parse_assignment(text, trainable=own) for text in assigned]
    given += [(name, [value]) for name, value in options.items() if value is not None]
    for name, values in given:
        sweep = _set(sweep, name, values)
    for text in tuned:
        name, values = parse_assignment(text, "--tune", own)
        if len(values) < 2 or name == "seeds":
            raise InputError(f"--tune {text}: two or more values of one field, other than seeds; --fix holds one still")
        sweep = _in_role(sweep, "nuisance", name, {"grid_search": values})
    for text in fixed:
        name, values = parse_assignment(text, "--fix", own)
        if len(values) != 1 or name == "seeds":
            raise InputError(f"--fix {text}: one value of one field, other than seeds")
        sweep = _in_role(sweep, "fixed", name, values[0])
    names = {name for name, _ in given} | {text.partition("=")[0].strip() for text in (*tuned, *fixed)}
    return _typed(_without_options_of_another_model(sweep, names))


class _Text(str):
    """A value of an argument as it was written."""


def _typed(sweep: Sweep) -> Sweep:
    """Return the sweep with what was written for arguments of parts as values of the types that those ask for."""
    roles: dict[str, Any] = {
        role: {name: _typed_domain(sweep, name, domain) for name, domain in getattr(sweep, role).items()}
        for role in ("scientific", "nuisance", "fixed")
    }
    return replace(sweep, **roles)


def _typed_domain(sweep: Sweep, name: str, domain: Any) -> Any:
    if not is_argument(name):
        return domain
    if is_grid(domain):
        return {"grid_search": [_typed_domain(sweep, name, value) for value in domain["grid_search"]]}
    if not isinstance(domain, _Text):
        return domain
    annotation = _annotation(sweep, name)
    try:
        return parse_value(str(domain), annotation)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _annotation(sweep: Sweep, name: str) -> Any:
    """Return the type of an argument by the first value of its part that takes it; `Any` where none does."""
    field, _, argument = name.partition(".")
    roles = (getattr(sweep, role) for role in ("scientific", "nuisance", "fixed"))
    parts = [value for role in roles if field in role for value in values_of(role[field]) or ()]
    parts += [case[field] for case in sweep.cases if field in case]
    for part in parts or [trainable_of(sweep.trainable).config_type.model_fields[field].default]:
        signature = signature_of(field, part, (argument,))
        if signature is not None and argument in signature.arguments:
            return signature.arguments[argument].annotation
    return Any


def _check_named(sweep: Sweep, texts: Sequence[str]) -> None:
    """Raise `InputError` for a field that neither the config nor the sweep names, where the config takes any."""
    trainable = trainable_of(sweep.trainable)
    if not trainable.fields_known:
        known = [*sweep.compared, *sweep.nuisance, *sweep.fixed, *trainable.fields]
        for name in (text.partition("=")[0].strip() for text in texts):
            if name not in known:
                raise InputError(f"{unknown_name('field', name, known)}; a new one stands in the SWEEP first")


def _without_options_of_another_model(sweep: Sweep, given: Set[str]) -> Sweep:
    """Return the sweep without the options that it holds still for its own model, where another one is given."""
    if sweep.trainable != IMAGE_CLASSIFIER or "model" not in given:
        return sweep
    roles = (sweep.scientific, sweep.nuisance, sweep.fixed)
    models = [model for role in roles if "model" in role for model in values_of(role["model"]) or ()]
    models += [case["model"] for case in sweep.cases if "model" in case]
    if not all(is_own("model", model) or model in registry("model") for model in models):
        # the config says so
        return sweep
    used = {option for model in models for option in options_of(model)}
    left_out = {name for name in MODEL_OPTIONS if name not in used and name not in given}
    return replace(sweep, fixed={name: value for name, value in sweep.fixed.items() if name not in left_out})


def _without(sweep: Sweep, name: str) -> tuple[Mapping[str, Any], ...]:
    """Return the cases without one of their fields; a case that is left empty is none."""
    rest = ({key: value for key, value in case.items() if key != name} for case in sweep.cases)
    return tuple(case for case in rest if case)


def _in_role(sweep: Sweep, role: str, name: str, value: Any) -> Sweep:
    """Return the sweep with a field in one role and in no other."""
    roles: dict[str, Any] = {
        other: {k: v for k, v in getattr(sweep, other).items() if k != name or other == role}
        for other in ("scientific", "nuisance", "fixed")
    }
    roles[role] = {**roles[role], name: value}
    return replace(sweep, **roles, cases=_without(sweep, name))


def _set(sweep: Sweep, name: str, values: list[Any]) -> Sweep:
    if name == "seeds":
        return replace(sweep, seeds=tuple(values[0]))
    if any(name in case for case in sweep.cases):
        if is_argument(name):
            values = [_typed_domain(sweep, name, value) for value in values]
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
        return _in_role(sweep, "scientific", name, grid)
    return replace(sweep, fixed={**sweep.fixed, name: values[0]})


def add_values(sweep: Sweep, text: str) -> Sweep:
    """Return the sweep with the values of `FIELD=V[,V...]` added to that field's grid. Raises `InputError`.

    For a run that goes on: what its data are, which trials compete, and which code it runs stay as they are.
    """
    trainable, name = trainable_of(sweep.trainable), text.partition("=")[0].strip()
    role = next((role for role in ("scientific", "nuisance") if is_grid(getattr(sweep, role).get(name))), None)
    if role is None or sweep.searcher != "grid" or isinstance(sweep.scheduler, Pbt):
        grids = [name for domains in (sweep.scientific, sweep.nuisance) for name in domains if is_grid(domains[name])]
        known = ", ".join(grids) if sweep.searcher == "grid" and not isinstance(sweep.scheduler, Pbt) else ""
        raise InputError(f"{shorten(name)} is no grid of this run, whose grids are: {known or 'none'}")
    if name in (*trainable.always_apart, *trainable.data_fields) or name in set(trainable.path_fields) - set(PARTS):
        raise InputError(f"{name} decides which data a run has, or who competes: add its values by --resume and --set")
    _, values = parse_assignment(text, "added", sweep.trainable)
    if any(map(is_user_code, values)):
        raise InputError(f"{name}: code of your own is named on the command line alone: --resume and --set")
    domains = getattr(sweep, role)
    known_values = values_of(domains[name]) or []
    new = [_typed_domain(sweep, name, value) for value in values]
    new = [value for number, value in enumerate(new) if value not in known_values and value not in new[:number]]
    if not new:
        raise InputError(f"{name} has these values already: {shorten(text)}")
    changed: dict[str, Any] = {role: {**domains, name: {"grid_search": [*known_values, *new]}}}
    return replace(sweep, **changed)
