"""Images and volumes resized by Pillow's bilinear filter, which averages what it makes smaller."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainables.data.reading.colour import luma


def to_channels(image: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Return an image (..., 1 or 3) as grey (1) or RGB (3)."""
    if image.shape[-1] == channels:
        return image
    return luma(image) if channels == 1 else np.repeat(image, 3, axis=-1)


def resized(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Squeeze (H, W, C) to (side, side, C), or (D, H, W, C) to (side, side, side, C); one that fits stays as it is.

    A volume is resized slice by slice, then along its depth.
    """
    if set(image.shape[:-1]) == {side}:
        return image
    if image.ndim == 3:
        return _plane(image, side, side)
    flat = np.stack([_plane(part, side, side) for part in image])
    depth, channels = len(flat), flat.shape[-1]
    columns = flat.reshape(depth, side * side * channels, 1)
    return _plane(columns, side, columns.shape[1]).reshape(side, side, side, channels)


def _plane(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    channels = image.shape[-1]
    picture = Image.fromarray(np.ascontiguousarray(image[..., 0] if channels == 1 else image))
    small = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(small).reshape(height, width, channels)
