"""Optimisers: rates against torch's signatures, steps against torch's optimisers, and the two parts of Muon."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import pytest
import torch
from torch import nn, optim

from tests.support.short_training import digits, go_on, small_config, started, trained
from trainables.config import make_config
from trainables.errors import InputError
from trainables.network.build import build_model
from trainables.training.optimizers import OPTIMIZERS, MuonWithAdamW, make_optimizer

TORCH: dict[str, tuple[type[optim.Optimizer], dict[str, Any]]] = {
    "sgd": (optim.SGD, {"momentum": 0.9}),
    "sgd_nesterov": (optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "adam": (optim.Adam, {"fused": True}),
    "adamw": (optim.AdamW, {"fused": True}),
    "adamax": (optim.Adamax, {}),
    "nadam": (optim.NAdam, {}),
    "radam": (optim.RAdam, {}),
    "rmsprop": (optim.RMSprop, {}),
    "adagrad": (optim.Adagrad, {}),
}


def small_net() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))


def steps(model: nn.Module, optimizer: optim.Optimizer, count: int = 5) -> list[torch.Tensor]:
    inputs = torch.randn(16, 6, generator=torch.Generator().manual_seed(1))
    for _ in range(count):
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()
    return [p.detach().clone() for p in model.parameters()]


@pytest.mark.parametrize("name", TORCH)
def test_steps_are_torchs_at_its_own_rate(name: str) -> None:
    kind, arguments = TORCH[name]
    config = small_config(optimizer=name, weight_decay=0.02)
    assert config.lr == inspect.signature(kind).parameters["lr"].default
    mine, theirs = small_net(), small_net()
    reference = kind(theirs.parameters(), weight_decay=0.02, **arguments)  # type: ignore[call-arg]
    found, expected = steps(mine, make_optimizer(mine, config)), steps(theirs, reference)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_one_loop_steps_as_torch_does_by_itself(name: str) -> None:
    kind, _ = TORCH[name]
    mine, theirs = small_net(), small_net()
    optimizer = make_optimizer(mine, small_config(optimizer=name, weight_decay=0.02))
    assert optimizer.param_groups[0]["fused"]
    found, expected = steps(mine, optimizer), steps(theirs, kind(theirs.parameters(), weight_decay=0.02))  # type: ignore[call-arg]
    assert all(torch.allclose(a, b, rtol=1e-6, atol=1e-8) for a, b in zip(found, expected, strict=True))
    own = make_optimizer(small_net(), small_config(**{"optimizer": name, "optimizer.foreach": True}))
    assert own.param_groups[0]["foreach"]
    assert not own.param_groups[0]["fused"]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_trains(name: str) -> None:
    if name == "lion":
        pytest.importorskip("timm", reason="lion is timm's")
    _, metrics = trained(optimizer=name, epochs=3, lr_scale=3, schedule="constant")
    losses = [m.quality["train"].loss for m in metrics]
    assert losses[2] < losses[1] < losses[0] < 2.35


def test_lion_has_timms_rate_and_step() -> None:
    timm_optim = pytest.importorskip("timm.optim", reason="lion is timm's")
    config = small_config(optimizer="lion")
    assert config.lr == inspect.signature(timm_optim.Lion).parameters["lr"].default
    mine, theirs = small_net(), small_net()
    found, expected = steps(mine, make_optimizer(mine, config)), steps(theirs, timm_optim.Lion(theirs.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_lion_without_timm_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "timm.optim", None)
    with pytest.raises(InputError, match="pip install"):
        make_optimizer(small_net(), small_config(optimizer="lion"))


def test_lr_scale_multiplies_the_default_or_the_given_rate() -> None:
    for values, rate in (
        ({"optimizer": "rmsprop", "lr_scale": 0.5}, 5e-3),
        ({"optimizer": "nadam", "lr_scale": 10}, 2e-2),
        ({"optimizer": "adam", "lr": 1e-4, "lr_scale": 2}, 2e-4),
        ({"lr": None}, 1e-3),
    ):
        config = small_config(**values)
        group = make_optimizer(small_net(), config).param_groups[0]
        assert group["lr"] == pytest.approx(rate)
        assert make_config(config.model_dump()) == config  # a config that is read again is the same


def test_the_backbone_has_its_share_of_the_rate() -> None:
    config = make_config({"model": "resnet18", "lr": 1e-2, "lr_scale": 0.5})
    config = config.model_copy(update={"transfer": "full", "backbone_lr_scale": 0.1})
    optimizer = make_optimizer(build_model(config, digits().info), config)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([5e-3, 5e-4])


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"optimizer": "adamww"}, "did you mean 'adamw'"),
        ({"optimizer": "adam", "momentum": 0.5}, "momentum has no effect with optimizer='adam'"),
        ({"lr": 0}, "greater than 0"),
        ({"lr_scale": -1}, "greater than 0"),
    ],
)
def test_wrong_settings_are_errors(values: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        small_config(**values)


def test_nesterov_needs_momentum() -> None:
    with pytest.raises(InputError, match="momentum"):
        small_config(optimizer="sgd_nesterov", momentum=0)


def test_muon_takes_the_hidden_matrices_and_adamw_the_rest() -> None:
    model = small_net()
    optimizer = make_optimizer(model, small_config(optimizer="muon", lr=0.01))
    assert isinstance(optimizer, MuonWithAdamW)
    matrices = [p for group in optimizer.parts[0].param_groups for p in group["params"]]
    others = [p for group in optimizer.parts[1].param_groups for p in group["params"]]
    assert [id(p) for p in matrices] == [id(model[0].weight), id(model[2].weight)]
    assert len(matrices) + len(others) == len(list(model.parameters()))


def test_muon_steps_are_torchs_two() -> None:
    mine, theirs = small_net(), small_net()
    found = steps(mine, make_optimizer(mine, small_config(optimizer="muon", lr=0.01)))
    hidden = [theirs[0].weight, theirs[2].weight]
    rest = [p for p in theirs.parameters() if all(p is not h for h in hidden)]
    both = [
        optim.Muon(hidden, lr=0.01, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
        optim.AdamW(rest, lr=0.01, weight_decay=0.0),
    ]
    inputs = torch.randn(16, 6, generator=torch.Generator().manual_seed(1))
    for _ in range(5):
        theirs.zero_grad()
        theirs(inputs).square().mean().backward()
        for optimizer in both:
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(found, theirs.parameters(), strict=True))


def test_muon_goes_on_after_a_resume() -> None:
    config = small_config(optimizer="muon", lr=0.01)
    one = small_net()
    first = make_optimizer(one, config)
    steps(one, first)
    other = copy.deepcopy(one)
    second = make_optimizer(other, config)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for optimizer in (first, second):
        for group in optimizer.param_groups:
            group["lr"] = 0.003  # as a schedule does
    assert all(torch.equal(a, b) for a, b in zip(steps(one, first), steps(other, second), strict=True))


def test_muon_refuses_a_model_without_hidden_matrices() -> None:
    config = make_config({"optimizer": "muon", "model": "cnn"})
    with pytest.raises(InputError, match="muon needs hidden linear layers"):
        started(config)


def test_only_what_is_trained_is_optimised() -> None:
    config = small_config()
    state = started(config)
    frozen = next(state.model.parameters()).requires_grad_(False)
    before = frozen.detach().clone()
    state.optimizer = make_optimizer(state.model, config)
    assert all(p is not frozen for group in state.optimizer.param_groups for p in group["params"])
    go_on(config, state)
    assert torch.equal(frozen, before)
