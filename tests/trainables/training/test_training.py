"""Training: bit-exact resume, independent replicates, early ends, averaging, clipping, accumulation, precision."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.support.short_training import (
    CPU,
    digits,
    go_on,
    resumed_after,
    small_config,
    splits,
    started,
    trained,
    untimed,
)
from trainables.config import PROFILES, TrialConfig, make_config
from trainables.data.batches import training_batches
from trainables.errors import InputError
from trainables.metrics.losses import loss_of
from trainables.training.checkpoint import load_checkpoint, save_checkpoint
from trainables.training.gradients import gradient_norms, gradient_notes, total_norm
from trainables.training.random_streams import stream
from trainables.training.replicates import epoch_row

INFO = digits().info
RESUMED: list[dict[str, Any]] = [
    {},
    {"model": "cnn", "width": 4},
    {"dropout": 0.3, "optimizer": "sgd_nesterov", "lr": 0.05},
    {"optimizer": "muon"},
    {"ema": 0.99, "model": "cnn", "width": 4},
    {"patience": 3, "schedule": "plateau"},
    {"accumulate": 3, "clip_norm": 0.5, "schedule": "one_cycle"},
    {"precision": "bfloat16"},
    {"channels_last": False, "model": "cnn", "width": 4},
    {"activation": "rescaled_relu_cosine"},
    {"activation": "rrelu"},
    {"stochastic": "bayes_by_backprop", "evaluation_samples": 2},
    {"stochastic": "concrete_dropout"},
    {"stochastic": "gumbel_softmax", "activation": "identity"},
    {"stochastic": "softmax_matrix", "lr": 0.03},
    {"augmentation": "flip+rotate:10", "sampling": "balanced"},
]


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("values", RESUMED, ids=str)
def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(values: dict[str, Any], tmp_path: Path) -> None:
    config = small_config(epochs=4, batch_size=256, **values)
    whole = go_on(config, (state := started(config)))
    found, resumed = resumed_after(2, config, tmp_path)
    assert [untimed(m) for m in found] == [untimed(m) for m in whole]
    assert same(resumed.model, state.model)
    assert same(resumed.learner, state.learner)
    assert resumed.best is not None
    assert state.best is not None
    assert untimed(resumed.best) == untimed(state.best)
    assert resumed.best_weights is not None
    assert state.best_weights is not None
    assert all(torch.equal(resumed.best_weights[k], v) for k, v in state.best_weights.items())


def test_a_damaged_or_foreign_checkpoint_is_an_error_that_names_it(tmp_path: Path) -> None:
    config = small_config()
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, [started(config)])
    whole = path.read_bytes()
    other = small_config(hidden_dims=(5,))
    for content, wanted in ((whole[:900], config), (b"no checkpoint", config), (b"", config), (whole, other)):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"checkpoint.pt cannot be used") as caught:
            load_checkpoint(path, wanted, digits(), CPU)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="cannot be used"):
        load_checkpoint(tmp_path / "none.pt", config, digits(), CPU)


def test_exploding_gradients_are_noted_with_a_remedy() -> None:
    _, metrics = trained(optimizer="sgd", lr=1e-9, epochs=1, activation="rescaled_relu:total=100000")
    assert metrics[0].finite
    assert "gradients explode: norm" in metrics[0].notes[0]
    assert "set clip_norm=1" in metrics[0].notes[0]
    assert epoch_row(metrics[0])["notes"] == metrics[0].notes[0]
    _, quiet = trained(epochs=1)
    assert quiet[0].notes == ()
    assert gradient_notes(math.inf, 2, 1.0) == ("gradients explode: norm inf at the end of epoch 2: lower lr",)
    assert gradient_notes(math.nan, 2, None) == ()  # the loss says so already


def by_hand(config: TrialConfig, epoch: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The batches of an epoch, as the loop meets them."""
    torch.manual_seed(stream(0, epoch))
    shuffle = torch.Generator().manual_seed(stream(0, epoch))
    return list(training_batches(splits()["train"], config, INFO, shuffle))


