"""Weights files of anybody: read whole, or refused in one line; nothing in them is run or allocated beyond the file."""

from __future__ import annotations

import json
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from analysis.weights.files import read_learned
from trainables.errors import InputError
from trainables.network.state_dicts import read_arrays, read_state_dict

RAN: list[str] = []


class Code:
    """Runs when a pickle that holds it is read without a guard."""

    def __reduce__(self) -> tuple[Any, ...]:
        return RAN.append, ("ran",)


def _plain() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).state_dict()


WRITERS: dict[str, Callable[[Path], None]] = {
    "zip": lambda path: torch.save(_plain(), path),
    "legacy": lambda path: torch.save(_plain(), path, _use_new_zipfile_serialization=False),
    "safetensors": lambda path: save_file(_plain(), path, {"epoch": "3"}),
    "wrapped": lambda path: torch.save({"model": {"state_dict": _plain()}, "best_acc": torch.tensor(0.9)}, path),
    "parallel": lambda path: torch.save({f"module._orig_mod.{n}": t for n, t in _plain().items()}, path),
    "bfloat16": lambda path: torch.save(
        {n: t.bfloat16() if t.is_floating_point() else t for n, t in _plain().items()}, path
    ),
}


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".weights"])
@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_is_known_by_its_content(kind: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"file{suffix}"
    WRITERS[kind](path)
    found, (arrays, _) = read_state_dict(path), read_arrays(path)
    assert set(found) == set(arrays) == set(_plain())
    for name, tensor in _plain().items():
        exact = tensor.bfloat16() if kind == "bfloat16" and tensor.is_floating_point() else tensor
        assert torch.equal(found[name], exact)
        assert np.array_equal(arrays[name], exact.float().numpy() if exact.is_floating_point() else exact.numpy())


def test_a_safetensors_header_may_begin_as_a_pickle_does(tmp_path: Path) -> None:
    """The first byte is that of the header's length, 128 here; a pickle begins with the same one."""
    path = tmp_path / "m.safetensors"
    for length in range(1, 80):
        save_file({"w": torch.ones(2)}, path, {"k": "v" * length})
        if path.read_bytes()[0] == 0x80:
            break
    assert path.read_bytes()[0] == 0x80
    assert read_arrays(path)[1] == {"k": "v" * length}


def _header(path: Path, shape: list[int], end: int) -> None:
    text = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(16))


def _bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b/data.pkl", b"\x80\x02}q\x00.")
        archive.writestr("b/data/0", bytes(10**6))


def _script(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("s/data.pkl", b"\x80\x02}q\x00.")
        archive.writestr("s/code/__torch__.py", "print('ran')")


def _cycle(path: Path) -> None:
    content: dict[str, Any] = {}
    content["model"] = content
    torch.save(content, path)


def _npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.ones(3))


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty.pt": (lambda p: p.write_bytes(b""), "is empty: get the file again"),
    "empty.safetensors": (lambda p: p.write_bytes(b""), "is empty: get the file again"),
    "lfs.pth": (lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "git lfs pull"),
    "page.pth": (lambda p: p.write_text("\n <!DOCTYPE html><html>404</html>"), "is a web page"),
    "page.safetensors": (lambda p: p.write_text("<html>404</html>"), "is a web page"),
    "noise.pt": (lambda p: p.write_bytes(np.random.default_rng(0).bytes(999)), "neither whole safetensors nor saved"),
    "folder.pt": (lambda p: p.mkdir(), "cannot be read as weights"),
    "list.pt": (lambda p: torch.save([1, 2], p), "holds no state dict"),
    "cycle.pt": (_cycle, "holds no state dict"),
    "pickle.pt": (lambda p: p.write_bytes(pickle.dumps({"a": 1})), "cannot be read as weights"),
    "code.pt": (lambda p: torch.save(Code(), p), "holds more than tensors .* which could run code"),
    "code_in_pickle.pt": (lambda p: p.write_bytes(pickle.dumps(Code(), 2)), "which could run code"),
    "module.pt": (lambda p: torch.save(nn.Linear(2, 2), p), "torch.nn.modules.linear.Linear.*could run code"),
    "script.pt": (_script, "TorchScript"),
    "npz.pt": (_npz, "holds no state dict"),
    "bomb.pt": (_bomb, "claims 1,000,006 bytes in a file of"),
    "expanded.pt": (lambda p: torch.save({"w": torch.zeros(1).expand(10**6, 10**6)}, p), "'w' shows 4,000,000,000,000"),
    "sparse.pt": (lambda p: torch.save({"w": torch.eye(3).to_sparse()}, p), "'w' is sparse"),
    "meta.pt": (lambda p: torch.save({"w": torch.empty(3, device="meta")}, p), "'w' is without values"),
    "huge.safetensors": (lambda p: _header(p, [10**12], 4 * 10**12), "cannot be read as weights"),
    "overflow.safetensors": (lambda p: _header(p, [2**40, 2**40], 16), "cannot be read as weights"),
    "header.safetensors": (lambda p: p.write_bytes(struct.pack("<Q", 2**60) + b"{}"), "cannot be read as weights"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_one_line(name: str, tmp_path: Path) -> None:
    write, message = HOSTILE[name]
    write(tmp_path / name)
    for read in (read_state_dict, read_arrays, read_learned):
        tracemalloc.start()
        with pytest.raises(InputError, match=message) as caught:
            read(tmp_path / name)
        assert tracemalloc.get_traced_memory()[1] < 2**25
        tracemalloc.stop()
        assert "\n" not in str(caught.value)
        assert "weights_only" not in str(caught.value)
    assert not RAN


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"module_types": "no JSON", "epoch": "3"}, "module_types"),
        ({"module_types": "[1]", "epoch": "3"}, "module_types"),
        ({"module_types": '{"w": ["Linear"]}', "epoch": "3"}, "module_types"),
        ({"module_types": "[" * 100_000, "epoch": "3"}, "module_types"),
        ({"module_types": '{"other": "Linear"}', "epoch": "3"}, "holds no weights"),
        ({"module_types": '{"w": "Linear"}', "epoch": "three"}, "epoch"),
        ({"module_types": '{"w": "Linear"}'}, "epoch"),
    ],
)
def test_bad_metadata_are_one_line(metadata: dict[str, str], message: str, tmp_path: Path) -> None:
    save_file({"w": torch.ones(2, 2)}, tmp_path / "m.safetensors", metadata)
    with pytest.raises(InputError, match=message) as caught:
        read_learned(tmp_path / "m.safetensors")
    assert "\n" not in str(caught.value)


@cache
def _bytes_of(kind: str, folder: Path) -> bytes:
    path = folder / kind
    WRITERS[kind](path)
    return path.read_bytes()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(["zip", "legacy", "safetensors"]), data=st.data())
def test_a_damaged_file_is_read_or_refused_in_one_line(kind: str, data: st.DataObject, tmp_path: Path) -> None:
    """Cut anywhere, or some bytes changed."""
    content = bytearray(_bytes_of(kind, tmp_path))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    for place in data.draw(st.lists(st.integers(0, max(0, len(content) - 1)), max_size=3)) if content else ():
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.pt"
    path.write_bytes(content)
    answer = ""
    try:
        read_state_dict(path)
    except InputError as error:
        answer = str(error)
    assert "\n" not in answer
