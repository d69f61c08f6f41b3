"""Operations on a normalised batch that cut or mix images: cutout, mixup, cutmix; a draw for each image."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.distributions import Beta
from torch.nn import functional


def cut_and_mix(
    inputs: Tensor, labels: Tensor, strengths: Mapping[str, float], n_classes: int
) -> tuple[Tensor, Tensor]:
    """Cut and mix inputs (B, C, [D,] H, W), 0 at the mean; return them with their targets.

    Labels stay as they are unless images are mixed; then they are shares of the classes, (B, n_classes) float. Where
    mixup and cutmix are both named, each image draws one of the two.
    """
    if "cutout" in strengths:
        side = torch.full((len(inputs),), strengths["cutout"], device=inputs.device)
        inputs = inputs.masked_fill(boxes(inputs, side), 0.0)
    if "mixup" not in strengths and "cutmix" not in strengths:
        return inputs, labels
    partner = torch.randperm(len(inputs), device=inputs.device)
    share = _own_share(inputs, strengths)
    mixed = mixed_in(inputs, inputs[partner], share)
    own = share.mean(dim=tuple(range(1, share.ndim)))
    targets = labels if labels.ndim == 2 else functional.one_hot(labels, n_classes)
    return mixed, mixed_in(targets.float(), targets[partner].float(), own[:, None])


def mixed_in(own: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """Blend `share` of one's own values with the rest of the other's."""
    return torch.lerp(other, own, share)


def _own_share(inputs: Tensor, strengths: Mapping[str, float]) -> Tensor:
    """Draw the share of its own image that each pixel keeps, (B, 1, [D,] H, W) in [0, 1]."""
    shape = (len(inputs), *[1] * (inputs.ndim - 1))
    if "cutmix" not in strengths:
        return _beta(inputs, strengths["mixup"]).view(shape)
    axes = inputs.ndim - 2
    pasted = boxes(inputs, (1 - _beta(inputs, strengths["cutmix"])) ** (1 / axes))
    if "mixup" not in strengths:
        return 1 - pasted.float()
    blend = torch.rand(len(inputs), device=inputs.device) < 0.5
    return torch.where(blend.view(shape), _beta(inputs, strengths["mixup"]).view(shape), 1 - pasted.float())


def _beta(inputs: Tensor, strength: float) -> Tensor:
    parameter = torch.full((len(inputs),), strength, device=inputs.device)
    return Beta(parameter, parameter, validate_args=False).sample()


def boxes(inputs: Tensor, side: Tensor) -> Tensor:
    """Draw a box for each image, (B, 1, [D,] H, W) bool, its centre anywhere in the image.

    side: (B,), the box's side as a share of the image's.
    """
    inside = torch.ones((), dtype=torch.bool, device=inputs.device)
    axes = inputs.ndim - 2
    for axis, length in enumerate(inputs.shape[2:]):
        positions = (torch.arange(length, device=inputs.device) + 0.5) / length
        centre = torch.rand(len(inputs), 1, device=inputs.device)
        along = (positions - centre).abs() < side[:, None] / 2
        inside = inside & along.view(len(inputs), 1, *[length if other == axis else 1 for other in range(axes)])
    return inside
