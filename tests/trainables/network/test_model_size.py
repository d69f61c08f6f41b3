"""The size of a network is counted once, and nothing that changes it is left out of what tells networks apart."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.short_training import digits
from trainables.config import make_config
from trainables.errors import InputError
from trainables.network import model_size as sizes

OTHER: dict[str, Any] = {
    "backbone_lr_scale": 0.5, "kl_weight": 0.5, "optimizer": "sgd", "lr": 0.5, "lr_scale": 2.0,
    "momentum": 0.1, "weight_decay": 0.1, "schedule": "constant", "loss": "focal", "focal_gamma": 1.0,
    "class_weights": "balanced", "label_smoothing": 0.1, "batch_size": 7, "epochs": 3, "accumulate": 2,
    "clip_norm": 1.0,
    "ema": 0.9, "patience": 2, "min_delta": 0.1, "early_stopping_metric": "val_loss", "precision": "bfloat16",
    "channels_last": False, "compile": True, "profile": "medical", "save_every": 1, "seeds": (3, 4), "dropout": 0.4,
    "eval_train_every": 2,
    "data_fraction": 0.5, "label_noise": 0.2, "augmentation": "light", "sampling": "balanced", "normalization": "half",
    "dataset": "mnist",
}  # fmt: skip


def test_fields_of_the_training_change_no_size() -> None:
    config, info = make_config({"model": "cnn"}), digits().info
    assert set(OTHER) == sizes.TRAINING_FIELDS
    expected = sizes._count(config, info)
    for name, value in OTHER.items():
        assert sizes._count(config.model_copy(update={name: value}), info) == expected, name


@pytest.mark.parametrize(
    "changed",
    [{"width": 5}, {"depth": 1}, {"activation": "prelu"}, {"stochastic": "bayes_by_backprop"}, {"dropout": 0.0}],
)
def test_what_changes_the_network_is_counted_anew(changed: dict[str, Any]) -> None:
    info = digits().info
    for values in ({}, changed, {}):
        config = make_config({"model": "cnn", **values})
        assert sizes.model_size(config, info) == sizes._count(config, info)


def test_a_network_that_cannot_be_built_is_refused_each_time() -> None:
    info = digits().info
    sizes.model_size(make_config({"model": "cnn"}), info)
    for _ in range(2):
        with pytest.raises(InputError, match="no random layer"):
            sizes.model_size(make_config({"model": "mlp", "evaluation_samples": 3}), info)
