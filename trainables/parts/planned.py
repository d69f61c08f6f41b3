"""Configs with parts of a user's own, as they are planned: defaults filled in, arguments and code checked, digested."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from importlib import import_module
from typing import Any

from trainables.code_digest import training_digest
from trainables.config import TrialConfig, make_config
from trainables.config_checks import MODEL_OPTIONS, options_of
from trainables.data.arrays import DataInfo
from trainables.errors import InputError
from trainables.parts.arguments import accepts, check_part
from trainables.registries import entry, registry
from trainables.user_code.in_use import source_of
from trainables.user_code.part_names import PARTS, arguments_in, is_argument, is_own, specs_in
from trainables.user_code.source import is_user_code

# Kinds of parts that are tried on their own; a model and what stands in it are tried when its size is counted.
TRIED = ("activation", "optimizer", "schedule", "loss", "augmentation")


Values = Mapping[str, Any]


def config_without_foreign(
    values: dict[str, Any], rows: Sequence[Values], tuned: Mapping[str, Sequence[Any]]
) -> TrialConfig:
    """Return a validated config without what only others of the compared settings read. Raises `InputError`.

    rows: the settings that are compared; tuned: the values of each nuisance field that lists them.
    """
    return planned_config(_without_foreign_arguments(_without_foreign_options(values, rows), rows, tuned))


def _without_foreign_options(values: dict[str, Any], rows: Sequence[Values]) -> dict[str, Any]:
    """Drop what only another of the compared models or stochastic layers reads; an option of none stays an error."""
    foreign: set[str] = set()
    for field, options in (("model", _model_options), ("stochastic", _stochastic_options)):
        given, known = {row[field] for row in rows if field in row}, registry(field)
        compared = {name for name in given if name in known or is_own(field, name)}
        chosen = str(values.get(field))
        if len(compared) > 1 and chosen in compared:
            foreign |= set().union(*(options(name) for name in compared)) - options(chosen)
    return {name: value for name, value in values.items() if name not in foreign}


def _without_foreign_arguments(
    values: dict[str, Any], rows: Sequence[Values], tuned: Mapping[str, Sequence[Any]]
) -> dict[str, Any]:
    """Drop what only another value of a part takes; an argument of none stays an error."""
    foreign: set[str] = set()
    for name in filter(is_argument, values):
        field, _, argument = name.partition(".")
        chosen = values.get(field, TrialConfig.model_fields[field].default)
        others = {*(row.get(field) for row in rows), *tuned.get(field, ())} - {None, chosen}
        if not accepts(field, chosen, argument) and any(accepts(field, other, argument) for other in others):
            foreign.add(name)
    return {name: value for name, value in values.items() if name not in foreign}


def _model_options(model: str) -> set[str]:
    return set(options_of(model)) & set(MODEL_OPTIONS)


def _stochastic_options(name: str) -> set[str]:
    if is_own("stochastic", name):
        return set()
    known = registry("stochastic")[name]
    return {*known.options, *(["stochastic_strength"] if known.strength is not None else [])}


def planned_config(values: Mapping[str, Any]) -> TrialConfig:
    """Return a validated config, the code of its parts read. Raises `InputError`.

    What a user's model or optimiser says of its own defaults is filled in, so that a config says what was trained.
    """
    filled = dict(values)
    if is_user_code(filled.get("model")):
        own = entry("model", filled["model"]).DEFAULTS
        filled |= {name: value for name, value in own.items() if filled.get(name) is None}
    if is_user_code(filled.get("optimizer")) and filled.get("lr") is None:
        filled["lr"] = entry("optimizer", filled["optimizer"]).lr
    config = make_config(filled)
    exact: dict[str, Any] = {}
    for field in PARTS:
        arguments = check_part(field, getattr(config, field), arguments_in(config, field))
        exact |= {f"{field}.{name}": value for name, value in arguments.items()}
    _check_common_settings(config)
    return make_config({**filled, **exact}) if exact else config


def _check_common_settings(config: TrialConfig) -> None:
    """Raise `InputError` for a setting that a user's optimiser does not ask for, where it is not the default."""
    if is_own("optimizer", config.optimizer):
        for name in ("momentum", "weight_decay"):
            has_effect = name in entry("optimizer", config.optimizer).options
            if not has_effect and getattr(config, name) != TrialConfig.model_fields[name].default:
                raise InputError(f"{name} has no effect with optimizer={config.optimizer!r}, which does not ask for it")


_TRIED: set[Hashable] = set()


def check_parts(config: TrialConfig, info: DataInfo) -> None:
    """Try each part of a user's own on a little data of a dataset's shape, once. Raises `InputError`."""
    for field, spec in specs_in(vars(config)).items():
        arguments = arguments_in(config, field)
        key = (
            field,
            spec,
            source_of(spec).digest,
            tuple(sorted(arguments.items())),
            info.shape,
            info.n_classes,
            info.task,
        )
        if field in TRIED and key not in _TRIED:
            import_module(f"trainables.parts.{field}").check(spec, arguments, info)
            _TRIED.add(key)


def code_of(config: TrialConfig) -> str:
    """Return the digest of the code that trains a config: ours, and the sources of the user's own parts."""
    ours = training_digest(config.model)
    theirs = [f"{field} {source_of(spec).digest}" for field, spec in sorted(specs_in(vars(config)).items())]
    return hashlib.sha256("\n".join([ours, *theirs]).encode()).hexdigest()[:16] if theirs else ours
