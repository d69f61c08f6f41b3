"""Parts of a user's own: each kind built from its class or function, with its arguments, and refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.support.own_parts import write_parts
from trainables.config import TrialConfig, make_config
from trainables.data.arrays import DataInfo
from trainables.errors import InputError
from trainables.metrics.losses import training_loss
from trainables.models import build_plain
from trainables.network.build import build_model
from trainables.network.model_size import model_size
from trainables.parts.planned import check_parts, code_of, planned_config
from trainables.registries import entry, registry
from trainables.training.evaluation import sampling
from trainables.training.optimizers import make_optimizer
from trainables.training.schedules import Schedule
from trainables.trial_key import trial_key

INFO = DataInfo("this", "multi-class", ("a", "b", "c"), (28, 28, 1))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return write_parts(tmp_path_factory.mktemp("lab"))


def plan(values: dict[str, Any]) -> TrialConfig:
    """Return a config as a plan makes it, its network counted."""
    config = planned_config({"dataset": "digits", **values})
    check_parts(config, INFO)
    model_size(config, INFO)
    return config


def test_a_models_arguments_and_what_it_asks_for_of_ours(files: tuple[str, str]) -> None:
    config = plan({"model": f"{files[0]}:MyNet", "model.width": 8, "activation": "gelu"})
    model = build_plain(config, INFO)
    assert getattr(config, "model.width") == 8
    assert [type(module).__name__ for module in model.net][:2] == ["Conv2d", "GELU"]  # type: ignore[union-attr]
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 3)
    assert model_size(config, INFO).parameters == sum(p.numel() for p in model.parameters())
    wide = plan({"model": f"{files[0]}:MyNet", "model.width": 16})
    assert model_size(wide, INFO).parameters > model_size(config, INFO).parameters
    other: Any = build_plain(plan({"model": f"{files[0]}:NoActivation"}), INFO)
    assert other.seen == (1, 28, False)


def test_a_config_with_arguments_is_read_back_without_any_code(files: tuple[str, str]) -> None:
    config = plan({"model": f"{files[0]}:MyNet", "model.width": 8})
    values = {**config.model_dump(mode="json"), "model": "nowhere.py:MyNet"}
    again = make_config(values)
    assert again.model_dump(mode="json") == values
    assert again != config
    assert make_config(config.model_dump(mode="json")) == config
    assert len({config, make_config(config.model_dump()), config.model_copy(update={"model.width": 9})}) == 2


def test_a_whole_number_is_a_float_where_the_signature_wants_one(files: tuple[str, str]) -> None:
    config = plan({"model": f"{files[0]}:MyNet", "model.dropout": 0})
    assert repr(getattr(config, "model.dropout")) == "0.0"


@pytest.mark.parametrize("name", ["Squareplus", "squareplus"])
def test_an_activation_of_a_class_or_of_a_function_that_makes_a_module(files: tuple[str, str], name: str) -> None:
    spec = f"{files[1]}:{name}"
    x = torch.linspace(-2, 2, 5)
    model = build_model(plan({"model": "mlp", "activation": spec, "activation.beta": 1.0}), INFO)
    module = next(m for m in model.modules() if type(m).__name__ == "Squareplus")
    assert torch.equal(module(x), (x + torch.sqrt(x * x + 1)) / 2)


def test_an_activation_of_a_function_of_a_tensor(files: tuple[str, str]) -> None:
    spec = f"{files[1]}:softcap"
    x = torch.linspace(-9, 9, 7)
    model = build_model(plan({"model": "cnn", "activation": spec, "activation.cap": 2}), INFO)
    module = next(m for m in model.modules() if type(m).__name__ == "FunctionActivation")
    assert torch.allclose(module(x), 2 * torch.tanh(x / 2))
    built_in = plan({"model": "cnn", "activation": "torch.nn.functional:softsign"})
    assert build_model(built_in, INFO)(torch.zeros(2, 1, 28, 28)).shape == (2, 3)


def test_an_optimizer_and_its_default_rate(files: tuple[str, str]) -> None:
    config = plan({"model": "mlp", "optimizer": f"{files[1]}:SignSGD", "optimizer.eps": 1e-3})
    optimizer = make_optimizer(build_model(config, INFO), config)
    assert config.lr == 0.01
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["eps"]) == (0.01, 1e-3)


def test_an_argument_of_an_optimizer_of_ours() -> None:
    config = plan({"model": "mlp", "optimizer": "adamw", "optimizer.eps": 1e-5})
    assert make_optimizer(nn.Linear(2, 2), config).param_groups[0]["eps"] == 1e-5
    with pytest.raises(InputError, match=r"adamw: unknown argument 'optimizer.epss': did you mean 'optimizer.eps'"):
        plan({"optimizer": "adamw", "optimizer.epss": 1e-5})
    with pytest.raises(InputError, match=r"unknown argument 'optimizer.lr'"):
        plan({"optimizer": "adamw", "optimizer.lr": 1e-5})


def rates(name: str, epochs: int, steps: int, **arguments: Any) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    schedule = Schedule(name, optimizer, epochs, arguments)
    found = []
    for step in range(epochs * steps):
        schedule.set(step, steps)
        found.append(optimizer.param_groups[0]["lr"])
        if step % steps == steps - 1:
            schedule.end_epoch(1.0)
    return found


def torchs_rates(make: Any, each_step: bool, epochs: int, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5, momentum=0.9)
    scheduler, found = make(optimizer), []
    for step in range(epochs * steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < epochs * steps - 1 and (each_step or step % steps == steps - 1):
            plateau = isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
            scheduler.step(*([1.0] if plateau else []))
    return found


def test_a_schedule_of_progress(files: tuple[str, str]) -> None:
    found = rates(f"{files[1]}:triangle", 2, 4, peak=0.5)
    assert found == pytest.approx([0.5 * min(p / 8 / 0.5, (1 - p / 8) / 0.5) for p in range(8)])


@pytest.mark.parametrize(
    ("name", "arguments", "make", "each_step"),
    [
        ("CosineAnnealingLR", {"T_max": 6}, lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 6), False),
        ("StepLR", {"step_size": 2, "gamma": 0.5}, lambda o: torch.optim.lr_scheduler.StepLR(o, 2, 0.5), False),
        ("OneCycleLR", {}, lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.5, total_steps=24), True),
        (
            "ReduceLROnPlateau",
            {"patience": 1},
            lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o, patience=1),
            False,
        ),
    ],
)
def test_a_scheduler_of_torch_gives_its_own_rates(name: str, arguments: Any, make: Any, each_step: bool) -> None:
    found = rates(f"torch.optim.lr_scheduler:{name}", 6, 4, **arguments)
    assert found == pytest.approx(torchs_rates(make, each_step, 6, 4))


def test_a_schedulers_state_is_restored(files: tuple[str, str]) -> None:
    name, arguments = "torch.optim.lr_scheduler:ReduceLROnPlateau", {"patience": 0}
    whole = rates(name, 6, 2, **arguments)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    schedule = Schedule(name, optimizer, 6, arguments)
    schedule.load_state_dict({"losses": [1.0, 1.0, 1.0]})
    schedule.set(6, 2)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(whole[6])
    assert whole[6] < 0.5


@pytest.mark.parametrize("name", ["poly_loss", "PolyLoss"])
def test_a_loss(files: tuple[str, str], name: str) -> None:
    config = plan({"loss": f"{files[1]}:{name}", "loss.epsilon": 2.0})
    logits, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    ce = nn.functional.cross_entropy(logits, labels, reduction="none")
    found = training_loss(config, labels, 3, "multi-class")(logits, labels)
    assert float(found) == pytest.approx(float((ce + 2 * (1 - (-ce).exp())).mean()))


def test_an_augmentation_of_a_function_and_of_a_class_of_torchvision(files: tuple[str, str]) -> None:
    images = torch.arange(2 * 16, dtype=torch.uint8).view(2, 1, 4, 4)
    config = plan({"augmentation": f"{files[1]}:roll", "augmentation.by": 2})
    assert torch.equal(entry("augmentation", config.augmentation)(by=2)(images), torch.roll(images, 2, dims=-1))
    flip = plan({"augmentation": "torchvision.transforms.v2:RandomHorizontalFlip", "augmentation.p": 1.0})
    assert torch.equal(entry("augmentation", flip.augmentation)(p=1.0)(images), images.flip(-1))


def test_a_stochastic_layer_draws_in_training_and_where_an_evaluation_samples(files: tuple[str, str]) -> None:
    config = plan({"model": "mlp", "stochastic": f"{files[1]}:Noise", "stochastic.deviation": 0.5})
    model = build_model(config, INFO)
    noise = [module for module in model.modules() if type(module).__name__ == "Noise"]
    assert [module.deviation for module in noise] == [0.5, 0.5]
    x = torch.zeros(1, 1, 28, 28)
    assert torch.equal(model.eval()(x), model(x))
    assert not torch.equal(model.train()(x), model(x))
    with sampling(model):
        assert not torch.equal(model(x), model(x))
    assert torch.equal(model(x), model(x))
    changed = build_model(plan({"model": "mlp", "stochastic": f"{files[1]}:frozen_first"}), INFO)
    assert not next(changed.parameters()).requires_grad


MISTAKES = [
    ({"model": "gone.py:MyNet"}, "gone.py: there is no such file"),
    ({"model": "{net}:MyNat"}, "unknown name 'MyNat': did you mean 'MyNet'"),
    ({"model": "{net}:MyNet", "model.widht": 8}, "unknown argument 'model.widht': did you mean 'model.width'"),
    ({"model": "{net}:MyNet", "model.width": "wide"}, "model.width='wide' must be a whole number"),
    ({"model": "{net}:MyNet", "width": 8}, "width has no effect on model"),
    ({"model": "{net}:wrong_shape"}, r"makes \(1, 4\) of one image, this needs logits of shape \(1, 3\)"),
    ({"model": "{net}:no_module"}, "returned a str: it must be, or return, an nn.Module"),
    ({"model": "{net}:Raises"}, "my_net.py, line [0-9]+: ValueError: no such width"),
    ({"model": "{net}:NoActivation", "activation": "gelu"}, "has no effect on model .* choose activation=own"),
    ({"model": "cnn", "model.width": 8}, "model.width has no effect on model='cnn'"),
    ({"modle.width": 8}, "did you mean 'model.width'"),
    ({"activation": "{parts}:first_half"}, r"made shape \(2, 2\) of a tensor of shape \(2, 4\)"),
    ({"optimizer": "{parts}:NoStep"}, "made a NoStep without step"),
    ({"optimizer": "{parts}:rate_needed"}, "lr: optimizer .* has no default of its own: set it"),
    ({"optimizer": "{parts}:SignSGD", "momentum": 0.5}, "momentum has no effect with optimizer"),
    ({"schedule": "{parts}:negative"}, "returned -0.5 at step 0: a factor of the rate is a number from 0 on"),
    ({"schedule": "{parts}:immense"}, "returned int at step 0: a factor of the rate is a number from 0 on"),
    ({"loss": "{parts}:by_image"}, r"returned shape \(4,\): a loss is one number"),
    ({"loss": "{parts}:poly_loss", "focal_gamma": 2.0}, "focal_gamma has no effect with loss"),
    ({"loss": "{parts}:poly_loss", "class_weights": "balanced"}, "class_weights has no effect with loss"),
    ({"augmentation": "{parts}:to_float"}, r"made torch.float32 .* of torch.uint8"),
    ({"stochastic": "{parts}:Noise", "kl_weight": 2.0}, "kl_weight has no effect"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "message"), MISTAKES, ids=lambda value: str(value)[:60])
def test_a_mistake_is_one_line(files: tuple[str, str], values: dict[str, Any], message: str) -> None:
    filled = {
        name: value.format(net=files[0], parts=files[1]) if isinstance(value, str) else value
        for name, value in values.items()
    }
    with pytest.raises(InputError, match=message) as error:
        plan(filled)
    assert "\n" not in str(error.value)


def test_the_code_of_a_users_file_is_part_of_the_key_and_its_path_is_not(tmp_path: Path) -> None:
    keys = []
    for folder, width in (("one", 4), ("two", 4), ("three", 5)):
        (tmp_path / folder).mkdir()
        net, _ = write_parts(tmp_path / folder)
        Path(net).write_text(Path(net).read_text().replace("width: int = 4", f"width: int = {width}"))
        config = plan({"model": f"{net}:MyNet"})
        keys.append(trial_key(config, "data", code_of(config)))
    assert keys[0] == keys[1] != keys[2]


def test_entry_gives_what_the_tables_hold() -> None:
    for field in ("model", "activation", "optimizer", "schedule", "loss", "stochastic"):
        assert all(entry(field, name) is found for name, found in registry(field).items())
