"""Measures of a user's own: chosen by FILE.py:NAME, taken beside ours, and kept by commands that do not know them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from analysis import table
from analysis.measures import MEASURES
from analysis.weights import own_measures
from analysis.weights.files import read_tensors
from analysis.weights.measure_run import choose, measure_run
from tests.support.made_results import about
from tests.support.trained_run import train_run
from trainables.data.datasets import load
from trainables.errors import InputError
from trainables.user_code.in_use import forget_sources

MEASURE = '''
import numpy as np


def gini(weights):
    """Gini coefficient of the magnitudes."""
    x = np.sort(np.abs(weights).ravel())
    return float((2 * np.arange(1, len(x) + 1) - len(x) - 1) @ x / (len(x) * x.sum()))


def kurt(weights):
    return np.zeros(3)


def lmc(weights):
    return 0.0


def huge(weights):
    return 10**5000


def several(weights):
    import torch

    return torch.zeros(2)


def text(weights):
    return "0.5"


class Mute(Exception):
    def __str__(self):
        raise ValueError("no text")


def mute(weights):
    raise Mute


def fails(weights):
    return weights.no_such_method()
'''


@pytest.fixture
def spec(tmp_path: Path) -> Iterator[str]:
    """Yield the path of a file with measures; `MEASURES` is as it was afterwards."""
    before = dict(MEASURES)
    (tmp_path / "my_measure.py").write_text(MEASURE)
    forget_sources()
    yield str(tmp_path / "my_measure.py")
    forget(before)


def forget(before: dict[str, object]) -> None:
    for name in set(MEASURES) - set(before):
        del MEASURES[name]
    own_measures._OWN.clear()
    table.columns.cache_clear()


def gini(x: np.ndarray) -> float:
    """Return the mean absolute difference over twice the mean: the definition, pair by pair."""
    x = np.abs(x).ravel().astype(float)
    return float(np.abs(x[:, None] - x[None, :]).mean() / (2 * x.mean()))


def test_a_measure_is_taken_and_kept(spec: str, tmp_path: Path) -> None:
    before = {name: measure for name, measure in MEASURES.items() if name != "gini"}
    data = load("digits")
    values = {"dataset": "digits", "model": "mlp", "hidden_dims": (8,), "epochs": 1, "data_fraction": 0.2}
    run = train_run(tmp_path / "run", data, [values])
    run.description.write_text(json.dumps(about({}, {})))
    measure_run(run, choose(f"lmc,{spec}:gini"))
    rows = table.read(run.weights_table, "weights")
    tensors = read_tensors(next(run.trials.rglob("best_model.safetensors")))[0]
    for row in rows.itertuples():
        assert row.gini == pytest.approx(gini(tensors[row.tensor]), abs=1e-9)
    weights = rows[rows["shape"].map(len) > 1]
    sizes = weights["shape"].map(np.prod).astype(float)
    expected = float((weights["gini"] * sizes).sum() / sizes.sum())
    assert table.read(run.trials_table)["gini"].tolist() == pytest.approx([expected])
    # A process that does not know it measures something else.
    forget(before)
    measure_run(run, choose("lmc_reference"))
    kept = table.read(run.weights_table, "weights")
    assert kept["gini"].tolist() == rows["gini"].tolist()
    assert kept["lmc_reference"].notna().all()
    assert table.read(run.trials_table)["gini"].tolist() == pytest.approx([expected])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lmc", "lmc is the name of another measure or column"),
        ("kurt", "returned ndarray: a measure is one number|only length-1"),
        ("huge", "returned int: a measure is one number"),
        ("several", "returned Tensor: a measure is one number"),
        ("text", "returned str: a measure is one number"),
        ("mute", "my_measure.py, line [0-9]+: Mute$"),
        ("fails", "my_measure.py, line [0-9]+: AttributeError"),
        ("ginny", "unknown name 'ginny': did you mean 'gini'"),
    ],
)
def test_a_mistake_is_one_line(spec: str, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        choose(f"{spec}:{name}")
    assert "\n" not in str(error.value)
