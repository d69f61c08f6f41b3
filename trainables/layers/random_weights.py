"""Random layers that stand around a linear layer or convolution: its weights, or the inputs they meet, are random.

Each holds the layer itself as `layer`. In evaluation they use the mean of the weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.layers.random_layers import RandomLayer

WeightLayer = nn.Linear | nn.Conv2d | nn.Conv3d
# The rate with which concrete dropout begins.
INITIAL_RATE = 0.1
# The temperature of concrete dropout's relaxed Bernoulli variable, as in its paper.
RELAXATION = 0.1
# The deviation with which a Bayesian layer's weights begin.
INITIAL_DEVIATION = 0.01


def _apply(layer: WeightLayer, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Apply the layer with other weights."""
    if isinstance(layer, nn.Linear):
        return functional.linear(x, weight, bias)
    return layer._conv_forward(x, weight, bias)


class DropConnect(RandomLayer):
    """Each weight is 0 with probability `rate`, else divided by 1 − rate; one draw a batch (Wan et al. 2013)."""

    def __init__(self, layer: WeightLayer, rate: float) -> None:
        super().__init__()
        self.layer = layer
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer, with weights dropped in training."""
        weight = functional.dropout(self.layer.weight, self.rate, self.training)
        return _apply(self.layer, x, weight, self.layer.bias)


class ConcreteDropout(RandomLayer):
    """Dropout of the layer's inputs (of whole channels before a convolution) with a learned rate p.

    The mask is relaxed: σ((logit p + logit u) / 0.1), u ~ U(0, 1) (Gal, Hron & Kendall 2017, eq. 5). Divergence:
    l²·‖W‖² / (2·(1 − p)) − K·H(p) with K inputs, the prior's length scale l and the entropy H of a Bernoulli variable
    (eq. 3 and 4; their mean weights are W / (1 − p), since what is kept is divided by 1 − p).
    """

    def __init__(self, layer: WeightLayer, length_scale: float) -> None:
        super().__init__()
        self.layer = layer
        self.length_scale = length_scale
        self.rate_logit = nn.Parameter(torch.tensor(math.log(INITIAL_RATE / (1 - INITIAL_RATE))))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer, with inputs dropped in training."""
        return self.layer(self.dropped(x)) if self.training else self.layer(x)

    def dropped(self, x: Tensor) -> Tensor:
        """Drop inputs by a relaxed mask and divide the rest by 1 − p."""
        shape = x.shape if isinstance(self.layer, nn.Linear) else (*x.shape[:2], *(1,) * (x.ndim - 2))
        noise = torch.rand(shape, device=x.device).clamp(1e-6, 1 - 1e-6)
        mask = torch.sigmoid((self.rate_logit + torch.logit(noise)) / RELAXATION)
        return (x * (1 - mask) / (1 - torch.sigmoid(self.rate_logit))).to(x.dtype)

    def divergence(self) -> Tensor:
        """Return the divergence from the prior, in nats."""
        rate = torch.sigmoid(self.rate_logit)
        entropy = -rate * functional.logsigmoid(self.rate_logit) - (1 - rate) * functional.logsigmoid(-self.rate_logit)
        inputs = self.layer.weight.shape[1]
        return self.length_scale**2 * self.layer.weight.square().sum() / (2 * (1 - rate)) - inputs * entropy

    def learned_value(self) -> Tensor:
        """Return the rate p."""
        return torch.sigmoid(self.rate_logit)


class BayesianLayer(RandomLayer):
    """Gaussian weights with learned means (the layer's own) and deviations softplus(ρ) (Blundell et al. 2015).

    The outputs are drawn in place of the weights (local reparameterisation, Kingma et al. 2015): their mean is that of
    the layer, their variance the layer of x² with the weights' variances. For a convolution the draws of neighbouring
    positions are independent, as in Molchanov et al. 2017. Divergence: the closed form for a prior N(0, prior²),
    Σ log(prior / σ) + (σ² + μ²) / (2·prior²) − 1/2.
    """

    def __init__(self, layer: WeightLayer, prior: float) -> None:
        super().__init__()
        self.layer = layer
        self.prior = prior
        start = math.log(math.expm1(INITIAL_DEVIATION))
        self.weight_rho = nn.Parameter(torch.full_like(layer.weight, start))
        self.bias_rho = None if layer.bias is None else nn.Parameter(torch.full_like(layer.bias, start))

    def forward(self, x: Tensor) -> Tensor:
        """Draw the outputs in training; apply the mean weights in evaluation."""
        mean: Tensor = self.layer(x)
        if not self.training:
            return mean
        bias_variance = None if self.bias_rho is None else functional.softplus(self.bias_rho).square()
        variance = _apply(self.layer, x.square(), functional.softplus(self.weight_rho).square(), bias_variance)
        return mean + variance.clamp_min(1e-12).sqrt() * torch.randn_like(mean)

    def divergence(self) -> Tensor:
        """Return the divergence of weights and bias from the prior, in nats."""
        terms = [_gaussian_divergence(self.layer.weight, self.weight_rho, self.prior)]
        if self.layer.bias is not None and self.bias_rho is not None:
            terms.append(_gaussian_divergence(self.layer.bias, self.bias_rho, self.prior))
        return torch.stack(terms).sum()


def _gaussian_divergence(mean: Tensor, rho: Tensor, prior: float) -> Tensor:
    deviation = functional.softplus(rho)
    ratio = (deviation.square() + mean.square()) / (2 * prior**2)
    return (math.log(prior) - deviation.log() + ratio - 0.5).sum()


# Each has a `divergence()` from the prior: KL(q ‖ prior) in nats.
DivergentLayer = ConcreteDropout | BayesianLayer


def divergent_layers(model: nn.Module) -> list[DivergentLayer]:
    """Return the layers whose divergence belongs to the loss; frozen ones have no part in it."""
    layers = [module for module in model.modules() if isinstance(module, DivergentLayer)]
    return [module for module in layers if module.layer.weight.requires_grad]


def divergence_of(layers: Iterable[DivergentLayer]) -> Tensor:
    """Return the sum of the layers' divergences, in nats."""
    return torch.stack([layer.divergence() for layer in layers]).sum()
