"""Grey images from RGB ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from trainables.atomic_files import replaced
from trainables.data.arrays import chunks


def luma(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the brightness (..., 1) of (..., 3): ITU-R BT.601, 0.299 R + 0.587 G + 0.114 B.

    Computed in the 16-bit integers of Pillow.
    """
    parts = rgb.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
    return ((parts + 0x8000) >> 16).astype(np.uint8)[..., None]


def to_grey(images: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
    """Write the images as grey ones to a file, piece by piece; it may be the file that they are mapped from."""
    # not durable: it can be made again
    with replaced(path, durable=False) as beside:
        grey = open_memmap(beside, mode="w+", dtype=np.uint8, shape=(*images.shape[:-1], 1))
        start = 0
        for piece in chunks(images):
            grey[start : start + len(piece)] = luma(piece)
            start += len(piece)
        grey.flush()
    return grey
