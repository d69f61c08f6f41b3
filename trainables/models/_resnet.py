"""Residual networks of any depth, in 2D and 3D (He et al. 2016). Every activation is a module of its own.

Parameters have torchvision's names (`conv1`, `layer1.0.conv1`, `layer1.0.downsample.0`, ..., `fc`), so its weights fit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainables.layers.activations import make_activation
from trainables.models._convolutions import ACSConv3d, SliceConv3d

# Channels, out, kernel, stride; padded, without bias.
Convolution = Callable[[int, int, int, int], nn.Module]


def _conv2d(channels: int, out: int, kernel: int, stride: int) -> nn.Module:
    return nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False)


def _conv3d(channels: int, out: int, kernel: int, stride: int) -> nn.Module:
    return nn.Conv3d(channels, out, kernel, stride, kernel // 2, bias=False)


CONVOLUTIONS: dict[str, Convolution] = {"2d": _conv2d, "3d": _conv3d, "2.5d": SliceConv3d, "acs": ACSConv3d}


@dataclass(frozen=True)
class Design:
    """The parts of a residual network.

    stem: small or imagenet. blocks: of each stage; widths: of each stage, before a bottleneck's ×4.
    """

    convolution: str
    stem: str
    bottleneck: bool
    blocks: tuple[int, ...]
    widths: tuple[int, ...]
    activation: str
    skips: bool = True

    @property
    def expansion(self) -> int:
        """Return the factor of a block's output channels."""
        return 4 if self.bottleneck else 1

    def conv(self, channels: int, out: int, kernel: int, stride: int = 1) -> nn.Module:
        """Return a convolution, padded and without bias."""
        return CONVOLUTIONS[self.convolution](channels, out, kernel, stride)

    def norm(self, channels: int) -> nn.Module:
        """Return a BatchNorm."""
        return nn.BatchNorm2d(channels) if self.convolution == "2d" else nn.BatchNorm3d(channels)

    def pool(self) -> nn.Module:
        """Return the max-pool of the ImageNet stem."""
        if self.convolution == "2d":
            return nn.MaxPool2d(3, 2, 1)
        return nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)) if self.convolution == "2.5d" else nn.MaxPool3d(3, 2, 1)


class Block(nn.Module):
    """Two 3×3 convolutions, or 1×1, 3×3 and 1×1 in a bottleneck, each with BatchNorm and an activation.

    The block's input is added before the last activation. The stride is in the (first) 3×3 convolution.
    """

    def __init__(self, design: Design, channels: int, width: int, stride: int) -> None:
        super().__init__()
        out = width * design.expansion
        plan = [(width, 3, stride), (width, 3, 1)]
        if design.bottleneck:
            plan = [(width, 1, 1), (width, 3, stride), (out, 1, 1)]
        self.layers = len(plan)
        inputs = channels
        for i, (outputs, kernel, step) in enumerate(plan, start=1):
            self.add_module(f"conv{i}", design.conv(inputs, outputs, kernel, step))
            self.add_module(f"bn{i}", design.norm(outputs))
            self.add_module(f"act{i}", make_activation(design.activation))
            inputs = outputs
        self.skips = design.skips
        self.downsample: nn.Module | None = None
        if design.skips and (stride != 1 or channels != out):
            self.downsample = nn.Sequential(design.conv(channels, out, 1, stride), design.norm(out))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, [D,] H, W) to (B, C', ...)."""
        y = x
        for i in range(1, self.layers + 1):
            y = self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(y))
            if i == self.layers and self.skips:
                y = y + (x if self.downsample is None else self.downsample(x))
            y = self.get_submodule(f"act{i}")(y)
        return y


class ResNet(nn.Module):
    """Stem, stages of blocks, global average pool, linear classifier. Each stage but the first halves the sides.

    small stem: 3×3 (MedMNIST's own baseline, and He et al. on CIFAR-10), with PyTorch's initialisation, as there;
    imagenet stem: 7×7 with stride 2 and max-pool 3×3 with stride 2, with torchvision's initialisation. In 2.5D nothing
    but the global average pool joins slices.
    """

    def __init__(self, design: Design, channels: int, classes: int) -> None:
        super().__init__()
        width = design.widths[0]
        small = design.stem == "small"
        self.conv1 = design.conv(channels, width, 3 if small else 7, 1 if small else 2)
        self.bn1 = design.norm(width)
        self.act1 = make_activation(design.activation)
        self.maxpool = nn.Identity() if small else design.pool()
        self.stages = len(design.blocks)
        for stage, (blocks, out) in enumerate(zip(design.blocks, design.widths, strict=True), start=1):
            layers = []
            for i in range(blocks):
                layers.append(Block(design, width, out, stride=2 if stage > 1 and i == 0 else 1))
                width = out * design.expansion
            self.add_module(f"layer{stage}", nn.Sequential(*layers))
        self.fc = nn.Linear(width, classes)
        if not small:
            self.apply(_init_like_torchvision)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, [D,] H, W) to logits (B, classes)."""
        x = self.maxpool(self.act1(self.bn1(self.conv1(x))))
        for stage in range(1, self.stages + 1):
            x = self.get_submodule(f"layer{stage}")(x)
        logits: Tensor = self.fc(torch.flatten(x, 2).mean(2))
        return logits


def _init_like_torchvision(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def stages(model: nn.Module) -> list[tuple[str, ...]]:
    """List the stem, each stage, and the classifier."""
    layers = [name for name, _ in model.named_children() if name.startswith("layer")]
    return [("conv1", "bn1", "act1"), *((name,) for name in layers), ("fc",)]
