"""The probability simplex: vectors of numbers ≥ 0 that sum to 1 (or to a stated total)."""

from __future__ import annotations

import torch
from torch import Tensor


def to_simplex(images: Tensor, total: float) -> Tensor:
    """Shift each image (B, ...) to ≥ 0 and scale it to sum to `total`; an image of one value becomes uniform."""
    flat = images.flatten(1)
    shifted = flat - flat.amin(dim=1, keepdim=True)
    sums = shifted.sum(dim=1, keepdim=True)
    uniform = torch.full_like(shifted, 1 / shifted.shape[1])
    shares = torch.where(sums > 0, shifted / sums.clamp_min(torch.finfo(sums.dtype).tiny), uniform)
    return (shares * total).view_as(flat).reshape(images.shape)


def sparsemax(scores: Tensor, dim: int) -> Tensor:
    """Return the point of the simplex nearest to the scores, along one dimension.

    Source: Martins & Astudillo (2016), algorithm 1.
    Its gradient is the published one: on the support, the incoming gradient minus its mean. Computed in float32 at
    least: a sum over the units of a layer is beyond bfloat16.
    """
    given = scores.dtype
    scores = scores.to(torch.promote_types(given, torch.float32))
    # Shifted towards 0, where rounding is least.
    scores = scores - scores.detach().amax(dim=dim, keepdim=True)
    ordered = scores.sort(dim=dim, descending=True).values
    sizes = torch.arange(1, scores.shape[dim] + 1, device=scores.device, dtype=scores.dtype)
    sizes = sizes.view([-1 if d == dim % scores.ndim else 1 for d in range(scores.ndim)])
    sums = ordered.cumsum(dim) - 1
    support = (sizes * ordered > sums).sum(dim=dim, keepdim=True)
    threshold = sums.gather(dim, support - 1) / support
    return torch.relu(scores - threshold).to(given)
