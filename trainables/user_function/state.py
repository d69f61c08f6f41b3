"""The state and weights that a training function hands over: copied, checked, written so that no code is read."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from trainables.atomic_files import replaced, write_atomically
from trainables.errors import InputError

# Marks an array of NumPy among what torch saves.
ARRAY = "__numpy_array__"
PLAIN = (bool, int, float, str, bytes, type(None))


def pack(value: Any, name: str = "state") -> Any:
    """Return a copy that can be saved: tensors, arrays, numbers and texts, in dicts and lists.

    Raises `InputError` that names what cannot be saved.
    """
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, Mapping):
        return {_key(key, name): pack(item, f"{name}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(pack(item, f"{name}[{i}]") for i, item in enumerate(value)) if type(value) in (
            list, tuple
        ) else [pack(item, f"{name}[{i}]") for i, item in enumerate(value)]  # fmt: skip
    return {ARRAY: _tensor_of(value, name)}


def _key(key: Any, name: str) -> str | int:
    if not isinstance(key, str | int):
        raise InputError(f"{name} has the key {key!r}: use texts or whole numbers")
    return key


def _tensor_of(value: Any, name: str) -> Tensor:
    """Return an array of NumPy, JAX and the like as a tensor. Raises `InputError`."""
    if hasattr(value, "__array__"):
        try:
            return torch.from_numpy(np.array(value))
        except TypeError:
            pass
    raise InputError(
        f"{name} is of type {type(value).__name__}, which only code could read back: save arrays, state dicts, "
        "numbers and texts, in dicts or lists"
    )


def unpack(value: Any) -> Any:
    """Return what `pack` was given, arrays as NumPy's."""
    if isinstance(value, dict):
        return value[ARRAY].numpy() if set(value) == {ARRAY} else {key: unpack(item) for key, item in value.items()}
    return type(value)(map(unpack, value)) if isinstance(value, list | tuple) else value


def save_states(path: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write the packed states of a trial's replicates to one file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path, durable=False) as beside:
        torch.save({"replicates": [dict(entry) for entry in entries]}, beside)


def load_states(path: Path, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Read the states of these seeds. Raises `InputError` where the file is damaged or of another trial."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        by_seed = {entry["seed"]: entry for entry in content["replicates"]}
        found = [by_seed[seed] for seed in seeds]
        if not all({"state", "last", "best", "ended", "metrics"} <= entry.keys() for entry in found):
            raise KeyError("state")
        return found
    except (OSError, EOFError, KeyError, RuntimeError, ValueError, TypeError, pickle.UnpicklingError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"checkpoint {path} cannot be used ({reason})") from None


def tensors_of(weights: Any) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return copies of the tensors of a state dict or of a module, and the types of the modules that own them.

    Raises `InputError` for what is neither.
    """
    types: dict[str, str] = {}
    if hasattr(weights, "state_dict") and hasattr(weights, "named_modules"):
        for path, module in weights.named_modules():
            names = (name for name, _ in module.named_parameters(recurse=False))
            types |= {f"{path}.{name}" if path else name: type(module).__name__ for name in names}
        weights = weights.state_dict()
    if not isinstance(weights, Mapping) or not weights:
        raise InputError(f"trial.weights: {type(weights).__name__} is no state dict: give arrays or tensors by name")
    found = {}
    for name, value in weights.items():
        tensor = value if isinstance(value, Tensor) else _tensor_of(value, f"weights[{name!r}]")
        found[str(name)] = tensor.detach().cpu().clone().contiguous()
    return found, types


def write_weights(
    path: Path, tensors: Mapping[str, Tensor], types: Mapping[str, str], metadata: Mapping[str, str]
) -> None:
    """Write tensors as safetensors. metadata: what the file says of itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    more = {"module_types": json.dumps(types)} if types else {}
    write_atomically(path, save(dict(tensors), {**metadata, **more}), durable=False)
