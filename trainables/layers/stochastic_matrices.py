"""Layers whose weights form a stochastic matrix: a linear map of the probability simplex to itself.

Each column of the matrix is a point of the simplex, softmax(V / T) or sparsemax(V / T) of free values V. So the outputs
are ≥ 0 and sum to what the inputs sum to. "Stochastic" is meant as in Markov chains: nothing here is random.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.errors import InputError
from trainables.layers.activations import is_hidden_activation
from trainables.layers.simplex import sparsemax, to_simplex

# A function of free values and a dimension that returns points of the simplex along it.
Columns = Callable[[Tensor, int], Tensor]

COLUMNS: dict[str, Columns] = {"softmax": torch.softmax, "sparsemax": sparsemax}


class StochasticMatrix(nn.Module):
    """The free values V, drawn from N(0, 1), and the matrix made of them: columns along dimension 0 sum to 1."""

    def __init__(self, shape: tuple[int, ...], columns: str, temperature: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.randn(shape))
        self.columns = columns
        self.temperature = temperature

    @property
    def weight(self) -> Tensor:
        """Return the matrix, columns along dimension 0."""
        return COLUMNS[self.columns](self.logits / self.temperature, 0)

    def extra_repr(self) -> str:
        """Return shape and settings for `repr`."""
        return f"{tuple(self.logits.shape)}, columns={self.columns}, temperature={self.temperature:g}"


class StochasticLinear(StochasticMatrix):
    """(B, inputs) to (B, outputs) by a column-stochastic matrix, without bias."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs) to (B, outputs)."""
        return functional.linear(x, self.weight)


class StochasticConv(StochasticMatrix):
    """A convolution whose windows do not overlap (1×1, or stride = kernel), in 2D or 3D, without bias.

    Each input value is used once and its share of each output channel sums to 1, so the image's sum is kept.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, [D,] H, W) to (B, C', ...). Raises `InputError` where windows leave a rest."""
        kernel = self.logits.shape[2:]
        if any(side % k for side, k in zip(x.shape[2:], kernel, strict=True)):
            raise InputError(f"windows of {tuple(kernel)} leave a rest of {tuple(x.shape[2:])}: choose a smaller depth")
        convolve = functional.conv2d if len(kernel) == 2 else functional.conv3d
        return convolve(x, self.weight, stride=tuple(kernel))


class SimplexInput(nn.Module):
    """Maps each image to the simplex, scaled to sum to `total`, and hands it to the network."""

    def __init__(self, network: nn.Module, total: float) -> None:
        super().__init__()
        self.network = network
        self.total = total

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, ...) to the network's outputs."""
        out: Tensor = self.network(to_simplex(x, self.total))
        return out


def use_stochastic_matrices(model: nn.Module, columns: str, total: float, temperature: float) -> nn.Module:
    """Replace every linear layer and tiling convolution by a stochastic matrix, and put the input on the simplex.

    Raises `InputError` where the model has a layer that would leave the simplex, such as BatchNorm.
    """
    for path, module in list(model.named_modules()):
        replacement = _stochastic(module, columns, temperature)
        if replacement is not None:
            replace_module(model, path, replacement)
        elif not (list(module.children()) or _keeps_the_simplex(module)):
            raise InputError(
                f"stochastic matrices need a model of linear layers and non-overlapping convolutions, this one has "
                f"{type(module).__name__} at {path}: choose model=mlp or model=patch_cnn"
            )
    return SimplexInput(model, total)


def _stochastic(module: nn.Module, columns: str, temperature: float) -> StochasticMatrix | None:
    if type(module) is nn.Linear:
        return StochasticLinear((module.out_features, module.in_features), columns, temperature)
    if type(module) in (nn.Conv2d, nn.Conv3d) and _tiles(module):
        assert isinstance(module, nn.Conv2d | nn.Conv3d)
        return StochasticConv(tuple(module.weight.shape), columns, temperature)
    return None


def _tiles(conv: nn.Module) -> bool:
    assert isinstance(conv, nn.Conv2d | nn.Conv3d)
    plain = conv.groups == 1 and not any(conv.padding) and set(conv.dilation) == {1}
    return plain and conv.kernel_size == conv.stride


def _keeps_the_simplex(module: nn.Module) -> bool:
    """Tell whether a module keeps the simplex.

    Hidden activations are the user's choice: with `identity` and `relu` all stays on it.
    """
    return is_hidden_activation(module) or isinstance(module, nn.Flatten | nn.Identity | nn.Dropout)


def replace_module(model: nn.Module, path: str, module: nn.Module) -> None:
    """Put a module at a path inside a model."""
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, module)


def column_sums(model: nn.Module) -> dict[str, tuple[float, float]]:
    """Return the least and greatest column sum of every stochastic matrix, by layer: both 1 but for rounding."""
    sums_by_layer = {}
    for path, module in model.named_modules():
        if isinstance(module, StochasticMatrix):
            sums = module.weight.detach().double().sum(dim=0)
            sums_by_layer[path] = (float(sums.min()), float(sums.max()))
    return sums_by_layer
