"""Weights read from files: those of training, and anybody's `.safetensors`, `.pt` and `.pth`. No code is run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from trainables.errors import InputError
from trainables.network.state_dicts import read_arrays, read_metadata

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
BY_AXES = {2: "Linear", 3: "Conv1d", 4: "Conv2d", 5: "Conv3d"}
Tensors = dict[str, np.ndarray]
Reader = Callable[[Path], tuple[Tensors, dict[str, str]]]
read_tensors = read_arrays


def read_epoch(path: Path) -> int:
    """Read the epoch that a weights file of ours is from, without its tensors."""
    return _epoch(path, read_metadata(path))


def _epoch(path: Path, metadata: Mapping[str, str]) -> int:
    try:
        return int(metadata["epoch"])
    except (KeyError, ValueError) as error:
        raise InputError(f"{path} is not a weights file of a run (epoch {error})") from None


def _module_types(path: Path, metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the types that training wrote; empty for a file of other programs.

    Raises `InputError` for damaged ones.
    """
    try:
        types = json.loads(metadata.get("module_types", "{}"))
    except (ValueError, RecursionError):
        types = None
    if not isinstance(types, dict) or not all(isinstance(kind, str) for kind in types.values()):
        raise InputError(f"{path}: its metadata module_types are damaged: get the file again")
    return types


def read_learned(path: Path, read: Reader = read_tensors) -> tuple[Tensors, dict[str, str], int | None]:
    """Read the learned tensors of any weights file, the types of the modules that own them, and the epoch if known.

    The types stand in the files that training wrote; for others they are guessed from names and shapes. Buffers
    (running statistics, counters) are no weights and are left out. read: one that keeps what it has read, for a file
    that others read too. Raises `InputError`.
    """
    epoch: int | None
    tensors, metadata = read(path)
    if types := _module_types(path, metadata):
        learned, epoch = {name: tensors[name] for name in types if name in tensors}, _epoch(path, metadata)
    else:
        types, epoch = guess_types(tensors), _epoch(path, metadata) if "epoch" in metadata else None
        floats = {name: tensor for name, tensor in tensors.items() if tensor.dtype.kind in "fc"}
        learned = {name: tensor for name, tensor in floats.items() if name.split(".")[-1] not in BUFFERS}
    if not learned:
        raise InputError(f"{path} holds no weights: give a file with a state dict")
    return learned, types, epoch


def guess_types(tensors: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Guess the type of the module that owns each tensor: by its axes, its siblings and, for embeddings, its name."""
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
