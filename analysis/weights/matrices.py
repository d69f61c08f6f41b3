"""The matrices that a model multiplies by, among its tensors, and those that are made of other values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from trainables.atomic_files import check_regular
from trainables.errors import InputError

# Parameters with two axes or more that multiply nothing: logarithms of deviations and rates, tables and tokens that are
# added, gains of a channel.
ADDED = re.compile(r"(^|_)(rho|logits?|token|embedding|embed|table|bias|scale|gamma)$")
# Modules whose `logits` are free values, and whose weight is made of them.
STOCHASTIC = ("StochasticLinear", "StochasticConv")


def is_matrix(tensor: str, shape: Sequence[int], module_type: str = "") -> bool:
    """Tell whether a tensor is a weight matrix: two axes or more, and its layer multiplies by it.

    >>> is_matrix("0.weight", [8, 1, 3, 3]), is_matrix("0.weight_rho", [8, 4]), is_matrix("pos_embedding", [1, 9, 4])
    (True, False, False)
    """
    return len(shape) >= 2 and "Norm" not in module_type and not ADDED.search(tensor.rpartition(".")[2])


def with_multiplied(
    path: Path, tensors: Mapping[str, np.ndarray], types: Mapping[str, str]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Replace the free values of each stochastic matrix by its weight, in the tensors and types of a weights file.

    Such a layer multiplies by softmax(V / T) or sparsemax(V / T); the file holds V. Raises `InputError`.
    """
    names = {
        name: f"{name.removesuffix('logits')}weight" if kind in STOCHASTIC and name.endswith("logits") else name
        for name, kind in types.items()
    }
    if all(name == own for own, name in names.items()):
        return dict(tensors), dict(types)
    columns, temperature = _columns_of(path)
    if columns not in ("softmax", "sparsemax"):
        raise InputError(f"{path} does not say what its stochastic matrices are made of: stochastic is {columns!r}")
    multiplied = {
        names.get(name, name): array if names.get(name, name) == name else _columns(array, columns, temperature)
        for name, array in tensors.items()
    }
    return multiplied, {names[name]: kind for name, kind in types.items()}


def _columns_of(path: Path) -> tuple[str, float]:
    from safetensors import SafetensorError, safe_open

    try:
        check_regular(path)
        with safe_open(path, framework="numpy") as file:
            config = json.loads((file.metadata() or {})["config"])
        return str(config["stochastic"]).removesuffix("_matrix"), float(config["stochastic_temperature"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} does not say what its stochastic matrices are made of ({error})") from None


def _columns(free: np.ndarray, columns: str, temperature: float) -> np.ndarray:
    import torch

    from trainables.layers.stochastic_matrices import COLUMNS

    weight: np.ndarray = COLUMNS[columns](torch.from_numpy(np.ascontiguousarray(free)) / temperature, 0).numpy()
    return weight
