"""Tensors out of anybody's weights file: safetensors, or a torch file that holds a state dict. Nothing in it is run.

A file is known by its first bytes and not by its suffix. Whatever is wrong with it is an `InputError` of one line.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.atomic_files import check_regular
from trainables.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

# Training scripts put a state dict under these keys.
WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights", "params")
# Wrappers inside wrappers are opened to this depth.
DEEPEST = 4
# Prefixes of DataParallel and of torch.compile.
PREFIXES = re.compile(r"^(?:(?:module|_orig_mod)\.)+")
ALONE = "save model.state_dict() alone, best as safetensors"


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file to the CPU, by name without the prefixes of DataParallel and torch.compile."""
    content: Any = _load_safetensors(path) if _kind_of(path) == "safetensors" else _load_torch(path)
    tensors = {PREFIXES.sub("", name): tensor for name, tensor in _unwrap(content, DEEPEST).items()}
    if not tensors:
        raise InputError(f"{path} holds no state dict: {ALONE}")
    for name, tensor in tensors.items():
        _check_tensor(path, name, tensor)
    return tensors


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read a file as arrays, with a safetensors file's metadata; floats that numpy lacks become float32."""
    if _kind_of(path) != "safetensors":
        return {name: to_numpy(tensor) for name, tensor in read_state_dict(path).items()}, {}
    from safetensors import safe_open

    with _one_line(path), safe_open(path, framework="numpy") as file:
        metadata = file.metadata() or {}
        try:
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
        # These are raised for bfloat16 and 8-bit floats.
        except (TypeError, AttributeError):
            return {name: to_numpy(tensor) for name, tensor in _load_safetensors(path).items()}, metadata


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a safetensors file, without its tensors."""
    from safetensors import safe_open

    with _one_line(path), safe_open(path, framework="numpy") as file:
        return file.metadata() or {}


def to_numpy(tensor: Tensor) -> np.ndarray:
    """Return a tensor as an array; short floats become float32, which numpy has."""
    dense = tensor.detach().cpu()
    array: np.ndarray = (dense.float() if dense.is_floating_point() and dense.element_size() < 4 else dense).numpy()
    return array


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """Turn whatever reading a file raises into an `InputError` of one line."""
    try:
        check_regular(path)
        yield
    except InputError:
        raise
    # Zip, pickle, safetensors and torch raise their own, and a made-up file any of them.
    except Exception as error:
        raise InputError(f"{path} cannot be read as weights ({_reason(error)}): name another file") from None


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    # torch advises to load without its guard against code.
    return type(error).__name__ if not lines or "weights_only" in lines[0] else lines[0][:200]


def _kind_of(path: Path) -> str:
    """Return `safetensors`, `zip` or `pickle`, by the first bytes.

    Raises `InputError` that says what the file is instead.
    """
    with _one_line(path):
        with path.open("rb") as file:
            head = file.read(512)
        if not head:
            raise InputError(f"{path} is empty: get the file again")
        # A header's length goes first, and any byte may begin it: that of a pickle, too.
        if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
            return "safetensors"
        if head.startswith(b"version https://git-lfs"):
            raise InputError(f"{path} is a pointer of Git LFS and not the file itself: get it with `git lfs pull`")
        if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):
            raise InputError(f"{path} is a web page and no weights: download the file itself")
        if head.startswith(b"PK"):
            _check_archive(path)
            return "zip"
        if head.startswith(b"\x80"):
            return "pickle"
        raise InputError(f"{path} cannot be read as weights: it is neither whole safetensors nor saved by torch.save")


def _check_archive(path: Path) -> None:
    """Raise `InputError` for an archive that holds code, no state dict, or more than its file has room for."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if any("/code/" in name for name in names):
        raise InputError(f"{path} is a TorchScript program, which would run code: {ALONE}")
    if not any(name.endswith("/data.pkl") for name in names):
        raise InputError(f"{path} is a zip archive and holds no state dict: {ALONE}")
    claimed = sum(entry.file_size for entry in entries)
    if claimed > path.stat().st_size:
        raise InputError(f"{path} claims {claimed:,} bytes in a file of {path.stat().st_size:,}: {ALONE}")


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    with _one_line(path):
        return load_file(path)


def _load_torch(path: Path) -> Any:
    import torch

    with _one_line(path), warnings.catch_warnings():
        # torch warns of old formats; what cannot be read raises.
        warnings.simplefilter("ignore")
        try:
            # torch would judge a path by its suffix.
            with path.open("rb") as file:
                return torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            match = re.search(r"GLOBAL ([\w.]{1,100})", str(error))
            if match is None:
                raise InputError(f"{path} cannot be read as weights (damaged): get the file again") from None
            raise InputError(f"{path} holds more than tensors ({match[1]}), which could run code: {ALONE}") from None


def _unwrap(content: Any, depth: int) -> dict[str, Tensor]:
    """Return the innermost mapping of names to tensors, which training scripts like to put inside another one."""
    import torch

    if not isinstance(content, Mapping):
        return {}
    for key in WRAPPERS if depth else ():
        if isinstance(content.get(key), Mapping) and (inside := _unwrap(content[key], depth - 1)):
            return inside
    return {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}


def _check_tensor(path: Path, name: str, tensor: Tensor) -> None:
    """Raise `InputError` for a tensor that has no array of its own, or shows more than the file holds."""
    kinds = list(_unusual(tensor))
    if kinds:
        raise InputError(f"{path}: tensor {name!r} is {kinds[0]}: save it as a plain tensor")
    shown, stored = tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes()
    if shown > stored:
        raise InputError(
            f"{path}: tensor {name!r} shows {shown:,} bytes of {stored:,} that are stored: save tensor.clone()"
        )


def _unusual(tensor: Tensor) -> Iterator[str]:
    import torch

    if tensor.is_nested or tensor.layout != torch.strided:
        yield "nested" if tensor.is_nested else "sparse"
    if tensor.is_quantized:
        yield "quantized"
    if tensor.is_meta:
        yield "without values (on the meta device)"
