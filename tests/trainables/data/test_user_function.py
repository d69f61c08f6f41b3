"""Functions of a user's own that return arrays: what they may return and ask for, their digest, their mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trainables.config import make_config
from trainables.data.arrays import MULTI_LABEL
from trainables.data.check import check
from trainables.data.datasets import canonical, load
from trainables.data.normalization import normalization_of, save, statistics
from trainables.errors import InputError
from trainables.trial_key import without_paths

PLAIN = """
import numpy as np

def load():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    return rng.integers(0, 256, (60, 8, 8), np.uint8), labels
"""
ASKS = """
import numpy as np

def load(image_size, data_root, channels=None):
    images = np.load(data_root / "images.npy")
    assert (image_size, channels) == (5, 1)
    return {"images": images, "labels": ["ill", "well"] * (len(images) // 2), "groups": np.arange(len(images)) // 2}
"""
LABELS = """
import numpy as np

def load():
    images = np.zeros((40, 4, 6, 6), np.float32)
    images[::2] = 1
    split = {"labels": np.eye(2, dtype=int)[np.arange(40) % 2] | 1, "images": images}
    return {f"{name}_{key}": value for name in ("train", "test") for key, value in split.items()}
"""


def spec(folder: Path, text: str, name: str = "load", file: str = "my_data.py") -> str:
    (folder / file).write_text(text)
    return f"{folder / file}:{name}"


def test_a_pair_is_what_the_same_arrays_in_a_file_are(tmp_path: Path) -> None:
    name = spec(tmp_path, PLAIN)
    data = load(name)
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "same.npz", images=rng.integers(0, 256, (60, 8, 8), np.uint8), labels=np.arange(60) % 3)
    same = load(f"npz:{tmp_path / 'same.npz'}")
    assert data.digest == same.digest
    assert any("split 70/15/15 by class with seed 42" in note for note in data.notes)
    assert data.splits["test"].labels.tolist() == same.splits["test"].labels.tolist()
    assert check(name).class_counts == check(f"npz:{tmp_path / 'same.npz'}").class_counts


def test_the_digest_is_of_the_arrays_alone(tmp_path: Path) -> None:
    first = load(spec(tmp_path, PLAIN))
    second = load(spec(tmp_path, f"# another text\n{PLAIN}", file="other.py"))
    assert first.digest == second.digest
    assert load(spec(tmp_path, PLAIN.replace("rng(0)", "rng(1)"), file="third.py")).digest != first.digest


def test_it_is_given_what_it_asks_for(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (80, 7, 7, 3), np.uint8)
    np.save(tmp_path / "images.npy", images)
    data = load(spec(tmp_path, ASKS), 5, tmp_path, channels=1)
    assert data.info.shape == (5, 5, 1)
    assert data.info.class_names == ("ill", "well")
    assert sum(len(part) for _, part in data) == 80


def test_volumes_several_labels_and_floats(tmp_path: Path) -> None:
    data = load(spec(tmp_path, LABELS))
    assert (data.info.task, data.info.shape) == (MULTI_LABEL, (4, 6, 6, 1))
    assert any("has no val" in note for note in data.notes)
    assert set(np.unique(data.splits["train"].images)) == {0, 255}


def test_names_normalization_and_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spec(tmp_path, PLAIN)
    assert canonical("my_data.py:load") == f"{tmp_path}/my_data.py:load"
    config = make_config({"dataset": "my_data.py:load"})
    assert config.dataset == f"{tmp_path}/my_data.py:load"
    assert without_paths(config.model_dump(mode="json"))["dataset"] == "my_data.py:load"
    data = load("my_data.py:load")
    assert normalization_of("dataset", data) == statistics(data)
    assert save(data) == tmp_path / f"my_data-{data.digest}.normalization.json"


MISTAKES = {
    "syntax": ("def load(:\n    pass\n", "my_data.py, line 1: "),
    "import": ("import nowhere_at_all\n", "my_data.py, line 1: ModuleNotFoundError: No module named 'nowhere_at_all'"),
    "name": ("def lode():\n    pass\n", "unknown name 'load': did you mean 'lode'"),
    "value": ("load = 3\n", "is no function"),
    "argument": ("def load(folder):\n    pass\n", "needs folder"),
    "raises": ("def load():\n    a = 1\n    return a / 0\n", "my_data.py, line 3: ZeroDivisionError: division by"),
    "none": ("def load():\n    pass\n", "returned None: return images and labels"),
    "keys": ("def load():\n    return {'x': [1], 'y': [2]}\n", "found x, y: give images and labels"),
    "more": (
        "def load():\n    return {'images': [1], 'labels': [2], 'z': 3}\n",
        "returned z, too, which has no meaning",
    ),
    "ragged": ("def load():\n    return [[[1, 2]], [[1]]], [0, 1]\n", "images cannot be made an array"),
    "regression": (
        "import numpy as np\ndef load():\n    return np.zeros((9, 4, 4)), np.linspace(0, 1, 9)\n",
        "regression is not supported",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_one_line(case: str, tmp_path: Path) -> None:
    text, message = MISTAKES[case]
    with pytest.raises(InputError) as caught:
        load(spec(tmp_path, text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"my_data\.py: there is no such file"):
        load(f"{tmp_path / 'my_data.py'}:load")
    with pytest.raises(InputError, match=r"unknown dataset 'my_data.py': .*FILE.py:NAME"):
        load("my_data.py")
