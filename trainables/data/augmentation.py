"""Augmentation of training batches on their device: a draw for each image, in 2D and 3D. Val and test never come here.

An augmentation is a preset, or operations with their strengths: `light`, `flip+rotate:10`, `strong+mixup`. All moves
(flip, rotate, scale, translate, crop) are one affine map for each image, resampled once. Draws come from torch's global
generator, which the training loop seeds from the replicate's seed and the epoch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from trainables.errors import InputError, unknown_name


@dataclass(frozen=True)
class Operation:
    """An operation: its effect, its strength where none is named, and the highest strength."""

    meaning: str
    default: float
    highest: float


OPERATIONS: dict[str, Operation] = {
    "flip": Operation("mirror left and right with this probability", 0.5, 1),
    "flips": Operation("mirror along each axis with this probability", 0.5, 1),
    "rotate": Operation("turn by up to ± this angle, in 3D about each axis", 10, 180),
    "scale": Operation("enlarge by a factor in 1 ± this", 0.1, 0.9),
    "translate": Operation("move by up to ± this share of the side, along each axis", 0.05, 1),
    "crop": Operation("enlarge a random square (cube) whose side is between this share and the whole", 0.8, 1),
    "jitter": Operation("brightness, contrast and, in RGB, saturation, each by a factor in 1 ± this", 0.2, 1),
    "fade": Operation("multiply by a factor in 1 ± this, without a ceiling", 1, 1),
    "cutout": Operation("set a square (cube) with this share of the side to the mean (DeVries & Taylor 2017)", 0.25, 1),
    "mixup": Operation("blend two images and their labels by Beta(this, this) (Zhang et al. 2018)", 0.2, 100),
    "cutmix": Operation("paste a box of another image, with its label, by Beta(this, this) (Yun et al. 2019)", 1, 100),
}

AUGMENTATIONS: dict[str, str] = {
    "none": "",
    "light": "flip+rotate:10+scale:0.1+translate:0.05+jitter:0.1",
    "strong": "flips+rotate:30+scale:0.2+translate:0.1+crop:0.7+jitter:0.3+cutout:0.25",
    "mri": "flip+rotate:10+jitter:0.2",
    # With normalization times_half: voxels times U(0, 1), MedMNIST's protocol for 3D shapes.
    "shape": "fade:1",
}
MOVES = ("flip", "flips", "rotate", "scale", "translate", "crop")


def strengths_of(augmentation: str) -> dict[str, float]:
    """Parse `"light+mixup:0.4"` into `{"flip": 0.5, ..., "mixup": 0.4}`; what stands later wins.

    Raises `InputError`.
    """
    strengths: dict[str, float] = {}
    for part in augmentation.split("+"):
        name, colon, strength = part.partition(":")
        if name in AUGMENTATIONS and not colon:
            strengths |= strengths_of(AUGMENTATIONS[name]) if AUGMENTATIONS[name] else {}
        elif name in OPERATIONS:
            strengths[name] = _strength(name, strength) if colon else float(OPERATIONS[name].default)
        else:
            raise InputError(unknown_name("augmentation", part, [*AUGMENTATIONS, *OPERATIONS]))
    return strengths


def _strength(name: str, text: str) -> float:
    highest = OPERATIONS[name].highest
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= highest:
        raise InputError(f"augmentation {name}:{text}: the strength must lie above 0 and be at most {highest:g}")
    return value


def augment(images: Tensor, strengths: Mapping[str, float]) -> Tensor:
    """Move and recolour images (B, C, [D,] H, W), float in 0..255, each by its own draw."""
    if any(name in strengths for name in MOVES):
        images = _moved(images, strengths)
    if "jitter" in strengths:
        images = jittered(images, *(_factor(images, strengths["jitter"]) for _ in range(3)))
    if "fade" in strengths:
        images = images * _factor(images, strengths["fade"])
    return images


def _per_image(values: Tensor, images: Tensor) -> Tensor:
    return values.view(-1, *[1] * (images.ndim - 1))


def _uniform(images: Tensor, low: float, high: float, *shape: int) -> Tensor:
    return torch.empty(len(images), *shape, device=images.device).uniform_(low, high)


def _factor(images: Tensor, strength: float) -> Tensor:
    return _per_image(_uniform(images, 1 - strength, 1 + strength), images)


def _moved(images: Tensor, strengths: Mapping[str, float]) -> Tensor:
    mirrored = _draw_mirrored(images, strengths)
    if not any(name in strengths for name in MOVES[2:]):
        return flipped(images, mirrored if "flips" in strengths else mirrored[:, :1])
    axes = images.ndim - 2
    angles = _uniform(images, -1, 1, 1 if axes == 2 else 3) * math.radians(strengths.get("rotate", 0))
    # The side of the square that is enlarged to the whole.
    side = _uniform(images, strengths.get("crop", 1), 1)
    centre = _uniform(images, -1, 1, axes) * (1 - side[:, None])
    zoom = _uniform(images, 1 - strengths.get("scale", 0), 1 + strengths.get("scale", 0)) / side
    # The image's side is 2 units long.
    shift = centre + _uniform(images, -2, 2, axes) * strengths.get("translate", 0)
    return resampled(images, affine(mirrored, angles, zoom, shift))


def _draw_mirrored(images: Tensor, strengths: Mapping[str, float]) -> Tensor:
    """Draw the axes along which images are mirrored, (B, axes) bool: x (left and right) first, as in `affine_grid`."""
    chance = torch.full((images.ndim - 2,), strengths.get("flips", 0.0), device=images.device)
    chance[0] = max(strengths.get("flip", 0.0), strengths.get("flips", 0.0))
    return torch.rand(len(images), images.ndim - 2, device=images.device) < chance


def flipped(images: Tensor, mirrored: Tensor) -> Tensor:
    """Mirror images exactly, along the first axes (x, y, z) where `mirrored` (B, axes) says so."""
    for axis in range(mirrored.shape[1]):
        images = torch.where(_per_image(mirrored[:, axis], images), images.flip(-1 - axis), images)
    return images


def affine(mirrored: Tensor, angles: Tensor, zoom: Tensor, shift: Tensor) -> Tensor:
    """Return matrices (B, d, d + 1) from a position in the new image to one in the old, in units of half a side.

    mirrored (B, d), angles (B, 1) or (B, 3) in radians, zoom (B,) factors of enlargement, shift (B, d).
    """
    turn = _rotation(angles) / zoom.view(-1, 1, 1)
    return torch.cat([turn * torch.where(mirrored, -1.0, 1.0)[:, None, :], shift[..., None]], dim=2)


def _rotation(angles: Tensor) -> Tensor:
    """Return rotations (B, 2, 2) by one angle, or (B, 3, 3) about z, then y, then x."""
    if angles.shape[1] == 1:
        return _turn(angles[:, 0], 0, 1, 2)
    planes = ((0, 1), (0, 2), (1, 2))
    first, second, third = (_turn(angles[:, i], *plane, 3) for i, plane in enumerate(planes))
    return third @ second @ first


def _turn(angle: Tensor, i: int, j: int, axes: int) -> Tensor:
    matrix = torch.eye(axes, device=angle.device).repeat(len(angle), 1, 1)
    matrix[:, i, i] = matrix[:, j, j] = torch.cos(angle)
    matrix[:, j, i] = torch.sin(angle)
    matrix[:, i, j] = -matrix[:, j, i]
    return matrix


def resampled(images: Tensor, matrices: Tensor) -> Tensor:
    """Resample images under their affine maps, bilinear (trilinear); outside, the pixels of the edge go on.

    Mirroring at the edge would invent a second eye or organ, and black would frame images of tissue.
    """
    grid = sampling_grid(matrices, images.shape[2:])
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def sampling_grid(matrices: Tensor, shape: Sequence[int]) -> Tensor:
    """Return `affine_grid(..., align_corners=False)`, (B, [D,] H, W, d), as a sum along axes: 6 to 20 times faster."""
    axes, columns = len(shape), matrices.mT.contiguous()
    grid = columns[:, axes].view(-1, *[1] * axes, axes)
    # The last axis of the images, x, is the first column of the matrix.
    for axis, length in enumerate(shape):
        steps = (torch.arange(length, device=matrices.device) * 2 + 1) / length - 1
        along = steps[:, None] * columns[:, None, axes - 1 - axis]
        along = along.view(-1, *[length if other == axis else 1 for other in range(axes)], axes)
        grid = _sum_of_pairs(grid, along) if axes == 2 else grid + along
    return grid


def _sum_of_pairs(first: Tensor, second: Tensor) -> Tensor:
    """Add (..., 2) and (..., 2) as complex numbers: torch adds pairs under broadcasting six times slower."""
    return torch.view_as_real(torch.view_as_complex(first) + torch.view_as_complex(second))


def jittered(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Change brightness, contrast about the image's mean brightness, and saturation (RGB only), in this order.

    images (B, C, [D,] H, W) in 0..255, before and after.
    """
    images = (images * brightness).clamp(0, 255)
    mean = _brightness(images).mean(dim=tuple(range(1, images.ndim)), keepdim=True)
    images = torch.lerp(mean, images, contrast).clamp(0, 255)
    if images.shape[1] != 3:
        return images
    return torch.lerp(_brightness(images), images, saturation).clamp(0, 255)


def _brightness(images: Tensor) -> Tensor:
    """Return ITU-R BT.601's 0.2989 R + 0.587 G + 0.114 B (B, 1, [D,] H, W); grey images are returned themselves."""
    if images.shape[1] != 3:
        return images
    red, green, blue = images.unbind(1)
    return (0.2989 * red + 0.587 * green + 0.114 * blue)[:, None]
