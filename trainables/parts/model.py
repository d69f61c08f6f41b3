"""A model of a user's own, a class or function, as an entry beside the files of `trainables/models/`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

from torch import nn

from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo
from trainables.errors import InputError
from trainables.layers.activations import make_activation
from trainables.parts.arguments import callable_of
from trainables.parts.library_model import library_entry
from trainables.user_code.errors import user_errors
from trainables.user_code.part_names import OWN_ACTIVATION, arguments_in, is_library_model
from trainables.user_code.signature import parameters_of, passed


def entry_of(spec: str) -> Any:
    """Return `OPTIONS`, `DEFAULTS`, `build` and, where the user's object has it, `stages`, as a model's file does."""
    if is_library_model(spec):
        return library_entry(spec)
    part = callable_of(spec)
    own = {} if "activation" in parameters_of(part) else {"activation": OWN_ACTIVATION}
    stages = getattr(part, "stages", None)
    return SimpleNamespace(
        OPTIONS=(),
        DEFAULTS={**own, **getattr(part, "DEFAULTS", {})},
        build=partial(_build, spec, part),
        kind=part,
        **({"stages": stages} if callable(stages) else {}),
    )


def _build(spec: str, part: Callable[..., Any], config: TrialConfig, info: DataInfo) -> nn.Module:
    """Call a user's class or function with its arguments, and with what it asks for of ours."""
    sides = info.shape[:-1]
    offered = {
        "classes": info.n_classes,
        "channels": info.channels,
        "image_size": sides[0] if len(set(sides)) == 1 else tuple(sides),
        "is_3d": info.is_3d,
        "activation": partial(make_activation, config.activation),
    }
    with user_errors(spec, part):
        model = part(**passed(part, offered), **arguments_in(config, "model"))
    if not isinstance(model, nn.Module):
        raise InputError(f"{spec} returned a {type(model).__name__}: it must be, or return, an nn.Module")
    return model
