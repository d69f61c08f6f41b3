"""Replicates that are trained as one network give the numbers that they give one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.short_training import CPU, digits, small_config, splits, started
from trainables.config import TrialConfig, make_config
from trainables.data.arrays import DataInfo
from trainables.data.batches import DeviceSplit
from trainables.fused.together import Group, can_be_fused, together
from trainables.registries import registry
from trainables.training.checkpoint import load_checkpoint, save_checkpoint
from trainables.training.loop import EpochMetrics, TrainingState, start
from trainables.training.replicates import Way, one_by_one, train_replicates

INFO = digits().info
SEEDS = (3, 0, 8)
Run = tuple[list[TrainingState], list[list[EpochMetrics]]]


def run(config: TrialConfig, way: Way, info: DataInfo = INFO, data: Mapping[str, DeviceSplit] | None = None) -> Run:
    states = [start(config, seed, info, CPU) for seed in config.seeds]
    return states, list(train_replicates(config, info, data or splits(), states, way))


def assert_alike(first: Run, second: Run, close: float = 1e-4) -> None:
    (states, epochs), (others, other_epochs) = first, second
    assert len(epochs) == len(other_epochs)
    for mine, theirs in zip(epochs, other_epochs, strict=True):
        for m, t in zip(mine, theirs, strict=True):
            same = ("seed", "epoch", "images", "finite", "stop_reason")
            assert [getattr(m, name) for name in same] == [getattr(t, name) for name in same]
            assert m.lr == pytest.approx(t.lr, rel=1e-9)
            for split, quality in m.quality.items():
                other = pytest.approx(t.quality[split].loss, rel=close, abs=close, nan_ok=True)
                assert quality.loss == other, (m.epoch, split)
            assert dict(m.gradient_norms) == pytest.approx(dict(t.gradient_norms), rel=30 * close, abs=close)
            assert dict(m.learned) == pytest.approx(dict(t.learned), rel=30 * close, abs=close)
    for state, apart in zip(states, others, strict=True):
        for name, tensor in apart.model.state_dict().items():
            torch.testing.assert_close(
                state.model.state_dict()[name], tensor, rtol=30 * close, atol=10 * close, msg=name
            )
        assert (state.best and state.best.epoch) == (apart.best and apart.best.epoch)


def assert_fused_is_as_apart(close: float = 1e-4, **values: Any) -> None:
    config = small_config(**{"seeds": SEEDS, **values})
    assert can_be_fused(config, [started(config, seed) for seed in config.seeds])
    assert_alike(run(config, together), run(config, one_by_one), close)


def test_train_is_evaluated_where_it_is_due_for_each_replicate() -> None:
    settings: dict[str, Any] = {"seeds": SEEDS, "epochs": 9, "eval_train_every": 4, "lr": 0.05, "patience": 2}
    config = small_config(**settings)
    fused = run(config, together)
    assert_alike(fused, run(config, one_by_one))
    due = {tuple(math.isfinite(metrics.quality["train"].loss) for metrics in epoch) for epoch in fused[1]}
    assert any(len(set(each)) > 1 for each in due)


@pytest.mark.parametrize("name", sorted(registry("optimizer")))
def test_every_optimizer(name: str) -> None:
    pytest.importorskip("timm") if name == "lion" else None
    assert_fused_is_as_apart(2e-3, optimizer=name, activation="tanh", weight_decay=0.01)


@pytest.mark.parametrize("name", sorted(registry("schedule")))
def test_every_schedule(name: str) -> None:
    assert_fused_is_as_apart(schedule=name, optimizer="sgd", lr=0.05, epochs=3, activation="tanh")


@pytest.mark.parametrize("name", sorted(registry("activation")))
def test_every_activation(name: str) -> None:
    sgd = {"optimizer": "sgd", "lr": 0.01, "activation": name, "epochs": 1, "batch_size": 300}
    # the slope of a root is infinite at 0, where last bits become large
    close = 1e-3 if "power" in name else 1e-4
    assert_fused_is_as_apart(close, **sgd)
    assert_fused_is_as_apart(close, **sgd, model="cnn", width=4, depth=2)


@pytest.mark.parametrize(
    "values",
    [
        {"augmentation": "light+mixup"},
        {"augmentation": "strong"},
        {"dropout": 0.4},
        {"ema": 0.9},
        {"clip_norm": 0.05},
        {"label_smoothing": 0.1, "class_weights": "balanced"},
        {"loss": "focal"},
        {"sampling": "balanced"},
        {"data_fraction": 0.5},
        {"accumulate": 3},
        {"channels_last": False},
        {"dropout": 0.2, "augmentation": "light", "ema": 0.9, "clip_norm": 0.5, "schedule": "plateau"},
        {"optimizer": "muon", "model": "mlp", "clip_norm": 0.5, "dropout": 0.3},
    ],
    ids=str,
)
def test_every_setting(values: dict[str, Any]) -> None:
    of_cnn = {"model": "cnn", "width": 4, "depth": 2, "optimizer": "sgd", "lr": 0.05}
    assert_fused_is_as_apart(**{**(of_cnn if "model" not in values else {}), **values}, batch_size=300)


def test_mixed_precision_is_as_close_as_bfloat16_is() -> None:
    assert_fused_is_as_apart(0.03, model="cnn", width=4, precision="bfloat16", optimizer="sgd", lr=0.02)


def few(dims: int, side: int = 16, images: int = 24) -> tuple[DataInfo, dict[str, DeviceSplit]]:
    """Return images of noise with labels of three classes."""
    generator = torch.Generator().manual_seed(4)
    pixels = torch.randint(0, 256, (images, *(side,) * dims, 1), dtype=torch.uint8, generator=generator)
    labels = torch.arange(images) % 3
    split = DeviceSplit(pixels, labels, torch.full((1,), 1 / 60), torch.full((1,), -2.0))
    return DataInfo("few", "multi-class", ("a", "b", "c"), (side,) * dims + (1,)), dict.fromkeys(
        ("train", "val", "test"), split
    )


@pytest.mark.parametrize("name", ["cnn", "cnn3d", "mlp", "one_conv3d", "patch_cnn", "study_cnn"])
@pytest.mark.parametrize("activation", ["relu", "prelu"])
def test_every_model_that_is_a_sequence_of_layers(name: str, activation: str) -> None:
    info, data = few(3 if "3d" in name else 2)
    config = make_config(
        # (with seed 5 an input of PReLU lies 3e-8 from its kink, nearer than the last bits of such sums)
        {"model": name, "activation": activation, "epochs": 2, "seeds": (1, 2, 4), "optimizer": "sgd", "lr": 0.01,
         "batch_size": 9}
    )  # fmt: skip
    states, epochs = run(config, together, info, data)
    assert can_be_fused(config, states)
    assert_alike((states, epochs), run(config, one_by_one, info, data))


def test_what_cannot_be_fused_is_known() -> None:
    info, _ = few(2, side=32)
    for values in (
        {"model": "resnet18"}, {"seeds": (1,)}, {"model": "mlp", "compile": True},
        {"model": "mlp", "stochastic": "softmax_matrix", "activation": "identity"},
        {"model": "mlp", "stochastic": "bayes_by_backprop"},
    ):  # fmt: skip
        config = make_config({"seeds": (1, 2), **values})
        assert not can_be_fused(config, [start(config, seed, info, CPU) for seed in config.seeds]), values


def test_a_model_of_ones_own_trains_apart(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(
        "from torch import nn\n\n\ndef build():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Unflatten(1, (1, 64)), nn.Conv1d(1, 2, 3), nn.Flatten(), "
        "nn.Linear(124, 10))\n"
    )
    config = make_config({"model": f"{path}:build", "activation": "own", "seeds": (0, 1)})
    assert not can_be_fused(config, [started(config, seed) for seed in config.seeds])


def test_random_layers_draw_as_they_do_alone() -> None:
    assert_fused_is_as_apart(stochastic="dropout", evaluation_samples=2, optimizer="sgd", lr=0.02)


def test_a_member_does_not_depend_on_the_others() -> None:
    values = {"dropout": 0.3, "augmentation": "light", "model": "cnn", "width": 4, "optimizer": "sgd", "lr": 0.1}
    three = small_config(seeds=(0, 1, 2), **values)
    two = three.model_copy(update={"seeds": (1, 7)})
    (first, *_), (second, *_) = (zip(*run(config, together)[1], strict=True) for config in (three, two))
    middle = [epoch[1] for epoch in run(three, together)[1]]
    for one, other in zip(middle, second, strict=True):
        assert one.quality["val"].loss == pytest.approx(other.quality["val"].loss, rel=1e-5)
    assert first[-1].quality["val"].loss != pytest.approx(middle[-1].quality["val"].loss, rel=1e-3)


STOPS_EARLY = {"epochs": 12, "patience": 2, "min_delta": 0.003, "lr": 0.02, "schedule": "constant", "batch_size": 256}


def test_a_member_that_stops_early_leaves_the_others_undisturbed() -> None:
    config = small_config(seeds=(0, 1, 2, 3), optimizer="sgd", **{**STOPS_EARLY, "lr": 0.2})
    states, epochs = run(config, together)
    assert len({state.epoch for state in states}) > 1, "the settings must make them end at different epochs"
    assert_alike((states, epochs), run(config, one_by_one), 1e-3)


def test_a_member_that_diverges_changes_no_other() -> None:
    config = small_config(seeds=(0, 1), epochs=2, optimizer="sgd", lr=0.05)
    states = [started(config, seed) for seed in config.seeds]
    with torch.no_grad():
        next(states[0].model.parameters()).fill_(torch.nan)
    (epochs,) = list(train_replicates(config, INFO, splits(), states, together))
    alone = next(train_replicates(config, INFO, splits(), [started(config, 1)], one_by_one))
    assert [m.finite for m in epochs] == [False, True]
    assert epochs[1].quality["val"].loss == pytest.approx(alone[0].quality["val"].loss, rel=1e-5)


@pytest.mark.parametrize("ways", [(together, one_by_one), (one_by_one, together), (together, together)])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "adagrad", "nadam"])
def test_a_run_goes_on_the_other_way(ways: tuple[Way, Way], optimizer: str, tmp_path: Path) -> None:
    config = small_config(seeds=SEEDS, epochs=4, optimizer=optimizer, activation="tanh", ema=0.8)
    whole = run(config, one_by_one)
    states = [started(config, seed) for seed in SEEDS]
    before = list(islice(train_replicates(config, INFO, splits(), states, ways[0]), 2))
    save_checkpoint(tmp_path / "checkpoint.pt", states)
    loaded = load_checkpoint(tmp_path / "checkpoint.pt", config, digits(), CPU)
    after = list(train_replicates(config, INFO, splits(), loaded, ways[1]))
    assert_alike((loaded, before + after), whole, 2e-3)
    if ways == (together, together):
        undisturbed = run(config, together)[0]
        for mine, theirs in zip(loaded, undisturbed, strict=True):
            for name, tensor in theirs.model.state_dict().items():
                assert torch.equal(mine.model.state_dict()[name], tensor), name


def test_a_checkpoint_of_fused_replicates_is_no_larger(tmp_path: Path) -> None:
    config = small_config(seeds=SEEDS, epochs=1)
    sizes = []
    for way in (together, one_by_one):
        states, _ = run(config, way)
        save_checkpoint(tmp_path / "checkpoint.pt", states)
        sizes.append((tmp_path / "checkpoint.pt").stat().st_size)
    assert sizes[0] < 1.05 * sizes[1]


def test_steps_of_all_members_are_joint_only_where_rates_are_equal() -> None:
    def joint(**values: Any) -> bool:
        config = small_config(seeds=SEEDS, **values)
        return Group(config, INFO, splits(), [started(config, seed) for seed in SEEDS]).joint is not None

    assert joint()
    assert joint(optimizer="sgd", clip_norm=1.0)
    assert not joint(schedule="plateau")
    assert not joint(optimizer="muon")
