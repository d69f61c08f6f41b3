"""A trained network as the module that is exported: images in, probabilities out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deployment.model.metadata import ModelMetadata
from trainables.metrics.losses import probabilities


class Classifier(nn.Module):
    """A network that gives probabilities (B, classes), with the preprocessing inside where its input is raw."""

    scale: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, metadata: ModelMetadata) -> None:
        super().__init__()
        self.network = network
        self.task = metadata.task
        self.raw = metadata.input == "raw"
        mean, std = torch.tensor(metadata.mean), torch.tensor(metadata.std)
        self.register_buffer("scale", 1 / (255 * std))
        self.register_buffer("shift", -mean / std)

    def forward(self, images: Tensor) -> Tensor:
        """Return probabilities of images: normalised, (B, C, [D,] H, W), or raw uint8, (B, [D,] H, W, C)."""
        if self.raw:
            images = (images.float() * self.scale + self.shift).movedim(-1, 1)
        return probabilities(self.network(images), self.task)


def example_input(metadata: ModelMetadata, batch: int = 2) -> Tensor:
    """Return made-up images of the shape and type that the metadata ask for, the same each time."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (batch, *metadata.image_shape), dtype=torch.uint8, generator=generator)
    return torch.from_numpy(metadata.as_input(images.numpy()))
