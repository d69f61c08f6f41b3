"""Equal settings have one key, however their numbers are written."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.trainables.user_function.test_config import DICT, spec_of
from trainables.config import TrialConfig, make_config
from trainables.errors import InputError
from trainables.trial_key import config_json, function_key, trial_key
from trainables.user_function.config import make

# what some fields need beside them
BESIDE: dict[str, dict[str, Any]] = {
    "momentum": {"optimizer": "sgd"}, "min_delta": {"patience": 2}, "focal_gamma": {"loss": "focal"},
    "kl_weight": {"stochastic": "bayes_by_backprop"}, "dropout": {"model": "cnn"},
}  # fmt: skip


@pytest.mark.parametrize("negative", [-0.0, "-0.0", "-0"])
def test_a_negative_zero_is_zero_in_every_field(negative: float | str) -> None:
    zeros = []
    for name in TrialConfig.model_fields:
        values = {"model": "mlp", **BESIDE.get(name, {})}
        try:
            zero, other = (make_config({**values, name: value}) for value in (0.0, negative))
        except InputError:
            # a field in which zero has no place, or no number at all
            continue
        zeros += [name] if isinstance(getattr(other, name), float) else []
        assert (zero, trial_key(zero, "d", "c"), hash(zero)) == (other, trial_key(other, "d", "c"), hash(other)), name
    assert {*BESIDE, "label_noise", "weight_decay", "label_smoothing"} <= set(zeros)


def test_a_negative_zero_is_zero_in_arguments_of_a_part_and_in_a_function_of_a_users_own() -> None:
    argument = make_config({"model": "mlp", "optimizer.eps": -0.0})
    assert '"optimizer.eps":0.0' in config_json(argument)
    typed = "@dataclass\nclass Config:\n    rate: float\n    rates: tuple[float, ...] = ()\n\n"
    for text in (DICT, typed + DICT.replace("config,", "config: Config,")):
        spec = spec_of(text)
        zero, other = (make(spec, {"rate": value, "rates": (value, 1.0)}) for value in (0.0, -0.0))
        assert math.copysign(1.0, other.rate) == 1.0  # type: ignore[attr-defined]
        assert (hash(zero), function_key(zero, spec, "c")) == (hash(other), function_key(other, spec, "c"))
