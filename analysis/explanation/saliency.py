"""Maps that show for each part of an image how much it speaks for a class: (B, [D,] H, W), higher is more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from analysis.explanation.layers import SpatialLayer, covered, outputs_of, target_layer
from trainables.errors import InputError, pip_install

# Steps of integrated gradients.
STEPS = 32
# Windows of occlusion along each side.
WINDOWS = 7


def gradcam(model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    """Compute Grad-CAM: channels of the target layer weighted by their mean gradient; only what speaks for the class.

    Source: Selvaraju et al. (2017).
    """
    layer = target_layer(model, images[:1].clone())
    maps, gradients = _maps_and_gradients(model, layer, images, classes)
    weights = gradients.flatten(2).mean(dim=2)
    return _upsampled(model, layer, torch.einsum("bc,bc...->b...", weights, maps).relu(), images)


def gradcam_plus_plus(model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    """Compute Grad-CAM++: positions weigh by their share of the higher derivatives of the exponential of the logit.

    Source: Chattopadhay et al. (2018), eq. 19.
    """
    layer = target_layer(model, images[:1].clone())
    maps, gradients = _maps_and_gradients(model, layer, images, classes)
    total = maps.flatten(2).sum(dim=2).reshape(*maps.shape[:2], *(1,) * (maps.dim() - 2))
    below = 2 * gradients**2 + total * gradients**3
    shares = torch.where(below != 0, gradients**2 / torch.where(below != 0, below, torch.ones_like(below)), 0)
    weights = (shares * gradients.relu()).flatten(2).sum(dim=2)
    return _upsampled(model, layer, torch.einsum("bc,bc...->b...", weights, maps).relu(), images)


def _maps_and_gradients(
    model: nn.Module, layer: SpatialLayer, images: Tensor, classes: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the layer's output and the gradient of each image's logit, both (B, channels, *grid)."""
    with torch.enable_grad(), outputs_of(model, [layer.module]) as kept:
        logits = model(images.clone().requires_grad_())
        output = kept[layer.module]
        (gradient,) = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), output)
    return layer.maps(output.detach()), layer.maps(gradient)


def _upsampled(model: nn.Module, layer: SpatialLayer, small: Tensor, images: Tensor) -> Tensor:
    """Enlarge a coarse map to the images' size, (tri)linear; what a network pads is cut off."""
    sides = images.shape[2:]
    mode = "trilinear" if len(sides) == 3 else "bilinear"
    reach = covered(model, layer.grid, sides)
    large = functional.interpolate(small[:, None], size=reach, mode=mode, align_corners=False)[:, 0]
    return large[(slice(None), *(slice(side) for side in sides))]


def attention(model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    """Compute attention rollout weighted by the class's gradient (Chefer et al.

    2021, eqs. 5 and 6), from the class token.

    For networks of `nn.MultiheadAttention` with a class token; others are refused. Raises `InputError`.
    """
    blocks = [module for module in model.modules() if isinstance(module, nn.MultiheadAttention)]
    if not blocks:
        raise InputError("this network has no attention with a class token: choose --method gradcam")
    with torch.enable_grad(), _attention_kept(blocks) as kept:
        logits = model(images.clone().requires_grad_())
        maps = [kept[block] for block in blocks if block in kept]
        # The weights that come out are a view of those that the logits are made of.
        used = [weights if weights._base is None else weights._base for weights in maps]
        gradients = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), used)
    tokens = maps[0].shape[-1]
    relevance = torch.eye(tokens, device=images.device).expand(len(images), -1, -1)
    for weights, gradient in zip(maps, gradients, strict=True):
        relevance = relevance + (gradient.reshape(weights.shape) * weights.detach()).relu().mean(dim=1) @ relevance
    axes = images.dim() - 2
    side = round((tokens - 1) ** (1 / axes))
    if side**axes != tokens - 1:
        raise InputError(
            f"this network's {tokens} tokens are no class token and a square grid: choose another --method"
        )
    grid = (side,) * axes
    layer = SpatialLayer(blocks[-1], "", grid, tokens=True, extra=1)
    return _upsampled(model, layer, relevance[:, 0, 1:].unflatten(1, grid), images)


@contextmanager
def _attention_kept(blocks: list[nn.MultiheadAttention]) -> Iterator[dict[nn.Module, Tensor]]:
    """Make attention modules return their weights by head, which their callers do not ask for, and keep them."""
    kept: dict[nn.Module, Tensor] = {}

    def ask(module: nn.Module, arguments: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return arguments, {**options, "need_weights": True, "average_attn_weights": False}

    def keep(module: nn.Module, _: Any, output: Any) -> None:
        kept[module] = output[1]

    handles = [block.register_forward_pre_hook(ask, with_kwargs=True) for block in blocks]
    handles += [block.register_forward_hook(keep) for block in blocks]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


def integrated_gradients(model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    """Compute integrated gradients (Sundararajan et al. 2017) from each image's mean value, summed over channels."""
    captum = _captum()
    with torch.enable_grad():
        attributions = captum.IntegratedGradients(model).attribute(
            images, baselines=baseline(images), target=classes, n_steps=STEPS, internal_batch_size=len(images)
        )
    return attributions.detach().abs().sum(dim=1)


def occlusion(model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    """Compute the fall of the class's logit where a window is filled with the image's mean (Zeiler & Fergus 2014)."""
    captum = _captum()
    window = tuple(max(1, -(-side // WINDOWS)) for side in images.shape[2:])
    strides = tuple(max(1, -(-side // 2)) for side in window)
    channels = images.shape[1]
    with torch.no_grad():
        attributions = captum.Occlusion(model).attribute(
            images, (channels, *window), strides=(channels, *strides), baselines=baseline(images), target=classes
        )
    return attributions.mean(dim=1).relu()


def baseline(images: Tensor) -> Tensor:
    """Return images of one value a channel, their own mean: nothing is left of their content."""
    return images.flatten(2).mean(dim=2).reshape(*images.shape[:2], *(1,) * (images.dim() - 2)).expand_as(images)


def _captum() -> Any:
    try:
        from captum import attr
    except ImportError:
        raise InputError(
            f"this method needs the package captum: {pip_install('explain')}, or choose --method gradcam"
        ) from None
    return attr


@dataclass(frozen=True)
class Method:
    """A way to make maps, and its name in words."""

    function: Callable[[nn.Module, Tensor, Tensor], Tensor]
    title: str


METHODS: dict[str, Method] = {
    "gradcam": Method(gradcam, "Grad-CAM"),
    "gradcam++": Method(gradcam_plus_plus, "Grad-CAM++"),
    "attention": Method(attention, "attention rollout by gradient"),
    "integrated_gradients": Method(integrated_gradients, "integrated gradients"),
    "occlusion": Method(occlusion, "occlusion"),
}


def default_method(model: nn.Module, image: Tensor) -> str:
    """Choose attention for a class token, Grad-CAM for layers with positions, else integrated gradients."""
    classes = torch.zeros(1, dtype=torch.long, device=image.device)
    for name in ("attention", "gradcam"):
        try:
            METHODS[name].function(model, image, classes)
        except InputError:
            continue
        return name
    return "integrated_gradients"
