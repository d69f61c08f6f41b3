"""Saliency maps against captum and closed forms, for every kind of network; the target layer is found by looking."""

from __future__ import annotations

import pytest
import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn
from torchvision.models.vision_transformer import VisionTransformer

from analysis.explanation.layers import feature_module, target_layer
from analysis.explanation.saliency import METHODS, default_method, gradcam, gradcam_plus_plus
from trainables.config import make_config
from trainables.data.arrays import DataInfo
from trainables.errors import InputError
from trainables.network.build import build_model

CLASSES = torch.tensor([0, 2])


def built(name: str, axes: int = 2, side: int = 28, channels: int = 1) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    info = DataInfo("made", "multi-class", ("a", "b", "c"), ((side,) * axes + (channels,)))
    model = build_model(make_config({"model": name, "transfer": "scratch"}), info).eval()
    return model, torch.randn(2, channels, *(side,) * axes)


class OwnNetwork(nn.Module):
    """A network of a user's own: one convolution, a mean over positions, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.anything = nn.Conv2d(1, 4, 3, padding=1)
        self.answer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.answer(self.anything(x).flatten(2).mean(dim=2))


def transformer() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    model = VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=3).eval()
    nn.init.normal_(model.heads[0].weight)  # type: ignore[arg-type]  # zero as torchvision draws it
    return model, torch.randn(2, 3, 32, 32)


@pytest.mark.parametrize(
    ("name", "axes", "side", "channels", "grid"),
    [
        ("cnn", 2, 28, 1, (7, 7)),
        ("cnn", 2, 8, 1, (2, 2)),
        ("study_cnn", 2, 28, 3, (8, 8)),
        ("patch_cnn", 2, 28, 1, (7, 7)),
        ("one_conv3d", 3, 12, 1, (12, 12, 12)),
        ("swin_t", 2, 64, 3, (2, 2)),
    ],
)
def test_the_target_layer_is_found_for_every_family(
    name: str, axes: int, side: int, channels: int, grid: tuple[int, ...]
) -> None:
    model, images = built(name, axes, side, channels)
    assert target_layer(model, images[:1]).grid == grid
    assert type(feature_module(model, images[:1], 3)) is nn.Linear
    maps = gradcam(model, images, CLASSES)
    assert maps.shape == (2, *(side,) * axes)
    assert (maps >= 0).all()
    assert default_method(model, images[:1]) == "gradcam"


def test_gradcam_is_captums() -> None:
    model, images = built("cnn")
    layer = target_layer(model, images[:1])
    theirs = LayerGradCam(model, layer.module).attribute(images, CLASSES, relu_attributions=True)
    theirs = nn.functional.interpolate(theirs, size=(28, 28), mode="bilinear")[:, 0]
    torch.testing.assert_close(gradcam(model, images, CLASSES), theirs.detach(), rtol=0, atol=1e-6)


def test_gradcam_of_a_mean_and_a_linear_layer_is_the_class_activation_map() -> None:
    """Zhou et al. (2016): the class's weights times the maps, here over the number of positions."""
    torch.manual_seed(1)
    model, images = OwnNetwork().eval(), torch.randn(2, 1, 10, 10)
    expected = torch.einsum("bc,bchw->bhw", model.answer.weight[CLASSES], model.anything(images)).relu() / 100
    torch.testing.assert_close(gradcam(model, images, CLASSES), expected.detach(), rtol=0, atol=1e-6)


def test_gradcam_plus_plus_of_constant_gradients() -> None:
    """Each position weighs relu(g) g² / (2 g² + S g³) if the gradient g is the same everywhere; S is the map's sum."""
    torch.manual_seed(2)
    model, images = OwnNetwork().eval(), torch.randn(1, 1, 6, 6)
    maps = model.anything(images).detach()
    g = model.answer.weight[0].detach() / 36
    sums = maps.sum(dim=(2, 3))[0]
    weights = 36 * g**2 / (2 * g**2 + sums * g**3) * g.relu()
    expected = torch.einsum("c,bchw->bhw", weights, maps).relu()
    found = gradcam_plus_plus(model, images, torch.tensor([0]))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_attention_of_a_transformer_and_tokens_as_positions() -> None:
    model, images = transformer()
    layer = target_layer(model, images[:1])
    assert (layer.grid, layer.tokens, layer.extra) == ((4, 4), True, 1)
    assert default_method(model, images[:1]) == "attention"
    for name in ("attention", "gradcam"):
        maps = METHODS[name].function(model, images, CLASSES)
        assert maps.shape == (2, 32, 32)
        assert (maps >= 0).all()
        assert maps.flatten(1).amax(dim=1).min() > 0
    other = METHODS["attention"].function(model, images, torch.tensor([1, 1]))
    assert not torch.allclose(other, METHODS["attention"].function(model, images, CLASSES))


@pytest.mark.parametrize("name", ["integrated_gradients", "occlusion"])
def test_captums_methods_take_images_and_volumes(name: str) -> None:
    model, images = built("one_conv3d", 3, 8)
    assert METHODS[name].function(model, images, CLASSES).shape == (2, 8, 8, 8)


def test_a_network_without_positions_gets_one_line() -> None:
    model, images = built("mlp", 2, 8)
    with pytest.raises(InputError, match="no layer with positions: choose --method integrated_gradients"):
        gradcam(model, images, CLASSES)
    with pytest.raises(InputError, match="no attention"):
        METHODS["attention"].function(model, images, CLASSES)
    assert default_method(model, images[:1]) == "integrated_gradients"
