"""Parts of a trial that may be a user's own: the fields that name them, the forms of a name, and their arguments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainables.user_code.signature import Scalar
from trainables.user_code.source import is_user_code, split_spec


@dataclass(frozen=True)
class PartKind:
    """The things that we pass to a part: names where its signature asks for them, and how many arguments come first.

    leading: of a function; a class that is made first takes none of these.
    of_a_class: of a class, whose instances the library makes itself.
    """

    offered: tuple[str, ...] = ()
    leading: int = 0
    of_a_class: int = 0


PARTS: dict[str, PartKind] = {
    "model": PartKind(("classes", "channels", "image_size", "is_3d", "activation")),
    "activation": PartKind(leading=1),
    "optimizer": PartKind(("lr", "weight_decay", "momentum"), leading=1, of_a_class=1),
    "schedule": PartKind(("total_steps", "steps_per_epoch", "epochs", "max_lr"), leading=1, of_a_class=1),
    "loss": PartKind(leading=2),
    "augmentation": PartKind(leading=1),
    "stochastic": PartKind(leading=1),
}
# The activation of a model that takes none of ours and was not given one.
OWN_ACTIVATION = "own"
LIBRARY = re.compile(r"(?P<library>timm|torchvision):(?P<name>[A-Za-z_][\w.\-]*)")
ARGUMENT = re.compile(rf"({'|'.join(PARTS)})\.([A-Za-z_]\w*)")


def is_library_model(value: object) -> bool:
    """Return whether a value has the form timm:NAME or torchvision:NAME."""
    return isinstance(value, str) and LIBRARY.fullmatch(value) is not None


def is_own(field: str, value: object) -> bool:
    """Return whether a field's value names a part that no table of ours has: a user's, or a library's model."""
    return field in PARTS and (is_user_code(value) or (field == "model" and is_library_model(value)))


def is_argument(name: str) -> bool:
    """Return whether a name is one of an argument: `model.width`."""
    return ARGUMENT.fullmatch(name) is not None


def field_of(name: str) -> str:
    """Return the field whose part an argument belongs to: `model` of `model.width`."""
    return name.partition(".")[0]


def arguments_in(config: Any, field: str) -> dict[str, Scalar]:
    """Return the arguments that a config has for a part: `{"width": 16}` of `model.width`."""
    prefix = f"{field}."
    extra: Mapping[str, Scalar] = getattr(config, "__pydantic_extra__", None) or {}
    return {name.removeprefix(prefix): value for name, value in extra.items() if name.startswith(prefix)}


def specs_in(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the user's code that a config's values name, by field: `{"model": "my_net.py:MyNet"}`."""
    return {field: values[field] for field in PARTS if is_user_code(values.get(field))}


def short_name(value: str) -> str:
    """Return the NAME of `FILE.py:NAME` and `timm:NAME`; another value as it is."""
    library = LIBRARY.fullmatch(value)
    return library["name"] if library else split_spec(value)[1] if is_user_code(value) else value