@pytest.mark.parametrize("clip_norm", [None, 0.05])
def test_gradient_norms_by_layer_are_those_of_the_last_step_before_clipping(clip_norm: float | None) -> None:
    config = small_config(optimizer="sgd", momentum=0, schedule="constant", lr=0.1, epochs=1, clip_norm=clip_norm)
    state, metrics = trained(**config.model_dump(exclude_unset=False))
    reference = started(config).model.train()
    for inputs, labels in by_hand(config, 1):
        reference.zero_grad()
        loss_of(reference(inputs), labels, INFO.task).backward()
        gradients = {name: p.grad.clone() for name, p in reference.named_parameters() if p.grad is not None}
        whole = math.sqrt(sum(float(g.square().sum()) for g in gradients.values()))
        factor = min(1.0, clip_norm / (whole + 1e-6)) if clip_norm else 1.0
        with torch.no_grad():
            for parameter in reference.parameters():
                assert parameter.grad is not None
                parameter -= 0.1 * factor * parameter.grad
    for layer in ("1", "3", "5"):
        both = gradients[f"{layer}.weight"].square().sum() + gradients[f"{layer}.bias"].square().sum()
        assert metrics[0].gradient_norms[layer] == pytest.approx(float(both.sqrt()), rel=1e-4)
    assert total_norm(metrics[0].gradient_norms) == pytest.approx(whole, rel=1e-4)
    assert epoch_row(metrics[0])["gradient_norm"] == pytest.approx(whole, rel=1e-4)
    for mine, theirs in zip(state.model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)
    assert gradient_norms(nn.Linear(2, 2)) == {}


