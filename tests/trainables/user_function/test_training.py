"""A training function's replicates: rows, the best epoch, checkpoints, and what each mistake says."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from itertools import count, islice
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from analysis.table.definitions import columns, config_columns, model_measures
from trainables.errors import InputError
from trainables.metric_names import RESERVED
from trainables.trainable import EpochReport, trainable_of
from trainables.user_code.in_use import use_sources
from trainables.user_code.source import Source
from trainables.user_function.training import FunctionTraining
from trainables.worker.attempt_folder import replicate_folder

NUMBERS: Iterator[int] = count()
# Draws from all three generators, before the first epoch and in each.
DRAWS = """
import random
import numpy as np
import torch

def train(config, trial):
    level = np.random.rand() + random.random() + torch.rand(()).item()
    if trial.restored:
        level = trial.restored["level"]
    for epoch in trial.epochs(config["epochs"]):
        level = level + np.random.rand() * torch.rand(()).item() + random.random()
        trial.save({"level": level})
        trial.weights({"w": np.full(3, level)})
        yield {"val_score": level, "val_loss": -level, "draw": np.random.rand()}
"""


def training_of(text: str, metric: str = "val_score", mode: str = "max", **values: object) -> FunctionTraining:
    name = f"training_{next(NUMBERS)}.py"
    use_sources({f"{name}:train": Source(name, {name: text})})
    trainable = trainable_of(f"{name}:train")
    config = trainable.make({"epochs": 4, "seeds": (0, 1), **values})
    training = trainable.begin(config, None, metric, mode)
    assert isinstance(training, FunctionTraining)
    return training


def again(training: FunctionTraining) -> FunctionTraining:
    """Return the same trial before its first epoch."""
    return FunctionTraining(training.spec, training.config, training.steering, "max")


def yielding(metrics: str, loop: str = "while True") -> str:
    """Return a training function that yields these metrics in a loop."""
    head = "import numpy as np\nimport torch\n\ndef train(config, trial):\n"
    return f"{head}    {loop}:\n        yield {metrics}\n"


def values(reports: list[EpochReport]) -> list[list[tuple[float, ...]]]:
    return [[tuple(row[name] for name in report.metrics) for row in report.rows] for report in reports]


def test_rows_have_metrics_seeds_epochs_and_the_best_so_far() -> None:
    scores = (
        "def train(config, trial):\n    for score in (1, 3, 2, 3):\n        yield {'val_score': score + trial.seed}\n"
    )
    reports = list(training_of(scores).train())
    assert [report.rows[1]["epoch"] for report in reports] == [1, 2, 3, 4]
    assert [row["is_best"] for row in (report.rows[0] for report in reports)] == [True, True, False, False]
    assert [row["val_score"] for row in (report.rows[1] for report in reports)] == [2, 4, 3, 4]
    assert {report.metrics for report in reports} == {("val_score",)}
    worst = list(training_of(scores, mode="min").train())
    assert [report.rows[0]["is_best"] for report in worst] == [True, False, False, False]


@pytest.mark.parametrize("killed_after", [1, 2, 3])
def test_a_trial_that_goes_on_equals_one_that_was_not_killed(tmp_path: Path, killed_after: int) -> None:
    whole = training_of(DRAWS)
    undisturbed = list(whole.train())
    assert len({row["draw"] for report in undisturbed for row in report.rows}) == 8
    first = again(whole)
    reports = list(islice(first.train(), killed_after))
    assert first.save(tmp_path / "checkpoint.pt")
    second = again(whole)
    assert second.load(tmp_path / "checkpoint.pt")
    assert second.epoch == killed_after
    assert values([second.last()]) == values(reports[-1:])
    assert values([*reports, *second.train()]) == values(undisturbed)


def test_a_checkpoint_ahead_of_the_ledger_is_left(tmp_path: Path) -> None:
    first = training_of(DRAWS)
    list(islice(first.train(), 3))
    first.save(tmp_path / "checkpoint.pt")
    second = again(first)
    assert not second.load(tmp_path / "checkpoint.pt", most=2)
    assert second.epoch == 0


def test_a_donor_gives_its_state_and_its_epoch(tmp_path: Path) -> None:
    donor, other = training_of(DRAWS), training_of(DRAWS)
    reports = list(islice(donor.train(), 2))
    donor.save(tmp_path / "donor.pt")
    other.load_donor(tmp_path / "donor.pt")
    following = next(other.train())
    assert following.rows[0]["epoch"] == 3
    assert following.rows[0]["val_score"] > reports[-1].rows[0]["val_score"]


def test_without_a_saved_state_there_is_no_checkpoint(tmp_path: Path) -> None:
    training = training_of("def train(config, trial):\n    while True:\n        yield {'val_score': 1}\n")
    list(islice(training.train(), 2))
    assert not training.save(tmp_path / "checkpoint.pt")
    assert not (tmp_path / "checkpoint.pt").exists()


def test_weights_are_kept_as_final_and_after_the_best_epoch_as_best(tmp_path: Path) -> None:
    text = (
        "import numpy as np\ndef train(config, trial):\n    trial.weights({'w': np.zeros(1)}, 'initial')\n"
        "    for epoch, score in enumerate((1, 3, 2, 2), 1):\n        trial.weights({'w': np.full(1, epoch)})\n"
        "        yield {'val_score': score}\n"
    )
    training = training_of(text)
    for _ in training.train():
        training.save_weights(partial(replicate_folder, tmp_path))
    read = {path.stem: load_file(path)["w"].item() for path in (tmp_path / "seed_1").iterdir()}
    assert read == {"initial_model": 0, "final_model": 4, "best_model": 2}


def test_a_replicate_that_stops_keeps_its_last_row_while_the_other_goes_on() -> None:
    text = (
        "def train(config, trial):\n    for epoch in trial.epochs(config['epochs']):\n"
        "        if trial.seed == 0 and epoch == 2:\n            trial.stop()\n        yield {'val_score': epoch}\n"
    )
    reports = list(training_of(text).train())
    assert [[row["val_score"] for row in report.rows] for report in reports] == [[1, 1], [2, 2], [2, 3], [2, 4]]
    assert [report.rows[0]["stop_reason"] for report in reports] == ["", *["early_stopping"] * 3]
    assert [report.rows[0]["train_seconds"] > 0 for report in reports] == [True, True, False, False]


@pytest.mark.parametrize("value", ["float('nan')", "float('inf')"])
def test_a_steering_metric_or_loss_that_is_not_finite_has_diverged(value: str) -> None:
    for metrics in (f"{{'val_score': {value}}}", f"{{'val_score': 1, 'train_loss': {value}}}"):
        (report,) = training_of(yielding(metrics)).train()
        assert not report.finite
    fine = training_of(
        f"def train(config, trial):\n    while True:\n        yield {{'val_score': 1, 'test_auc': {value}}}\n"
    )
    assert all(report.finite for report in fine.train())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("    yield 3", "it yields int: yield metrics by name"),
        ("    yield {'score': 1}", "it yields no val_score, by which the sweep goes, but score"),
        ("    yield {'val_score': 'good'}", "val_score is str and no number"),
        ("    yield {'val_score': [1, 2]}", "val_score is list and no number"),
        ("    yield {'val_score': __import__('torch').ones(2)}", "val_score is Tensor and no number"),
        ("    yield {'val_score': 10**400}", "val_score is int and no number"),
        ("    yield {'val_score': 1, 'status': 2}", "a metric cannot be named 'status'"),
        ("    yield {'val_score': 1, 'final_x': 2}", "a metric cannot be named 'final_x'"),
        ("    yield {'val_score': 1}\n    yield {'val_score': 1, 'more': 2}", "more is not in every epoch's report"),
        ("    yield {'val_score': 1}", "ended after 1 of 4 epochs"),
        ("    yield {'val_score': 1 / 0}", r"training_\d+.py, line 2: ZeroDivisionError"),
        ("    import sys; sys.exit(3)\n    yield {}", r"training_\d+.py, line 2: SystemExit: 3"),
        ("    raise ValueError('one\\ntwo')\n    yield {}", "line 2: ValueError: one"),
        ("    trial.save({'model': object()})\n    yield {}", "state.'model'. is of type object"),
        ("    trial.weights(3)\n    yield {}", "is no state dict"),
        ("    trial.weights({'a': [1]}, 'middle')\n    yield {}", "choose one of initial, best, final"),
    ],
)
def test_each_mistake_is_one_line_with_the_remedy(body: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        list(training_of(f"def train(config, trial):\n{body}\n").train())
    assert "\n" not in str(error.value)


def test_a_tensor_or_an_array_of_one_value_is_a_number() -> None:
    text = yielding("{'val_score': torch.tensor(2.5), 'b': np.float32(1)}")
    row = next(training_of(text).train()).rows[0]
    assert (row["val_score"], row["b"]) == (2.5, 1.0)


def test_names_that_columns_have_are_those_of_the_tables() -> None:
    """A measure of weights gives way to a user's own field or metric of that name; all other columns do not."""
    trials, epochs = columns("trials"), columns("epochs")
    metrics = {name for name in trials if f"final_{name}" in trials or name.startswith("final_")}
    fields = set(config_columns()) - {"seeds"}
    assert {*trials, *epochs} - fields - metrics - set(model_measures()) == RESERVED


@pytest.mark.parametrize("metrics", ["'val_score': np.inf", "'val_score': 9.0, 'train_loss': np.nan"])
def test_an_epoch_that_diverged_is_never_the_best(metrics: str) -> None:
    head = "import numpy as np\n\ndef train(config, trial):\n    yield {'val_score': 0.5, 'train_loss': 1}\n"
    text = f"{head}    yield {{'train_loss': 1, {metrics}}}\n"
    first, last = training_of(text).train()
    assert [row["is_best"] for report in (first, last) for row in report.rows] == [True, True, False, False]
    assert not last.finite


def test_numbers_of_a_function_are_finite_or_nan() -> None:
    """A value of test that is undefined is NaN and no divergence."""
    report = next(training_of(yielding("{'val_score': 1, 'test_score': float('nan')}")).train())
    assert report.finite
    assert math.isnan(report.rows[0]["test_score"])
