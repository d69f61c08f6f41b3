"""Evaluation with sampled random layers: the mean of draws, its entropy and mutual information, against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from tests.support.short_training import digits, go_on, small_config, splits, started, trained
from trainables.config import make_config
from trainables.data.arrays import DataInfo
from trainables.data.batches import DeviceSplit
from trainables.metric_names import SPLITS
from trainables.network.build import build_model
from trainables.training.evaluation import MOST_IMAGES, ROOM, entropy, evaluate, evaluation_batch, sample, sampling
from trainables.training.precision import make_repeatable

GREY = DataInfo("tiny", "multi-class", ("a", "b", "c"), (8, 8, 1))


def test_sampled_evaluation_is_the_mean_of_draws_with_entropy_and_mutual_information() -> None:
    state, _ = trained(stochastic="dropout", stochastic_strength=0.5)
    val, task = splits()["val"], digits().info.task
    torch.manual_seed(11)
    found = evaluate(state.model, val, digits().info, samples=7)
    torch.manual_seed(11)
    draws = np.stack([scores.double().numpy() for scores in sample(state.model, val, task, 7)])
    mean = draws.mean(axis=0)
    labels = val.labels.numpy()
    total, single = stats.entropy(mean, axis=1).mean(), stats.entropy(draws, axis=2).mean()
    assert found.acc == pytest.approx((mean.argmax(1) == labels).mean())
    assert found.loss == pytest.approx(-np.log(mean[np.arange(len(labels)), labels]).mean(), rel=1e-4)
    assert found.entropy == pytest.approx(total, rel=1e-4)
    assert found.mutual_information == pytest.approx(total - single, rel=1e-3)
    assert 0 < found.mutual_information < found.entropy < math.log(10)


def test_entropy_of_labels_adds_up() -> None:
    scores = torch.tensor([[0.2, 0.9], [0.5, 1.0]])
    expected = [sum(stats.bernoulli(p).entropy() for p in row) for row in scores.tolist()]
    assert entropy(scores, "multi-label, binary-class").tolist() == pytest.approx(
        [float(e) for e in expected], abs=1e-6
    )


def test_sampling_wakes_random_layers_alone() -> None:
    model = build_model(make_config({"model": "cnn", "stochastic": "drop_connect", "dropout": 0.3}), GREY)
    with sampling(model):
        awake = {type(module).__name__ for module in model.modules() if module.training}
    assert awake == {"DropConnect", "Dropout"}
    assert not any(module.training for module in model.modules())


def test_sampled_metrics_are_reported_by_epoch_and_repeatable() -> None:
    config = small_config(stochastic="gumbel_softmax", activation="identity", evaluation_samples=3)
    first, second = go_on(config, started(config)), go_on(config, started(config))
    assert [m.quality for m in first] == [m.quality for m in second]
    assert all(m.quality[split].mutual_information > 0 for m in first for split in ("train", "val", "test"))
    _, plain = trained(stochastic="dropout")
    assert math.isnan(plain[0].quality["val"].entropy)


@pytest.mark.parametrize("patience", [None, 2])
def test_train_is_evaluated_at_every_nth_epoch_at_each_best_and_at_the_last(patience: int | None) -> None:
    values = {"epochs": 14, "lr": 0.05, "patience": patience}
    (whole, every), (seldom, some) = trained(**values), trained(**values, eval_train_every=5)
    due = [m.epoch for m in every if m.epoch % 5 == 0 or m.is_best or m is every[-1]]
    assert [m.epoch for m in some if math.isfinite(m.quality["train"].loss)] == due
    assert len(due) < len(every)
    assert (len(every) < 14) == bool(patience)
    for mine, theirs in zip(some, every, strict=True):
        splits_there = SPLITS if mine.epoch in due else ("val", "test")
        assert {s: mine.quality[s] for s in splits_there} == {s: theirs.quality[s] for s in splits_there}
        assert mine.finite
    weights = whole.model.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in seldom.model.state_dict().items())


def _volumes(n: int, side: int) -> DeviceSplit:
    images = torch.zeros(n, side, side, side, 1, dtype=torch.uint8)
    return DeviceSplit(images, torch.arange(n) % 2, torch.ones(1) / 255, torch.zeros(1))


def test_a_batch_of_evaluation_follows_the_largest_layer() -> None:
    """A convolution of 16 channels on 48³ voxels holds 17 × 48³ values an image: 128 of them would take 0.96 GB."""
    convolution, seen = nn.Conv3d(1, 16, 3, padding=1), []
    convolution.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    model = nn.Sequential(convolution, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(16, 2))
    split = _volumes(40, 48)
    expected = ROOM["cpu"] // (4 * 17 * 48**3)
    assert expected == 35
    assert evaluation_batch(model, split) == expected
    seen.clear()
    evaluate(model, split, DataInfo("made", "binary-class", ("a", "b"), (48, 48, 48, 1)))
    assert seen == [35, 5]


def test_a_batch_grows_as_far_as_the_largest_layer_fits_the_caches() -> None:
    mlp, wide = started(small_config(model="mlp")).model, nn.Sequential(nn.Conv2d(1, 512, 3, padding=1))
    assert evaluation_batch(mlp, splits()["val"]) > 1000
    assert evaluation_batch(wide, splits()["val"]) == MOST_IMAGES["cpu"] == 128


def test_one_image_that_is_too_large_is_still_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ROOM, "cpu", 8)
    assert evaluation_batch(nn.Flatten(), _volumes(2, 4)) == 1


def test_repeatable_kernels_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    before = torch.get_num_threads()
    try:
        make_repeatable(1)
        assert (torch.get_num_threads(), torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark) == (
            1, True, False,
        )  # fmt: skip
    finally:
        torch.set_num_threads(before)
