"""Random layers that stand behind an activation: noise, dropout and random units.

They draw in training and are deterministic in evaluation, unless it samples, which puts them alone into training mode
(`trainables.training.evaluation`). Shapes pass through unchanged.
"""

from __future__ import annotations

import math
import sys

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.errors import InputError

# Units of one categorical variable in `GumbelSoftmax`.
GROUP = 8
# The side of DropBlock's squares, as in its paper.
BLOCK = 7


class RandomLayer(nn.Module):
    """A module that draws random numbers in training mode and none in evaluation mode."""


class AdditiveNoise(RandomLayer):
    """x + deviation·ε, ε ~ N(0, 1)."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = deviation

    def forward(self, x: Tensor) -> Tensor:
        """Add noise in training."""
        return x + self.deviation * torch.randn_like(x) if self.training else x


class MultiplicativeNoise(RandomLayer):
    """x·(1 + deviation·ε), ε ~ N(0, 1) (Gaussian dropout, Srivastava et al. 2014, section 10)."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = deviation

    def forward(self, x: Tensor) -> Tensor:
        """Multiply by noise in training."""
        return x * (1 + self.deviation * torch.randn_like(x)) if self.training else x


class DropBlock(RandomLayer):
    """Squares (cubes) of a feature map are dropped together, each channel on its own (Ghiasi et al. 2018).

    Their side is 7, or about half of the map's where that is less. What is no map passes unchanged.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Drop squares of (B, C, [D,] H, W) in training."""
        if not self.training or x.ndim < 4:
            return x
        from torchvision.ops import drop_block2d, drop_block3d

        # torchvision wants an odd side.
        side = min(BLOCK, max(1, min(x.shape[2:]) // 2) | 1)
        dropped: Tensor = (drop_block2d if x.ndim == 4 else drop_block3d)(x, self.rate, side, training=True)
        return dropped


class BernoulliUnits(RandomLayer):
    """1 with probability p = σ(x / temperature), else 0; the gradient is that of p (straight-through).

    In evaluation p itself (Bengio, Léonard & Courville 2013). With `activation=identity` x is the layer's plain output.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, x: Tensor) -> Tensor:
        """Draw units in training, return their probabilities in evaluation."""
        p = torch.sigmoid(x / self.temperature)
        return _straight_through(torch.bernoulli(p.detach()), p) if self.training else p


class ThresholdUnits(RandomLayer):
    """1 where x exceeds a threshold drawn from N(0, deviation²), else 0: so with probability p = Φ(x / deviation).

    The gradient is that of p (straight-through). In evaluation the threshold is its mean, 0.
    """

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = deviation

    def forward(self, x: Tensor) -> Tensor:
        """Draw the thresholds in training."""
        if not self.training:
            return (x > 0).to(x.dtype)
        p = 0.5 * (1 + torch.erf(x / (self.deviation * math.sqrt(2))))
        return _straight_through((x > self.deviation * torch.randn_like(x)).to(x.dtype), p)


def _straight_through(value: Tensor, probability: Tensor) -> Tensor:
    """Return the value forwards, the probability's gradient backwards."""
    return probability + (value - probability).detach()


class GumbelSoftmax(RandomLayer):
    """Each 8 neighbouring units (channels) become one-hot, drawn with softmax(x); in evaluation softmax(x) itself.

    The gradient is that of the relaxed sample softmax((x + g) / temperature) (Jang, Gu & Poole 2017, straight-through).
    Units lie in dimension 1, in a transformer's (B, tokens, units) in the last.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, x: Tensor) -> Tensor:
        """Draw one-hot groups in training, return softmax in evaluation.

        Raises `InputError` where the units are no multiple of 8.
        """
        dim = 2 if x.ndim == 3 else 1
        if x.shape[dim] % GROUP:
            raise InputError(f"stochastic=gumbel_softmax: layers need multiples of {GROUP} units, not {x.shape[dim]}")
        groups = x.unflatten(dim, (-1, GROUP))
        if not self.training:
            return torch.softmax(groups, dim + 1).flatten(dim, dim + 1)
        return functional.gumbel_softmax(groups, self.temperature, hard=True, dim=dim + 1).flatten(dim, dim + 1)


def random_layers(model: nn.Module) -> list[nn.Module]:
    """Return the modules that draw in training: ours, torch's dropout above rate 0, RReLU, stochastic depth."""
    kinds: tuple[type[nn.Module], ...] = (RandomLayer, nn.modules.dropout._DropoutNd, nn.RReLU)
    # Without torchvision no model has its layer, and importing it takes a second.
    if "torchvision" in sys.modules:
        from torchvision.ops import StochasticDepth

        kinds = (*kinds, StochasticDepth)
    return [module for module in model.modules() if isinstance(module, kinds) and getattr(module, "p", 1) > 0]
