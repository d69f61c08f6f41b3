"""Networks of one shape run as one: convolutions in groups, linear layers as batched products.

Images of all members are (B, M·C, [D,] H, W), features (M, F, B). What cannot be joined (dropout, which each member
draws from its own stream; activations that look at a whole layer; a user's) runs member by member on its part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.fused.random_states import RandomStates
from trainables.layers.activations import is_hidden_activation
from trainables.layers.elementwise_activations import Gaussian, Sine, SquaredReLU

Layer = Callable[[Tensor], Tensor]
CONVOLUTIONS: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.Conv2d: functional.conv2d,
    nn.Conv3d: functional.conv3d,
}
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
# These treat each value, or each channel, by itself, have no parameters and draw nothing.
OF_ONE_CHANNEL = (
    nn.ReLU, nn.LeakyReLU, nn.ReLU6, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Hardsigmoid,
    nn.Hardtanh, nn.Hardshrink, nn.Softplus, nn.Softsign, nn.Sigmoid, nn.LogSigmoid, nn.Tanh, nn.Tanhshrink,
    nn.Softshrink, nn.Identity, SquaredReLU, Sine, Gaussian,
    nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d,
)  # fmt: skip


def layers_of(network: nn.Module) -> list[nn.Module] | None:
    """Return the layers of a network that is a sequence of layers that are known here; None for any other."""
    layers = list(_leaves(network))
    plain = all(_is_known(layer) and not list(layer.children()) and not _has_hooks(layer) for layer in layers)
    return layers if plain and len({id(layer) for layer in layers}) == len(layers) else None


def _is_known(layer: nn.Module) -> bool:
    known = (*CONVOLUTIONS, *NORMS, *OF_ONE_CHANNEL, nn.Linear, nn.Flatten, nn.Dropout)
    # a hidden activation leaves shapes as they are
    return type(layer) in known or is_hidden_activation(layer)


def _leaves(module: nn.Module) -> Iterator[nn.Module]:
    if type(module) is not nn.Sequential:
        yield module
        return
    for child in module.children():
        yield from _leaves(child)


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)


class StackedNetwork:
    """Several networks of one shape that run as one.

    Their parameters and buffers become parts (views) of stacked tensors: who reads or changes a network, such as a
    checkpoint or its optimiser, reads and changes the stack. joined: each stacked parameter with those of the members.
    """

    def __init__(self, networks: Sequence[nn.Module], streams: RandomStates, order: torch.memory_format) -> None:
        self.networks, self.streams, self.order = list(networks), streams, order
        self.members = len(networks)
        self.joined: list[tuple[nn.Parameter, list[nn.Parameter]]] = []
        columns = zip(*(layers_of(network) or [] for network in networks), strict=True)
        self.layers = [self._layer(modules) for modules in columns]

    def __call__(self, inputs: Tensor) -> Tensor:
        """Map what `inputs` gives to logits (M, B, classes)."""
        for layer in self.layers:
            inputs = layer(inputs)
        return inputs.transpose(1, 2)

    def inputs(self, images: Sequence[Tensor]) -> Tensor:
        """Put each member's images (B, C, [D,] H, W) together: side by side, or as features where those come first."""
        if self.layers and self.layers[0] == self._flat:
            return torch.stack([image.flatten(1) for image in images]).transpose(1, 2)
        return self.joint(images)

    def joint(self, images: Sequence[Tensor]) -> Tensor:
        """Put each member's images (B, C, [D,] H, W) side by side."""
        return torch.cat(list(images), dim=1).contiguous(memory_format=self.order)

    def point_gradients(self) -> None:
        """Make the gradients of the members' parameters parts of the stacked ones."""
        for stacked, parts in self.joined:
            for part, gradient in zip(parts, _parts(stacked.grad, parts), strict=True):
                part.grad = gradient

    def _layer(self, modules: Sequence[nn.Module]) -> Layer:
        first: Any = modules[0]
        kind = type(first)
        if kind in CONVOLUTIONS and first.padding_mode == "zeros":
            return self._convolution(modules)
        if kind in NORMS and first.track_running_stats and first.momentum is not None and first.affine:
            return self._norm(modules)
        if kind is nn.Linear:
            return self._linear(modules)
        if kind is nn.PReLU and first.num_parameters == 1:
            return self._prelu(modules)
        if kind is nn.Flatten and (first.start_dim, first.end_dim) == (1, -1):
            return self._flat
        if kind is nn.AdaptiveAvgPool2d and first.output_size in (1, (1, 1)):
            # its gradient keeps the order of the images in memory, which the adaptive one's does not
            return lambda x: functional.avg_pool2d(x, x.shape[2:])
        if kind in OF_ONE_CHANNEL and not list(first.buffers()):
            return lambda x: first(x)
        return self._each(modules)

    def _convolution(self, modules: Sequence[nn.Module]) -> Layer:
        first: Any = modules[0]
        function, weight, bias = CONVOLUTIONS[type(first)], self._join(modules, "weight"), self._join(modules, "bias")
        groups = self.members * first.groups
        return lambda x: function(x, weight, bias, first.stride, first.padding, first.dilation, groups)

    def _norm(self, modules: Sequence[nn.Module]) -> Layer:
        first: Any = modules[0]
        weight, bias = self._join(modules, "weight"), self._join(modules, "bias")
        names = ("running_mean", "running_var", "num_batches_tracked")
        mean, var, seen = (_join_buffers(modules, name) for name in names)

        def norm(x: Tensor) -> Tensor:
            if first.training:
                seen.add_(1)
            flat = x.reshape(1, -1, x.shape[2]) if type(first) is nn.BatchNorm1d else x
            return functional.batch_norm(
                flat, mean, var, weight, bias, first.training, first.momentum, first.eps
            ).view_as(x)  # fmt: skip

        return norm

    def _linear(self, modules: Sequence[nn.Module]) -> Layer:
        first: Any = modules[0]
        weight, bias = self._join(modules, "weight"), self._join(modules, "bias")
        assert weight is not None
        shape = self.members, first.out_features, first.in_features

        def linear(x: Tensor) -> Tensor:
            # the matrix comes first, so that its gradient is made in its own order and is not copied
            if bias is None:
                return torch.bmm(weight.view(shape), x)
            return torch.baddbmm(bias.view(*shape[:2], 1), weight.view(shape), x)

        return linear

    def _prelu(self, modules: Sequence[nn.Module]) -> Layer:
        slopes = self._join(modules, "weight")
        assert slopes is not None

        def prelu(x: Tensor) -> Tensor:
            if x.ndim == 3:
                return functional.prelu(x.reshape(1, self.members, -1), slopes).view_as(x)
            return functional.prelu(x, slopes.repeat_interleave(x.shape[1] // self.members))

        return prelu

    def _flat(self, x: Tensor) -> Tensor:
        return x if x.ndim == 3 else x.reshape(len(x), self.members, -1).permute(1, 2, 0)

    def _each(self, modules: Sequence[nn.Module]) -> Layer:
        """Run each member's own layer on its part, drawing from its own stream."""

        def each(x: Tensor) -> Tensor:
            if isinstance(modules[0], nn.Dropout) and not (modules[0].p and modules[0].training):
                return x
            outputs = []
            for member, (module, part) in enumerate(zip(modules, self._of_members(x), strict=True)):
                with self.streams.of(member):
                    outputs.append(module(part))
            return torch.stack(outputs).transpose(1, 2) if outputs[0].ndim == 2 else self.joint(outputs)

        return each

    def _of_members(self, x: Tensor) -> list[Tensor]:
        """Return each member's part, in memory as it would be alone."""
        if x.ndim == 3:
            return [part.t().contiguous() for part in x.unbind(0)]
        return [part.contiguous(memory_format=self.order) for part in x.chunk(self.members, dim=1)]

    def _join(self, modules: Sequence[nn.Module], name: str) -> nn.Parameter | None:
        parts = [getattr(module, name) for module in modules]
        if parts[0] is None:
            return None
        whole = torch.cat([part.detach() for part in parts])
        stacked = nn.Parameter(whole, requires_grad=parts[0].requires_grad)
        for part, view in zip(parts, _parts(whole, parts), strict=True):
            part.data, part.grad = view, None
        self.joined.append((stacked, parts))
        return stacked


def _parts(whole: Tensor | None, parts: Sequence[Tensor]) -> list[Tensor | None]:
    """Cut a stacked tensor into the parts of its members."""
    length = len(parts[0])
    return [None if whole is None else whole.narrow(0, number * length, length) for number in range(len(parts))]


def _join_buffers(modules: Sequence[nn.Module], name: str) -> Tensor:
    parts = [module.get_buffer(name) for module in modules]
    stacked = torch.cat(parts) if parts[0].ndim else torch.stack(parts)
    views = _parts(stacked, parts) if parts[0].ndim else list(stacked.unbind(0))
    for module, view in zip(modules, views, strict=True):
        setattr(module, name, view)
    return stacked
