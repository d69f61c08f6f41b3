"""Replicates know nothing of each other; early stopping and divergence end them as stated, also after a resume."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.short_training import digits, go_on, resumed_after, small_config, splits, started, trained, untimed
from trainables.config import TrialConfig
from trainables.data.arrays import SPLITS
from trainables.trainable import means_over_replicates
from trainables.training.early_stopping import Patience
from trainables.training.evaluation import Quality
from trainables.training.loop import EpochMetrics, TrainedEpoch, finish_epoch
from trainables.training.replicates import METRICS, by_layer, epoch_row, train_replicates

INFO = digits().info


def run_replicates(config: TrialConfig) -> list[list[EpochMetrics]]:
    return list(train_replicates(config, INFO, splits(), [started(config, seed) for seed in config.seeds]))


@pytest.mark.parametrize("values", [{"dropout": 0.4}, {"stochastic": "bayes_by_backprop"}, {"ema": 0.9}])
def test_a_replicate_does_not_depend_on_the_others(values: dict[str, Any]) -> None:
    together = run_replicates(small_config(seeds=(4, 1, 7), **values))
    for number, seed in enumerate((4, 1, 7)):
        alone = run_replicates(small_config(seeds=(seed,), **values))
        assert [untimed(epoch[number]) for epoch in together] == [untimed(epoch[0]) for epoch in alone]
    assert len({epoch.quality["val"].loss for epoch in together[-1]}) == 3


STOPS_EARLY = {"epochs": 12, "patience": 2, "min_delta": 0.003, "lr": 0.02, "schedule": "constant", "batch_size": 256}


def test_early_stopping_ends_each_replicate_in_its_own_time() -> None:
    seeds = (0, 1, 2, 3)
    config = small_config(seeds=seeds, **STOPS_EARLY)
    alone = [go_on(config, started(config, seed)) for seed in seeds]
    lengths = [len(epochs) for epochs in alone]
    assert 2 < min(lengths) < max(lengths) < 12, "the settings of this test must make them end at different epochs"
    together = run_replicates(config)
    assert len(together) == max(lengths)
    for epoch, metrics in enumerate(together, start=1):
        assert [m.epoch for m in metrics] == [epoch] * 4
        for number, m in enumerate(metrics):
            own = alone[number][min(epoch, lengths[number]) - 1]
            assert repr(m.quality) == repr(own.quality)  # NaN equals NaN on every version of Python
            assert m.stop_reason == ("early_stopping" if epoch >= lengths[number] else "")
            assert (m.images > 0) == (epoch <= lengths[number])
            assert not (m.is_best and epoch > lengths[number])
    rows = [epoch_row(m) for m in together[-1]]
    means = means_over_replicates(rows, METRICS)
    assert means["val_auc"] == pytest.approx(sum(epochs[-1].quality["val"].auc for epochs in alone) / 4)


def test_the_row_of_an_epoch_has_gradients_and_learned_values_by_layer() -> None:
    config = small_config(activation="learned_threshold")
    epochs = run_replicates(config)
    rows = [epoch_row(epoch[0]) for epoch in epochs]
    assert set(rows[0]["gradient_norms"]) == {"1", "2", "3", "4", "5"}  # linear layers and thresholds
    for row, epoch in zip(rows, epochs, strict=True):
        assert row["gradient_norm"] == pytest.approx(math.hypot(*row["gradient_norms"].values()), rel=1e-4)
        assert row["learned"] == pytest.approx(dict(epoch[0].learned), rel=1e-4)
    assert by_layer([row["learned"] for row in rows]) == {
        layer: [rows[0]["learned"][layer], rows[1]["learned"][layer]] for layer in epochs[0][0].learned
    }
    assert by_layer([{"a": 1.0}, {}, {"b": 2.0}]) == {"a": [1.0, None, None], "b": [None, None, 2.0]}


def test_early_stopping_survives_a_resume_before_and_after_it_has_struck(tmp_path: Path) -> None:
    config = small_config(**STOPS_EARLY)
    whole = go_on(config, started(config))
    for epochs in (len(whole) - 1, len(whole)):
        found, state = resumed_after(epochs, config, tmp_path)
        assert [untimed(m) for m in found] == [untimed(m) for m in whole]
        assert list(train_replicates(config, INFO, splits(), [state])) == []


def test_patience_not_reached_by_the_last_epoch_is_no_early_stop() -> None:
    _, metrics = trained(epochs=2, patience=2)
    assert [m.stop_reason for m in metrics] == ["", ""]


def stopped_at(scores: list[float], patience: int, min_delta: float) -> int | None:
    """Early stopping as Keras documents it, written out: the number of values seen when it strikes."""
    for seen in range(1, len(scores) + 1):
        best, since = -math.inf, 0
        for score in scores[:seen]:
            best, since = (score, 0) if score > best + min_delta else (best, since + 1)
        if since >= patience:
            return seen
    return None


@pytest.mark.parametrize("metric", ["val_auc", "val_acc", "val_loss"])
@pytest.mark.parametrize(("patience", "min_delta"), [(1, 0.0), (2, 0.0), (3, 0.05), (5, 0.2)])
def test_patience_counts_epochs_without_improvement(metric: str, patience: int, min_delta: float) -> None:
    generator = torch.Generator().manual_seed(3)
    config = small_config(patience=patience, min_delta=min_delta, early_stopping_metric=metric)
    for _ in range(20):
        scores = torch.rand(12, generator=generator).tolist()
        watcher, struck = Patience(config), None
        for seen, score in enumerate(scores, start=1):
            values = {"val_loss": 9.0, "val_auc": 0.1, "val_acc": 0.1} | {
                metric: -score if metric == "val_loss" else score
            }
            watcher.see(Quality(values["val_loss"], values["val_auc"], values["val_acc"]))
            struck = struck or (seen if watcher.exhausted else None)
        assert struck == stopped_at(scores, patience, min_delta)


def test_patience_goes_by_accuracy_where_auc_is_undefined() -> None:
    watcher = Patience(small_config(patience=2))
    for acc in (0.1, 0.2, 0.3, 0.4):
        watcher.see(Quality(1.0, math.nan, acc))
    assert not watcher.exhausted


def test_a_diverging_replicate_ends_the_trial_and_says_so() -> None:
    config = small_config(optimizer="sgd", lr=1000, lr_scale=1e30, seeds=(0, 1), epochs=5)
    epochs = run_replicates(config)
    assert len(epochs) < 5
    assert not all(m.finite for m in epochs[-1])
    assert not any(m.is_best for m in epochs[-1] if not m.finite)


def test_test_alone_ends_no_trial() -> None:
    config = small_config()
    fine, trained_epoch = Quality(1.0, 0.5, 0.5), TrainedEpoch(10, True, 0.1, {})
    for broken in ("train", "val", "test"):
        quality = {split: Quality(math.inf, math.nan, 0.5) if split == broken else fine for split in SPLITS}
        found = finish_epoch(config, started(config), trained_epoch, quality, 1.0, 1.0)
        assert (found.finite, found.is_best) == (broken == "test", broken == "test")


@pytest.mark.parametrize("seeds", [(0,), (0, 1), (0, 1, 2)])
@pytest.mark.parametrize(
    "values", [{}, {"ema": 0.9}, {"stochastic": "bayes_by_backprop"}, {"loss": "focal"}, {"schedule": "plateau"},
               {"optimizer": "adamw"}, {"patience": 1}],
)  # fmt: skip
def test_what_diverges_is_reported_and_raises_nothing(values: dict[str, Any], seeds: tuple[int, ...]) -> None:
    config = small_config(**{"optimizer": "sgd", "lr": 1000, "lr_scale": 1e30, "seeds": seeds, "epochs": 3, **values})
    epoch = run_replicates(config)[-1]
    assert not all(m.finite for m in epoch)
    means = means_over_replicates([epoch_row(m) for m in epoch], METRICS)
    assert math.isnan(means["val_loss"])


@pytest.mark.parametrize("values", [[1.0, math.nan], [math.inf, -math.inf], [math.inf, 1.0], [1e308, 1.7e308]])
def test_the_mean_of_what_is_not_finite_are_nan(values: list[float]) -> None:
    found = means_over_replicates([dict.fromkeys(METRICS, value) for value in values], METRICS)
    assert all(math.isnan(value) for value in found.values())


def test_means_are_those_of_numpy() -> None:
    values = np.random.default_rng(0).standard_normal((5, len(METRICS)))
    found = means_over_replicates([dict(zip(METRICS, row, strict=True)) for row in values.tolist()], METRICS)
    assert [found[name] for name in METRICS] == pytest.approx(values.mean(axis=0))