@pytest.mark.parametrize("accumulate", [2, 3, 7])
def test_gradients_of_parts_add_up_to_those_of_the_batch(accumulate: int) -> None:
    values = {"batch_size": 200, "optimizer": "sgd", "lr": 0.1}
    whole, _ = trained(**values)
    parts, metrics = trained(accumulate=accumulate, **values)
    assert metrics[0].images == len(splits()["train"])
    for mine, theirs in zip(parts.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_no_part_has_a_single_image() -> None:
    config = small_config(model="cnn", width=4, batch_size=251, accumulate=8, epochs=1)
    assert len(splits()["train"]) % 251 == 3, "the last batch is to have 3 images"
    assert go_on(config, started(config))[0].finite


def test_averaged_weights_are_the_stated_average() -> None:
    config = small_config(ema=0.9, optimizer="sgd", lr=0.1, momentum=0, schedule="constant", model="cnn", width=4)
    state = started(config)
    go_on(config, state)
    plain = config.model_copy(update={"ema": None})
    reference = started(plain).model
    average, steps = copy.deepcopy(reference), 0
    optimizer = torch.optim.SGD(reference.parameters(), 0.1)
    for epoch in (1, 2):
        for inputs, labels in by_hand(plain, epoch):
            reference.train()
            optimizer.zero_grad()
            loss_of(reference(inputs), labels, INFO.task).backward()
            optimizer.step()
            steps += 1
            keep = min(0.9, (1 + steps) / (10 + steps))
            with torch.no_grad():
                for mean, now in zip(average.parameters(), reference.parameters(), strict=True):
                    mean.mul_(keep).add_(now, alpha=1 - keep)
    assert same(state.learner, reference)
    for mine, theirs in zip(state.model.parameters(), average.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)
    statistics = [name for name, _ in state.model.named_buffers() if name.endswith("running_var")]
    assert statistics
    for name in statistics:  # copied, not averaged
        torch.testing.assert_close(state.model.get_buffer(name), reference.get_buffer(name))
    assert not same(state.model, state.learner)


def test_the_best_weights_are_the_averaged_ones() -> None:
    state, _ = trained(ema=0.5, epochs=1)
    assert state.best_weights is not None
    assert all(torch.equal(state.best_weights[k], v) for k, v in state.model.state_dict().items())


def test_half_precision_is_close_and_float16_needs_a_gpu() -> None:
    full, half = (trained(precision=p, model="cnn", width=4)[1][-1] for p in ("float32", "bfloat16"))
    assert half.quality["train"].loss != full.quality["train"].loss
    assert half.quality["train"].loss == pytest.approx(full.quality["train"].loss, rel=0.05)
    with pytest.raises(InputError, match="float16 needs a GPU: choose bfloat16"):
        started(small_config(precision="float16"))


@pytest.mark.parametrize("channels_last", [True, False])
def test_weights_and_images_lie_in_the_chosen_order(channels_last: bool) -> None:
    config = small_config(model="cnn", width=4, channels_last=channels_last, epochs=1)
    state, seen = started(config), []
    convolution = next(
        module for module in state.model.modules() if isinstance(module, nn.Conv2d) and module.in_channels > 1
    )
    convolution.register_forward_hook(lambda module, inputs, output: seen.append(output))
    go_on(config, state)
    order = torch.channels_last if channels_last else torch.contiguous_format
    assert convolution.weight.is_contiguous(memory_format=order)
    assert all(output.is_contiguous(memory_format=order) for output in seen)


# torch 2.9 looks at gradients of captured tensors, and warns of itself.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("values", [{}, {"activation": "jump_relu"}], ids=str)
def test_a_compiled_model_trains_alike(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Captured and differentiated as a graph; without the last step, which calls a C++ compiler for half a minute."""
    capture = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self: capture(self, backend="aot_eager"))
    plain, compiled = trained(epochs=1, **values)[1][0], trained(epochs=1, compile=True, **values)[1][0]
    assert compiled.quality["val"].loss == pytest.approx(plain.quality["val"].loss, rel=1e-3)


def test_compile_is_asked_for_only_where_set(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self: compiled.append(self))
    started(small_config())
    assert compiled == []
    state = started(small_config(compile=True, ema=0.9))
    assert compiled == [state.learner]


def test_the_medical_profile_clips_and_turns_the_risky_off() -> None:
    config = make_config({"profile": "medical"})
    assert {name: getattr(config, name) for name in PROFILES["medical"]} == PROFILES["medical"]
    assert config.clip_norm == 1.0
    for name, value in {
        "precision": "bfloat16",
        "compile": True,
        "ema": 0.9,
        "accumulate": 2,
        "clip_norm": 5.0,
    }.items():
        with pytest.raises(InputError, match=f"profile='medical' needs {name}="):
            make_config({"profile": "medical", name: value})
    assert make_config(config.model_dump()) == config


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"min_delta": 0.1}, "min_delta has no effect with patience=None"),
        ({"early_stopping_metric": "val_loss"}, "early_stopping_metric has no effect"),
        ({"batch_size": 8, "accumulate": 5}, "leaves parts of one image"),
        ({"batch_size": 1}, "leaves parts of one image"),
        ({"clip_norm": 0}, "greater than 0"),
        ({"ema": 1.0}, "less than 1"),
        ({"patience": 0}, "greater than or equal to 1"),
        ({"precision": "float8"}, "precision="),
    ],
)
def test_settings_that_cannot_be_meant_are_errors(values: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        make_config(values)


def test_an_epoch_row_holds_what_the_epoch_gave() -> None:
    _, metrics = trained(stochastic="dropout", evaluation_samples=2)
    row = epoch_row(metrics[1])
    assert row["epoch"] == 2
    assert row["val_auc"] == metrics[1].quality["val"].auc
    assert row["test_mutual_information"] == metrics[1].quality["test"].mutual_information
    assert row["stop_reason"] == ""
    assert row["images_trained"] == len(splits()["train"])
    by_layer = {"gradient_norms", "learned"}
    assert all(isinstance(value, int | float | str) for name, value in row.items() if name not in by_layer)
    assert set(row["gradient_norms"]) == set(metrics[1].gradient_norms)
    _, plain = trained()
    assert "val_entropy" not in epoch_row(plain[1])


def test_training_draws_the_same_whatever_was_drawn_before() -> None:
    torch.manual_seed(1)
    first, _ = trained(dropout=0.5)
    torch.manual_seed(2)
    second, _ = trained(dropout=0.5)
    assert same(first.model, second.model)
