"""timm's and torchvision's models by name: as the library builds them, with its own activations or ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from trainables.data.arrays import DataInfo
from trainables.errors import InputError
from trainables.models import build_plain
from trainables.network.build import initial_model
from trainables.network.model_size import model_size
from trainables.network.transfer import stages_of
from trainables.parts.planned import planned_config

timm = pytest.importorskip("timm")
GREY, RGB = ((28, 28, 1), (64, 64, 3))


def info(shape: tuple[int, ...], classes: int = 2) -> DataInfo:
    return DataInfo("this", "binary-class", tuple("abcdefghij"[:classes]), shape)


@pytest.mark.parametrize("shape", [GREY, RGB])
@pytest.mark.parametrize("name", ["torchvision:mobilenet_v3_small", "timm:resnet18", "torchvision:squeezenet1_1"])
def test_a_model_by_name_takes_grey_and_rgb(name: str, shape: tuple[int, ...]) -> None:
    config = planned_config({"model": name})
    model = build_plain(config, info(shape)).eval()
    assert config.activation == "own"
    assert model(torch.zeros(2, shape[2], *shape[:2])).shape == (2, 2)
    assert model_size(config, info(shape)).parameters == sum(p.numel() for p in model.parameters())


def test_it_is_the_librarys_own_network() -> None:
    model = build_plain(planned_config({"model": "timm:resnet18"}), info(RGB))
    theirs = timm.create_model("resnet18", num_classes=2)
    assert {name: p.shape for name, p in model.named_parameters()} == {n: p.shape for n, p in theirs.named_parameters()}
    theirs.load_state_dict(model.state_dict())
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(model.eval()(x), theirs.eval()(x))


def test_another_activation_takes_the_place_of_all_hidden_ones() -> None:
    model = build_plain(planned_config({"model": "torchvision:mobilenet_v3_small", "activation": "tanh"}), info(GREY))
    kinds = {type(module) for module in model.modules()}
    assert nn.Tanh in kinds
    assert nn.Hardsigmoid in kinds
    assert not kinds & {nn.Hardswish, nn.ReLU}


def test_images_that_are_too_small_and_the_size_that_is_not() -> None:
    with pytest.raises(InputError, match=r"cannot take images of 28 px .*: choose image_size=32 or larger"):
        model_size(planned_config({"model": "timm:convnext_atto"}), info(GREY))
    assert model_size(planned_config({"model": "timm:convnext_atto"}), info((32, 32, 1))).parameters


def test_arguments_of_the_library() -> None:
    config = planned_config({"model": "timm:convnext_atto", "model.drop_path_rate": 0.1, "model.conv_mlp": True})
    model = build_plain(config, info((32, 32, 1)))
    assert any(isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) for module in model.modules())
    with pytest.raises(InputError, match=r"unknown argument 'model.patchsize': did you mean 'model.patch_size'"):
        build_plain(planned_config({"model": "timm:convnext_atto", "model.patchsize": 2}), info(GREY))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:convnext_ato", "unknown timm model 'convnext_ato': did you mean 'convnext_atto'"),
        ("torchvision:mobilenet_v3_smal", "did you mean 'mobilenet_v3_small'"),
    ],
)
def test_an_unknown_name(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_plain(planned_config({"model": name}), info(GREY))


def test_volumes_are_refused() -> None:
    with pytest.raises(InputError, match="takes 2D images"):
        build_plain(planned_config({"model": "timm:resnet18"}), info((28, 28, 28, 1)))


@pytest.mark.parametrize("name", ["timm:resnet18", "timm:convnext_atto", "torchvision:mobilenet_v3_small"])
def test_stages_hold_every_parameter_once_and_end_in_the_classifier(name: str) -> None:
    config = planned_config({"model": name})
    model = build_plain(config, info((32, 32, 3)))
    stages = stages_of(model, config)
    owners = [
        sum(any(p == part or p.startswith(f"{part}.") for part in stage) for stage in stages)
        for p, _ in model.named_parameters()
    ]
    assert owners == [1] * len(owners)
    head = [p for p, _ in model.named_parameters() if any(p.startswith(f"{part}.") for part in stages[-1])]
    assert len(head) == 2
    assert model.get_parameter(head[0]).shape[0] == 2


def test_transfer_from_a_file(tmp_path: Path) -> None:
    save_file(timm.create_model("resnet18", num_classes=1000).state_dict(), tmp_path / "weights.safetensors")
    values: dict[str, Any] = {"transfer": "frozen", "weights": str(tmp_path / "weights.safetensors")}
    model = initial_model(planned_config({"model": "timm:resnet18", **values}), info(GREY))
    assert [name for name, p in model.named_parameters() if p.requires_grad] == ["fc.weight", "fc.bias"]
