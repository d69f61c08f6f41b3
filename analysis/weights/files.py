"""Weights read from files: those of training, and anybody's `.safetensors`, `.pt` and `.pth`. No code is run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trainables.errors import InputError

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
INSIDE = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights", "params")
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
BY_AXES = {2: "Linear", 3: "Conv1d", 4: "Conv2d", 5: "Conv3d"}
Tensors = dict[str, np.ndarray]


def read_tensors(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Tensors and metadata of a safetensors file; floats that numpy lacks become float32. Raises `InputError`."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            names, metadata = list(file.keys()), file.metadata() or {}
            try:
                return {name: file.get_tensor(name) for name in names}, metadata
            except (TypeError, AttributeError):  # bfloat16 and 8-bit floats
                return _read_through_torch(path), metadata
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read ({error})") from None


def _read_through_torch(path: Path) -> Tensors:
    from safetensors.torch import load_file

    return {name: _to_numpy(tensor) for name, tensor in load_file(path).items()}


def _to_numpy(tensor: Any) -> np.ndarray:
    dense = tensor.detach().cpu()
    array: np.ndarray = (dense.float() if dense.is_floating_point() and dense.element_size() < 4 else dense).numpy()
    return array


def read_epoch(path: Path) -> int:
    """The epoch that a weights file of ours is from; its tensors are not read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return int((file.metadata() or {})["epoch"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{path} is not a weights file of a run ({error})") from None


def read_learned(path: Path) -> tuple[Tensors, dict[str, str], int | None]:
    """The learned tensors of any weights file, the types of the modules that own them, and the epoch where it is said.

    The types stand in the files that training wrote; for others they are guessed from names and shapes. Buffers
    (running statistics, counters) are no weights and are left out. Raises `InputError`.
    """
    tensors, metadata = read_tensors(path) if path.suffix == ".safetensors" else (_read_state_dict(path), {})
    if types := json.loads(metadata.get("module_types", "{}")):
        return {name: tensors[name] for name in types if name in tensors}, types, int(metadata["epoch"])
    learned = {name: t for name, t in tensors.items() if t.dtype.kind in "fc" and name.split(".")[-1] not in BUFFERS}
    if not learned:
        raise InputError(f"{path} holds no weights: give a file with a state dict")
    return learned, guess_types(tensors), None


def _read_state_dict(path: Path) -> Tensors:
    import pickle

    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(
            f"{path} holds more than tensors, which could run code: save model.state_dict() alone, best as safetensors"
        ) from None
    except (OSError, EOFError, RuntimeError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({str(error).splitlines()[0]})") from None
    return {name: _to_numpy(tensor) for name, tensor in _find_state_dict(content, path).items()}


def _find_state_dict(content: Any, path: Path) -> Mapping[str, Any]:
    """The mapping of names to tensors, which training scripts like to put inside another one."""
    import torch

    if isinstance(content, Mapping):
        if tensors := {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}:
            return tensors
        for name in INSIDE:
            if isinstance(content.get(name), Mapping):
                return _find_state_dict(content[name], path)
    raise InputError(f"{path} holds no state dict: save model.state_dict()")


def guess_types(tensors: Mapping[str, np.ndarray]) -> dict[str, str]:
    """The likely type of the module that owns each tensor: by its axes, its siblings and, for embeddings, its name."""
    owners: dict[str, list[str]] = {}
    for name in tensors:
        owners.setdefault(name.rpartition(".")[0], []).append(name)
    types = {owner: _guess_type(owner, {name.rpartition(".")[2]: tensors[name] for name in names})
             for owner, names in owners.items()}  # fmt: skip
    return {name: types[name.rpartition(".")[0]] for name in tensors}


def _guess_type(owner: str, members: Mapping[str, np.ndarray]) -> str:
    if "running_mean" in members:
        return "BatchNorm"
    weight = members.get("weight")
    if weight is None or weight.ndim == 0:
        return "Parameter"
    if weight.ndim == 1:
        return "Norm" if "bias" in members else "Scale"
    if weight.ndim == 2 and re.search(r"embed|token|wte|wpe", owner) and "bias" not in members:
        return "Embedding"
    return BY_AXES.get(weight.ndim, "Parameter")
