"""The config's activation in place of a library model's own."""

from __future__ import annotations

from torch import nn

from trainables.layers.activations import make_activation

LIBRARY_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU)


def replace_activations(model: nn.Module, name: str) -> None:
    """Put a new activation in the place of each old one, in place.

    What is no hidden activation stays: the softmax of attention and the sigmoid gate of squeeze-and-excitation, whose
    values must lie in [0, 1].
    """
    for parent in list(model.modules()):
        for attribute, child in list(parent.named_children()):
            if isinstance(child, LIBRARY_ACTIVATIONS):
                setattr(parent, attribute, make_activation(name))
