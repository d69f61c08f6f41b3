"""Batches: normalised, whole, in a part of the split, balanced; grey images as RGB."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from trainables.config import make_config
from trainables.data.arrays import SPLITS, Data, make_data
from trainables.data.batches import balancing_weights, batches, subset, to_device, training_batches, training_part
from trainables.data.datasets import load
from trainables.data.normalization import normalization_of
from trainables.data.splitting import noisy_labels, stratified_rows
from trainables.errors import InputError
from trainables.fused.together import together
from trainables.training.evaluation import predict
from trainables.training.loop import start, train
from trainables.training.precision import numerics_of
from trainables.training.replicates import Way, one_by_one, train_replicates

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEPS_CACHE", str(tmp_path / "cache"))


def _digits(**labels: np.ndarray) -> Data:
    rng = np.random.default_rng(0)
    splits = {split: (rng.integers(0, 256, (len(labels[split]), 4, 5, 3), np.uint8), labels[split]) for split in SPLITS}
    n_classes = int(max(label.max() for label in labels.values())) + 1
    return make_data("made", "multi-class", tuple(map(str, range(n_classes))), splits)


def test_batches_are_normalised_channels_first_and_complete() -> None:
    data = _digits(train=np.arange(9) % 2, val=np.arange(4) % 2, test=np.arange(4) % 2)
    normalization = normalization_of("dataset", data)
    split = to_device(data, normalization, CPU)["train"]
    inputs = torch.cat([inputs for inputs, _ in batches(split, 4)]).numpy()
    mean, std = np.array(normalization.mean), np.array(normalization.std)
    expected = ((data.splits["train"].images / 255 - mean) / std).transpose(0, 3, 1, 2)
    assert inputs == pytest.approx(expected, abs=1e-5)
    shuffled = [labels for _, labels in batches(split, 4, torch.Generator().manual_seed(1))]
    assert [len(labels) for labels in shuffled] == [4, 4], "a last batch of one is dropped in training"
    assert split.images.data_ptr() == data.splits["train"].images.ctypes.data, "no copy on the CPU"


def test_grey_as_rgb_batches_equal_three_copies() -> None:
    grey, rgb = load("digits"), load("digits", channels=3)
    one, three = (to_device(d, normalization_of("half", d), CPU)["val"] for d in (grey, rgb))
    for (inputs, _), (copies, _) in zip(batches(one, 100), batches(three, 100), strict=True):
        assert torch.equal(inputs.expand(-1, 3, -1, -1), copies)
    assert three.images.shape[-1] == 1


def test_part_is_stratified_nested_and_used_by_training() -> None:
    labels = np.repeat([0, 1, 2], [600, 300, 1])
    small, large = stratified_rows(labels, 0.1), stratified_rows(labels, 0.5)
    assert np.bincount(labels[small]).tolist() == [60, 30, 1]
    assert set(small) < set(large)
    data = load("digits")
    config = make_config({"data_fraction": 0.25, "model": "mlp", "epochs": 1})
    splits = to_device(data, normalization_of("dataset", data), CPU)
    (metrics,) = train(config, data.info, splits, start(config, 0, data.info, CPU))
    chosen = stratified_rows(data.splits["train"].labels, 0.25)
    assert metrics.images == len(chosen)
    cut = subset(splits["train"], 0.25)
    inputs = torch.cat([inputs for inputs, _ in batches(cut, 64)])
    whole = torch.cat([inputs for inputs, _ in batches(splits["train"], 64)])
    assert torch.equal(inputs, whole[chosen])
    assert torch.equal(cut.labels, splits["train"].labels[chosen])


def test_a_share_of_the_training_labels_is_wrong_and_nested() -> None:
    labels = np.arange(1000) % 10
    few, many = noisy_labels(labels, 0.2, 10), noisy_labels(labels, 0.6, 10)
    assert (few != labels).sum() == 200
    assert (many != labels).sum() == 600
    assert (many[few != labels] == few[few != labels]).all()
    # 600 draws among 9 wrong classes each: 66.7 by step, standard deviation 7.7
    steps = np.bincount((many - labels)[many != labels] % 10, minlength=10)
    assert steps[0] == 0
    assert (abs(steps[1:] - 600 / 9) < 31).all()
    assert (labels == np.arange(1000) % 10).all()


@pytest.mark.parametrize("way", [one_by_one, together])
def test_training_learns_noisy_labels_and_is_judged_by_true_ones(way: Way) -> None:
    data = load("digits")
    splits = to_device(data, normalization_of("dataset", data), CPU)
    values = {"model": "mlp", "epochs": 30, "lr": 0.01, "label_noise": 0.4, "seeds": (0, 1)}
    config = make_config(values)
    states = [start(config, seed, data.info, CPU) for seed in config.seeds]
    *_, last = train_replicates(config, data.info, splits, states, way)
    part = training_part(splits["train"], config, data.info)
    assert (part.labels != splits["train"].labels).sum() == round(0.4 * len(part))
    for state, metrics in zip(states, last, strict=True):
        said = predict(state.model, splits["train"], numerics_of(config, CPU)).argmax(1)
        learned = float((said == part.labels).double().mean())
        assert learned > 0.8
        assert learned == pytest.approx(metrics.quality["train"].acc, abs=0.02)
        # the true label of those that were replaced is rarely said
        wrong = part.labels != splits["train"].labels
        assert float((said[wrong] == splits["train"].labels[wrong]).double().mean()) < 0.5
        assert metrics.quality["test"].acc > 0.4


def test_balanced_sampling_shows_classes_equally_often() -> None:
    data = _digits(train=np.repeat([0, 1, 2], [900, 90, 10]), val=np.arange(6) % 3, test=np.arange(6) % 3)
    split = to_device(data, normalization_of("none", data), CPU)["train"]
    config = make_config({"sampling": "balanced", "batch_size": 100})
    drawn = torch.cat([y for _, y in training_batches(split, config, data.info, torch.Generator().manual_seed(0))])
    assert len(drawn) == 1000
    # 1,000 draws with probability 1/3: standard deviation 14.9
    assert np.bincount(drawn).tolist() == pytest.approx([333, 333, 333], abs=4 * 14.9)


def test_balancing_weights_of_multi_label_follow_the_rarest_label() -> None:
    labels = torch.tensor([[1, 0], [1, 0], [1, 1], [0, 0], [1, 0], [0, 0]])
    assert balancing_weights(labels).tolist() == pytest.approx([1 / 3, 1 / 3, 1, 1 / 2, 1 / 3, 1 / 2])


def test_channels_that_were_not_loaded_are_an_error() -> None:
    data = load("digits")
    split = to_device(data, normalization_of("none", data), CPU)["train"]
    with pytest.raises(InputError, match="load it again"):
        next(training_batches(split, make_config({"channels": 3}), data.info, torch.Generator()))
