"""The fields of a trial as a list: what each may be, its default, and what it means."""

from __future__ import annotations

from collections.abc import Sequence
from types import NoneType
from typing import Literal, get_args, get_origin

from analysis.comparison.labels import show_value
from trainables.config import TrialConfig
from trainables.registries import REGISTRIES
from trainables.user_code.part_names import PARTS
from trainables.user_code.signature import members_of

# the lists of `sweeps.list` that are a field's registry
REGISTRY_LISTS = {
    "models": "model",
    "activations": "activation",
    "stochastic": "stochastic",
    "optimizers": "optimizer",
    "schedules": "schedule",
    "losses": "loss",
    "normalizations": "normalization",
}


def fields() -> list[dict[str, str]]:
    """Return the fields of a trial, for --set, --tune and --fix."""
    return [
        {
            "field": name,
            "values": _allowed(name),
            "default": _default(name),
            "what": str(field.description),
        }
        for name, field in TrialConfig.model_fields.items()
    ]


def _allowed(name: str) -> str:
    """Return `whole number, 1 to 4096`, the choices, or where they are listed."""
    if name in REGISTRIES:
        listed = next(f"see sweeps.list {what}" for what, field in REGISTRY_LISTS.items() if field == name)
        return f"{listed}, or your own: FILE.py:NAME" if name in PARTS else listed
    if name in ELSEWHERE:
        return ELSEWHERE[name]
    field = TrialConfig.model_fields[name]
    members = [member for member in members_of(field.annotation) if member is not NoneType]
    none = ", or none" if NoneType in members_of(field.annotation) else ""
    for member in members:
        if get_origin(member) is Literal:
            return " ".join(map(str, get_args(member))) + none
    kinds: dict[object, str] = {int: "whole number", float: "number", bool: "true or false", str: "text"}
    return kinds[members[0]] + _limits(field.metadata) + none


def _limits(metadata: Sequence[object]) -> str:
    """Return `, at least 1, at most 4096` of a field's limits."""
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return "".join(
        f", {word} {getattr(item, limit):,}"
        for item in metadata
        for limit, word in words.items()
        if getattr(item, limit, None) is not None
    )


def _default(name: str) -> str:
    value = TrialConfig.model_fields[name].default
    return "of the optimizer" if name == "lr" else show_value(value)


# fields whose values are neither a registry's nor said by their type alone
ELSEWHERE = {
    "dataset": "see sweeps.list datasets; your own: folder:PATH, npz:FILE, csv:FILE?..., FILE.py:NAME",
    "augmentation": "see sweeps.list augmentations, or your own: FILE.py:NAME",
    "hidden_dims": "whole numbers with dashes, such as 512-256",
    "transfer": "scratch frozen full partial:N",
    "weights": "imagenet, a .safetensors or .pt file, a trial's folder, or none",
    "seeds": "whole numbers, such as 0:5 or 0,1,2",
}
