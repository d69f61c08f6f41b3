"""Plain statistics of images, by which an image is told that is unlike every one of training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainables.data.arrays import chunks

Ranges = dict[str, tuple[float, float]]
STATISTICS = ("brightness", "contrast", "roughness")


def image_statistics(images: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    """Return for each image (N, [D,] H, W, C) three numbers, (N,) each, in grey values of 0 to 255.

    brightness: mean; contrast: standard deviation; roughness: mean difference of neighbours along the last side.
    """
    flat = images.reshape(len(images), -1)
    steps = np.abs(np.diff(images.astype(np.int16), axis=-2)).reshape(len(images), -1)
    roughness = steps.mean(axis=1) if steps.shape[1] else np.zeros(len(images))
    return {"brightness": flat.mean(axis=1), "contrast": flat.std(axis=1), "roughness": roughness}


def training_deciles(images: NDArray[np.uint8]) -> dict[str, tuple[float, ...]]:
    """Return the deciles of each statistic over training images, 11 values from lowest to highest, read by pieces."""
    parts = [image_statistics(piece) for piece in chunks(images)]
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {name: tuple(np.quantile(values, np.linspace(0, 1, 11)).tolist()) for name, values in whole.items()}


def unlike_training(image: NDArray[np.uint8], ranges: Ranges) -> list[str]:
    """Return in words what of an image (…, C) lies beyond every training image.

    Of an image drawn as the training images are, a statistic does so with a chance of 2 / (images + 1).
    """
    found = image_statistics(image[None])
    said = []
    for name, (low, high) in ranges.items():
        value = float(found[name][0])
        # Sums in another order differ in their last bits.
        if not low - 1e-6 <= value <= high + 1e-6:
            said.append(f"{name} {value:.1f} is outside of {low:.1f} to {high:.1f}, the training images'")
    return said
