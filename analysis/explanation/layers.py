"""Layers of any network, identified by the outputs of its modules, never by their names."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainables.errors import InputError

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class SpatialLayer:
    """A module whose output has a position for each part of the image. grid: positions along each axis of the image.

    tokens: the output is (B, tokens, channels), of which `extra` (a class token) stand before the grid; else it is
    (B, channels, *grid).
    """

    module: nn.Module
    name: str
    grid: tuple[int, ...]
    tokens: bool = False
    extra: int = 0

    def maps(self, output: Tensor) -> Tensor:
        """Return the output as (B, channels, *grid)."""
        if not self.tokens:
            return output
        return output[:, self.extra :].transpose(1, 2).unflatten(2, self.grid)


@contextmanager
def outputs_of(model: nn.Module, modules: Sequence[nn.Module]) -> Iterator[dict[nn.Module, Tensor]]:
    """Keep the last output of each module while the model runs."""
    kept: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            kept[module] = output

    handles = [module.register_forward_hook(keep) for module in modules]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


def spatial_layers(model: nn.Module, image: Tensor) -> list[SpatialLayer]:
    """Return all modules with positions that the logits depend on, by their calls. image: (1, C, [D,] H, W)."""
    outputs: list[tuple[str, nn.Module, Tensor]] = []
    handles = []
    for name, module in model.named_modules():

        def keep(module: nn.Module, _: Any, output: Any, name: str = name) -> None:
            if isinstance(output, Tensor) and output.requires_grad and output.is_floating_point():
                outputs.append((name, module, output))

        handles.append(module.register_forward_hook(keep))
    try:
        with torch.enable_grad():
            logits = model(image.requires_grad_())
    finally:
        for handle in handles:
            handle.remove()
    gradients = torch.autograd.grad(logits.sum(), [output for *_, output in outputs], allow_unused=True)
    axes = image.dim() - 2
    layers = []
    for (name, module, output), gradient in zip(outputs, gradients, strict=True):
        layer = _as_spatial(name, module, output, axes)
        if layer is not None and gradient is not None and _positions_that_count(layer.maps(gradient)) > 1:
            layers.append(layer)
    return layers


def _as_spatial(name: str, module: nn.Module, output: Tensor, axes: int) -> SpatialLayer | None:
    """Return the layer; None where the output has one position, or none that belong to the image."""
    if output.dim() == axes + 2:
        channels_last = isinstance(module, nn.LayerNorm | nn.Linear)
        grid = tuple(output.shape[2:])
        return None if channels_last or math.prod(grid) < 2 else SpatialLayer(module, name, grid)
    if output.dim() != 3:
        return None
    for extra in (0, 1):
        side = round((output.shape[1] - extra) ** (1 / axes))
        if side > 1 and side**axes == output.shape[1] - extra:
            return SpatialLayer(module, name, (side,) * axes, tokens=True, extra=extra)
    return None


def _positions_that_count(gradient: Tensor) -> int:
    return int((gradient.abs().sum(dim=1) > 0).sum())


def target_layer(model: nn.Module, image: Tensor) -> SpatialLayer:
    """Return the layer that class activation maps are made of. Raises `InputError` for a network without positions.

    Where the last weights that meet positions are a convolution's, the last layer at its resolution; else, as in
    transformers, the last one whose positions the logits depend on.
    """
    layers = spatial_layers(model, image)
    if not layers:
        raise InputError("this network has no layer with positions: choose --method integrated_gradients or occlusion")
    last = _last_with_weights(model, image)
    grids = [one.grid for one in layers if one.module is last]
    if grids and isinstance(last, CONVOLUTIONS):
        return [one for one in layers if one.grid == grids[-1] and not one.tokens][-1]
    return layers[-1]


def _last_with_weights(model: nn.Module, image: Tensor) -> nn.Module | None:
    """Return the last module with a weight matrix or kernels whose output has more axes than (B, units)."""
    called: list[nn.Module] = []

    def keep(module: nn.Module, _: Any, output: Any) -> None:
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and weight.dim() > 1 and isinstance(output, Tensor) and output.dim() > 2:
            called.append(module)

    handles = [module.register_forward_hook(keep) for module in model.modules()]
    try:
        with torch.no_grad():
            model(image)
    finally:
        for handle in handles:
            handle.remove()
    return called[-1] if called else None


def covered(model: nn.Module, grid: Sequence[int], sides: Sequence[int]) -> tuple[int, ...]:
    """Return the sides of the image that a grid of patches covers: more than the image's where a network pads it."""
    first = next((module for module in model.modules() if isinstance(module, CONVOLUTIONS)), None)
    if first is not None and first.kernel_size == first.stride and first.kernel_size[0] > 1:
        reach = tuple(n * step for n, step in zip(grid, first.stride, strict=True))
        if all(side <= to < side + step for side, to, step in zip(sides, reach, first.stride, strict=True)):
            return reach
    return tuple(sides)


def feature_module(model: nn.Module, image: Tensor, n_classes: int) -> nn.Module:
    """Return the last module that makes the logits of what comes before: its input is the penultimate layer."""
    called: list[nn.Module] = []
    leaves = [module for module in model.modules() if not list(module.children())]
    handles = [module.register_forward_hook(lambda module, *_: called.append(module)) for module in leaves]
    try:
        with torch.no_grad():
            model(image)
    finally:
        for handle in handles:
            handle.remove()
    linear = [module for module in called if getattr(module, "out_features", None) == n_classes]
    if not linear:
        raise InputError("this network ends in no linear layer, so that its penultimate features are not known")
    return linear[-1]
