"""Quantisation-aware training: a trained network learns on with weights and activations on a grid of 8 bits.

Each convolution and linear layer sees its weights rounded by output channel (int8, symmetric) and its input rounded
over the range that it has had (uint8); gradients pass the rounding as if it were not there (Jacob et al. 2018, sec. 3).
The learned weights lie on the grid that ONNX Runtime then writes: batch normalisation scales a channel as a whole, and
so scales its grid.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from trainables.data.arrays import Data
from trainables.data.batches import to_device, training_batches, training_part
from trainables.metrics.losses import training_loss
from trainables.network.trained import TrainedModel
from trainables.network.transfer import freeze
from trainables.training.optimizers import make_optimizer

LAYERS = (nn.Conv2d, nn.Conv3d, nn.Linear)
# Of the trial's own learning rate: the weights are good already.
RATE = 0.1
# Of the range so far, in the running mean of what an input's range is.
MOMENTUM = 0.9


class RoundedWeights(nn.Module):
    """Rounds weights to 255 steps, -127 to 127, by output channel."""

    def forward(self, weights: Tensor) -> Tensor:
        """Return weights on the grid of their largest magnitude."""
        scale = weights.detach().flatten(1).abs().amax(dim=1).clamp(min=1e-12) / 127
        points = torch.zeros(len(weights), dtype=torch.int32, device=weights.device)
        return torch.fake_quantize_per_channel_affine(weights, scale, points, 0, -127, 127)


class RoundedInput(nn.Module):
    """Rounds a layer's input to 256 steps of the range that it has had; the range is learned while training."""

    low: Tensor
    high: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.tensor(math.nan))
        self.register_buffer("high", torch.tensor(math.nan))

    def forward(self, values: Tensor) -> Tensor:
        """Return the values on the grid; in training, with their own range taken in first."""
        if self.training:
            low, high = values.detach().amin().clamp(max=0), values.detach().amax().clamp(min=0)
            known = bool(torch.isfinite(self.low))
            self.low = self.low * MOMENTUM + low * (1 - MOMENTUM) if known else low
            self.high = self.high * MOMENTUM + high * (1 - MOMENTUM) if known else high
        scale = float((self.high - self.low).clamp(min=1e-12)) / 255
        return torch.fake_quantize_per_tensor_affine(values, scale, round(-float(self.low) / scale), 0, 255)


def train_aware(trained: TrainedModel, data: Data, epochs: int) -> nn.Module:
    """Train a copy of a network for some epochs on the grid, in the trial's way but at a tenth of its learning rate.

    Same batches, augmentation, loss and optimiser; batch normalisation keeps its statistics; seeded. Returns a plain
    network of the same architecture, in evaluation mode.
    """
    config, device = trained.config, torch.device("cpu")
    model = copy.deepcopy(trained.model).to(device)
    freeze(model, config)
    split = training_part(to_device(data, trained.normalization, device)["train"], config, data.info)
    criterion = training_loss(config, split.labels, data.info.n_classes, data.info.task)
    torch.manual_seed(trained.seed)
    hooks = on_the_grid(model)
    optimizer = make_optimizer(model, config)
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] * RATE
    for epoch in range(epochs):
        _train_mode(model)
        for inputs, targets in training_batches(split, config, data.info, torch.Generator().manual_seed(epoch)):
            optimizer.zero_grad(set_to_none=True)
            criterion(model(inputs), targets).backward()
            optimizer.step()
    return off_the_grid(model, hooks)


def on_the_grid(model: nn.Module) -> list[Any]:
    """Round weights and inputs of every convolution and linear layer, in place; returns the hooks."""
    hooks = []
    for layer in [module for module in model.modules() if isinstance(module, LAYERS)]:
        rounded = RoundedInput()
        layer.add_module("rounded_input", rounded)
        parametrize.register_parametrization(layer, "weight", RoundedWeights())
        hooks.append(layer.register_forward_pre_hook(lambda module, inputs: (module.rounded_input(inputs[0]),)))
    return hooks


def off_the_grid(model: nn.Module, hooks: list[Any]) -> nn.Module:
    """Make a plain network again, whose weights are those on the grid."""
    for hook in hooks:
        hook.remove()
    for layer in [module for module in model.modules() if isinstance(module, LAYERS)]:
        del layer.rounded_input
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    return model.eval()


def _train_mode(model: nn.Module) -> None:
    """Train with the statistics of batch normalisation as they are: those of few images would move them."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
