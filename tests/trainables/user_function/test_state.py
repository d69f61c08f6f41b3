"""State and weights of a training function are written so that reading them runs no code."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from trainables.errors import InputError
from trainables.user_function.state import load_states, pack, save_states, tensors_of, unpack, write_weights

ENTRY = {"seed": 0, "last": {"epoch": 1}, "best": None, "ended": False, "metrics": ["val_score"]}


def round_trip(path: Path, state: Any) -> Any:
    save_states(path / "checkpoint.pt", [{**ENTRY, "state": pack(state)}])
    return unpack(load_states(path / "checkpoint.pt", [0])[0]["state"])


def test_arrays_tensors_numbers_and_texts_come_back(tmp_path: Path) -> None:
    state = {
        "weights": np.arange(6.0).reshape(2, 3), "flags": np.array([True]), "tensor": torch.ones(2), "n": 3, 5: None,
        "list": [1, "a", np.float32(0.5)], "pair": (1.5, False), "bytes": b"x",
    }  # fmt: skip
    back = round_trip(tmp_path, state)
    np.testing.assert_array_equal(back["weights"], state["weights"])
    assert back["flags"].dtype == bool
    assert torch.equal(back["tensor"], torch.ones(2))
    assert (back["n"], back[5], back["list"], back["pair"], back["bytes"]) == (
        3,
        None,
        [1, "a", 0.5],
        (1.5, False),
        b"x",
    )


def test_an_optimisers_state_dict_comes_back(tmp_path: Path) -> None:
    model = nn.Linear(3, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    back = round_trip(tmp_path, {"model": model.state_dict(), "optimizer": optimizer.state_dict()})
    other = torch.optim.Adam(nn.Linear(3, 1).parameters(), lr=0.5)
    other.load_state_dict(back["optimizer"])
    assert other.param_groups[0]["lr"] == 0.1
    assert torch.equal(other.state_dict()["state"][0]["exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"])


def test_a_copy_is_taken() -> None:
    array = np.zeros(2)
    packed = pack({"array": array, "list": (values := [1])})
    array += 1
    values.append(2)
    assert unpack(packed)["array"].tolist() == [0, 0]
    assert unpack(packed)["list"] == [1]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (object(), "state is of type object"),
        ({"a": [1, {2}]}, r"state\['a'\]\[1\] is of type set"),
        ({"f": len}, "state.'f'. is of type builtin"),
        ({(1, 2): 3}, "has the key"),
        (np.array([object()]), "state is of type ndarray"),
    ],
)
def test_what_only_code_could_read_back_is_refused(state: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        pack(state)


def test_a_pickle_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"replicates": [{**ENTRY, "state": Evil()}]}, tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match="cannot be used"):
        load_states(tmp_path / "checkpoint.pt", [0])
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"PK\x03\x04"])
def test_a_damaged_checkpoint_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(InputError, match="cannot be used"):
        load_states(tmp_path / "checkpoint.pt", [0])


def test_weights_are_those_of_a_module_or_of_named_arrays(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    tensors, types = tensors_of(model)
    assert types == {"0.weight": "Linear", "0.bias": "Linear"}
    write_weights(tmp_path / "w.safetensors", tensors, types, {"epoch": "3"})
    np.testing.assert_array_equal(load_file(tmp_path / "w.safetensors")["0.weight"], model[0].weight.detach().numpy())
    assert set(tensors_of(OrderedDict(coef=np.ones(3)))[0]) == {"coef"}
    for bad in (3, {}, {"a": "text"}, {"a": object()}):
        with pytest.raises(InputError):
            tensors_of(bad)
